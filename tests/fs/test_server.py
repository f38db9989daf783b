"""The fs server as containers see it: a real process, a real mount, a real registry."""

import errno
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from fs.filling import FillSettings
from fs.proto import control_pb2
from fs.settings import FsSettings, write_settings
from registry.digest import Digest
from tests.e2e.leftovers import mounts_under
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.fs.backends import both_backends, on_fuse
from tests.fs.conftest import Push
from tests.fs.fs_server import FsServer, PushedLayer, drop_page_cache
from tests.fs.layers_by_hand import HandmadeBlob, entry
from tests.real_registry import RealRegistry

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

BIG = os.urandom(5 << 20)


@pytest.fixture
def layer(push: Push) -> PushedLayer:
    """A file in three chunks, one in one, and one of each other kind."""
    blob = HandmadeBlob()
    blob.add_file("big", BIG, chunk_bytes=2 << 20, mode=0o4755, uid=1000)
    blob.add_file("etc/hello", b"hello\n", mode=0o644, xattrs={"user.note": b"\0\xff"})
    blob.entries += [
        entry("link", "symlink", link_name="etc/hello", mode=0o777),
        entry("same", "hardlink", link_name="etc/hello"),
        entry("null", "char", dev_major=1, dev_minor=3, mode=0o666),
        entry("opaque/.wh..wh..opq"),
        entry("etc/.wh.gone"),
    ]
    return push(blob)


def refused(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code()
    return code


def read_errno(path: Path) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what is tested
        path.read_bytes()
    return caught.value.errno


@both_backends
def test_content_comes_by_range_and_only_once(fs_server: FsServer, layer: PushedLayer) -> None:
    directory = fs_server.attach(layer)
    assert layer.requests() == 1
    assert (directory / "etc/hello").read_bytes() == b"hello\n"
    assert layer.requests() == 2
    assert (directory / "big").read_bytes() == BIG
    asked = layer.requests()
    drop_page_cache()
    assert (directory / "big").read_bytes() == BIG
    assert layer.requests() == asked
    assert fs_server.status(layer).present_bytes == len(BIG) + 6


@both_backends
def test_a_container_starts_after_the_prefetch_if_settings_say_so(
    fs_server: FsServer, layer: PushedLayer, proxy: FaultyProxy
) -> None:
    fs_server.attach(layer)
    fs_server.end()
    filling = FillSettings(background=False, prefetch_bytes=1 << 30, wait_seconds=60)
    write_settings(fs_server.settings, FsSettings(filling=filling))
    proxy.set_fault(Fault.HELD)
    fs_server.start()
    fs_server.attach(layer)
    proxy.wait_held()
    assert fs_server.status(layer).present_bytes == 0
    check = control_pb2.CheckRequest(layer_digests=[str(layer.digest)], starts_container=True)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(fs_server.control.Check, check, timeout=50)
        proxy.set_fault(Fault.NONE)
        assert not starting.result().missing
    assert fs_server.status(layer).present_bytes == len(BIG) + 6


@both_backends
def test_operations_are_measured(fs_server: FsServer, layer: PushedLayer) -> None:
    def counts() -> dict[str, int]:
        histograms = fs_server.statistics().durations
        return {h.operation: sum(h.counts) for h in histograms if sum(h.counts)}

    assert counts() == {}
    directory = fs_server.attach(layer)
    opened = {"mount": 1, "stargz_toc_get": 1, "stargz_toc_json_deserialize": 1}
    assert counts() == opened
    (directory / "etc/hello").read_bytes()
    found = counts()
    assert found.pop("read_on_demand") >= 1
    assert found.pop("node_readdir", 0) == 0
    assert found == {**opened, "remote_registry_get": 1}
    check = control_pb2.CheckRequest(layer_digests=[str(layer.digest)], starts_container=True)
    assert not fs_server.control.Check(check, timeout=10).missing
    assert counts()["all_prefetches_completed"] == 1


def test_many_readers_of_one_chunk_cost_one_request(
    fs_server: FsServer, layer: PushedLayer
) -> None:
    file = fs_server.attach(layer) / "etc/hello"
    before = layer.requests()
    with ThreadPoolExecutor(16) as readers:
        assert set(readers.map(lambda _: file.read_bytes(), range(64))) == {b"hello\n"}
    assert layer.requests() == before + 1


@both_backends
def test_the_tree_is_as_the_toc_says(fs_server: FsServer, layer: PushedLayer) -> None:
    directory = fs_server.attach(layer)
    big = (directory / "big").lstat()
    assert (big.st_mode, big.st_uid, big.st_size) == (stat.S_IFREG | 0o4755, 1000, len(BIG))
    assert big.st_blocks * 512 >= len(BIG)
    assert os.readlink(directory / "link") == "etc/hello"  # noqa: PTH115 - the text, not a path
    assert (directory / "same").stat().st_ino == (directory / "etc/hello").stat().st_ino
    assert (directory / "same").stat().st_nlink == 2
    assert (directory / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(directory / "etc/hello", "user.note") == b"\0\xff"
    assert os.getxattr(directory / "opaque", "trusted.overlay.opaque") == b"y"
    assert os.listxattr(directory / "big") == []
    gone = (directory / "etc/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    names = {"big", "etc", "link", "null", "opaque", "same"}
    assert {path.name for path in directory.iterdir()} == names


@both_backends
def test_overlayfs_stacks_a_layer(fs_server: FsServer, layer: PushedLayer, tmp_path: Path) -> None:
    directory = fs_server.attach(layer)
    lower, upper, work, merged = (tmp_path / name for name in ("lower", "upper", "work", "merged"))
    for path in (lower / "etc", lower / "opaque", upper, work, merged):
        path.mkdir(parents=True)
    for hidden in ("etc/gone", "opaque/hidden"):
        (lower / hidden).touch()
    options = f"lowerdir={directory}:{lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        assert not (merged / "etc/gone").exists()
        assert list((merged / "opaque").iterdir()) == []
        with (merged / "etc/hello").open("ab") as file:  # copied up
            file.write(b"more\n")
        assert (merged / "etc/hello").read_bytes() == b"hello\nmore\n"
        assert (directory / "etc/hello").read_bytes() == b"hello\n"
    finally:
        subprocess.run(["umount", merged], check=True)


def test_layers_cannot_be_written(fs_server: FsServer, layer: PushedLayer) -> None:
    directory = fs_server.attach(layer)
    hello, new = directory / "etc/hello", directory / "new"
    for write in (hello.touch, hello.unlink, new.mkdir, lambda: hello.write_bytes(b"")):
        with pytest.raises(OSError, match="Read-only"):
            write()


@on_fuse
def test_the_state_file_tells_what_was_fetched(fs_server: FsServer, layer: PushedLayer) -> None:
    directory = fs_server.attach(layer)
    file = directory / ".stargz-snapshotter" / f"{layer.digest}.json"
    before = json.loads(file.read_bytes())
    assert before == {
        "digest": str(layer.digest),
        "size": layer.size,
        "fetchedSize": 0,
        "fetchedPercent": 0.0,
    }
    (directory / "etc/hello").read_bytes()
    after = json.loads(file.read_bytes())
    assert 0 < after["fetchedSize"] < layer.size
    assert after["fetchedPercent"] == 100 * after["fetchedSize"] / layer.size
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


@both_backends
@pytest.mark.parametrize("fault", [Fault.FLIPPED_BYTES, Fault.TRUNCATED, Fault.REFUSED])
def test_bad_answers_are_errors_until_they_end(
    fs_server: FsServer, layer: PushedLayer, proxy: FaultyProxy, fault: Fault
) -> None:
    directory = fs_server.attach(layer)
    proxy.set_fault(fault)
    assert read_errno(directory / "etc/hello") == errno.EIO
    status = fs_server.status(layer)
    assert status.present_bytes == 0
    assert (status.verify_failures > 0) == (fault is Fault.FLIPPED_BYTES)
    line = next(line for line in fs_server.log.splitlines() if "chunk unavailable" in line)
    told = json.loads(line)
    assert told["layer"] == str(layer.digest)
    assert "/etc/hello" in told["chunk"]
    assert told["error"]
    proxy.set_fault(Fault.NONE)
    assert (directory / "etc/hello").read_bytes() == b"hello\n"


def test_wrong_bytes_spoil_only_what_they_are_in(
    fs_server: FsServer, push: Push, proxy: FaultyProxy
) -> None:
    blob = HandmadeBlob()
    blob.add_file("right", b"r" * 5000)
    blob.add_file("wrong", b"w" * 5000)
    blob.entries[1].chunk_digest = str(Digest.of(b"something else"))
    directory = fs_server.attach(push(blob))
    assert read_errno(directory / "wrong") == errno.EIO
    assert read_errno(directory / "wrong") == errno.EIO
    assert (directory / "right").read_bytes() == b"r" * 5000


def test_neighbours_are_opened_along_and_only_once(fs_server: FsServer, push: Push) -> None:
    layers = []
    for number in range(4):
        blob = HandmadeBlob()
        blob.add_file("number", bytes([number]))
        layers.append(push(blob))
    with ThreadPoolExecutor(4) as callers:
        directories = list(callers.map(lambda layer: fs_server.attach(layer, *layers), layers))
    assert [layer.requests() for layer in layers] == [1] * 4
    contents = [(directory / "number").read_bytes() for directory in directories]
    assert contents == [bytes([number]) for number in range(4)]


def test_another_toc_than_the_pinned_one_is_refused(
    fs_server: FsServer, layer: PushedLayer
) -> None:
    layer.toc_digest = Digest.of(b"another TOC")
    assert refused(lambda: fs_server.attach(layer)) is grpc.StatusCode.DATA_LOSS
    assert not fs_server.control.Status(control_pb2.StatusRequest(), timeout=10).layers
    assert not any(path.is_file() for path in (fs_server.root / "layers").rglob("*"))


def test_an_ordinary_layer_is_refused(fs_server: FsServer, blob_registry: RealRegistry) -> None:
    some_digest = Digest.of(b"some TOC")
    ordinary = PushedLayer(os.urandom(1000), some_digest, blob_registry, blob_registry.host)
    assert refused(lambda: fs_server.attach(ordinary)) is grpc.StatusCode.DATA_LOSS
    ordinary.digest = Digest.of(b"no such blob")
    assert refused(lambda: fs_server.attach(ordinary)) is grpc.StatusCode.UNAVAILABLE


@both_backends
@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_successor_serves_what_was_kept(
    fs_server: FsServer, layer: PushedLayer, proxy: FaultyProxy, ending: str
) -> None:
    directory = fs_server.attach(layer)
    assert (directory / "big").read_bytes() == BIG
    if ending == "stop":
        fs_server.end()
        assert mounts_under(fs_server.root) == []
        proxy.set_fault(Fault.REFUSED)  # kept content needs no network
    else:
        fs_server.kill()
    asked = layer.requests()
    fs_server.start()
    drop_page_cache()
    assert (directory / "big").read_bytes() == BIG
    assert fs_server.attach(layer) == directory
    if ending == "stop":
        assert layer.requests() == asked


@both_backends
def test_detached_layers_leave_nothing(fs_server: FsServer, layer: PushedLayer) -> None:
    directory = fs_server.attach(layer)
    (directory / "etc/hello").read_bytes()
    fs_server.control.Detach(control_pb2.DetachRequest(layer_digest=str(layer.digest)), timeout=10)
    assert not directory.exists()
    assert not any(path.is_file() for path in (fs_server.root / "layers").rglob("*"))


@both_backends
def test_attaching_again_and_again_leaks_no_descriptors(
    fs_server: FsServer, layer: PushedLayer
) -> None:
    def cycle() -> int:
        (fs_server.attach(layer) / "etc/hello").read_bytes()
        detach = control_pb2.DetachRequest(layer_digest=str(layer.digest))
        fs_server.control.Detach(detach, timeout=10)
        return len(list(Path(f"/proc/{fs_server.pid}/fd").iterdir()))

    cycle()
    # One more may be open for a moment: what is kept of a layer is flushed after it was attached.
    before, after = (min(cycle() for _ in range(3)) for _ in range(2))
    assert after == before


@pytest.fixture
def second(fs_server: FsServer, tmp_path: Path) -> Iterator[FsServer]:
    second = FsServer(tmp_path, FsSettings())
    second.socket = tmp_path / "second.sock"
    second.start()
    yield second
    second.end()


def test_one_root_has_one_server(second: FsServer) -> None:
    assert second.process is not None
    assert second.process.wait(deadline_seconds=10) == 1
    assert "another fs server already uses" in second.log


@both_backends
def test_stop_unmounts_and_ends(fs_server: FsServer, layer: PushedLayer) -> None:
    fs_server.attach(layer)
    fs_server.control.Stop(control_pb2.StopRequest(), timeout=10)
    assert fs_server.process is not None
    assert fs_server.process.wait(deadline_seconds=15) == 0
    assert mounts_under(fs_server.root) == []
    assert not fs_server.socket.exists()
