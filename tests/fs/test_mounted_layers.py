"""Layers of every format through a real mount: the same as the unpacked tar, whatever happens, for few requests."""

import os
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from estargz.codec import Codec
from fs.cache_usage import CacheSettings
from fs.erofs.metadata_file import METADATA_NAME
from fs.filling import FillSettings
from fs.present_file import DATA_NAME
from fs.settings import Backend, FsSettings
from tests.e2e.tree import compare_trees
from tests.fakes.registry import FakeRegistry
from tests.fs.converted_layers import (
    FORMATS,
    ConvertedLayer,
    make_tar,
    push_converted,
    unpack,
)
from tests.fs.erofs_images import check_image_and_content
from tests.fs.fs_server import FsServer, drop_page_cache
from tests.fs.in_process import NOTHING_UNASKED, REPOSITORY, push
from tests.fs.layers_by_hand import HandmadeBlob

pytestmark = pytest.mark.fuse

OPEN_FILES, HOLDERS = 24_000, 2  # one process may not hold that many
_HOLD_OPEN = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(int(sys.argv[2]))]
print(os.pread(held[-1], 100, 0).decode(), end="", flush=True)
sys.stdin.read()
"""
NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def tar(work: Path) -> Path:
    path = work / "layer.tar"
    make_tar(path, Path("/usr/bin/id").read_bytes())
    return path


@pytest.fixture(scope="module")
def unpacked(tar: Path, work: Path) -> Path:
    unpack(tar, work / "unpacked")
    return work / "unpacked"


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture(scope="module")
def layers(tar: Path, registry: FakeRegistry, work: Path) -> dict[str, ConvertedLayer]:
    return {name: push_converted(tar, registry, options, work) for name, options in FORMATS.items()}


@pytest.fixture(scope="module", params=[Backend.FUSE, Backend.EROFS])
def backend(request: pytest.FixtureRequest) -> Backend:
    return Backend(request.param)


@pytest.fixture(scope="module")
def filling(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FsServer]:
    """A server that completes layers in the background, whoever reads."""
    settings = FsSettings(backend=backend, filling=FillSettings(quiet_seconds=0.0))
    with FsServer(tmp_path_factory.mktemp("filling"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def lazy(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FsServer]:
    """A server that fetches what is read."""
    settings = FsSettings(backend=backend, filling=NOTHING_UNASKED)
    with FsServer(tmp_path_factory.mktemp("lazy"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def forgetful(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FsServer]:
    """A server whose cache holds a small part of what is read, and gives up what was read just before."""
    cache = CacheSettings(max_bytes=2_000_000, lease_seconds=0.0, retry_seconds=0.0)
    settings = FsSettings(backend=backend, filling=NOTHING_UNASKED, caching=cache)
    with FsServer(tmp_path_factory.mktemp("forgetful"), settings) as server:
        yield server


@contextmanager
def dropping_caches() -> Iterator[None]:
    """What the kernel keeps of files is dropped again and again meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        drops = [pool.submit(drop_page_cache) for _ in range(3)]
        yield
        for drop in drops:
            drop.result()


def read_at_random(tar: Path, directory: Path, *, readers: int, operations: int) -> None:
    """In another process: a fault in a mapped file would stop all of this one, and with it the registry."""
    words = ["--seed", "1", "--readers", str(readers), "--operations", str(operations)]
    command = [sys.executable, "-m", "tests.random_reader", str(tar), str(directory), *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_is_the_unpacked_tar_while_it_is_fetched_and_afterwards(
    name: str, layers: dict[str, ConvertedLayer], filling: FsServer, unpacked: Path
) -> None:
    expected, actual = unpacked / "specimens", filling.attach(layers[name]) / "specimens"
    with dropping_caches():
        assert compare_trees(expected, actual) == []
    drop_page_cache()
    assert compare_trees(expected, actual) == []
    status = filling.status(layers[name])
    assert (status.present_bytes, status.verify_failures) == (status.content_bytes, 0)


def test_erofs_utils_find_nothing_wrong_with_the_kernels_images(
    layers: dict[str, ConvertedLayer], filling: FsServer, backend: Backend
) -> None:
    for layer in layers.values():
        filling.attach(layer)
    images = list((filling.root / "layers").rglob(METADATA_NAME))
    assert len(images) == (len(layers) if backend is Backend.EROFS else 0)
    for image in images:
        check_image_and_content(image, image.with_name(DATA_NAME))


@pytest.mark.parametrize("name", FORMATS)
def test_many_random_readers_get_the_tars_bytes(
    name: str, layers: dict[str, ConvertedLayer], lazy: FsServer, tar: Path
) -> None:
    directory = lazy.attach(layers[name])
    with dropping_caches():
        read_at_random(tar, directory, readers=16, operations=40)
    assert lazy.status(layers[name]).verify_failures == 0


def test_readers_get_the_tars_bytes_also_while_content_is_evicted(
    layers: dict[str, ConvertedLayer], forgetful: FsServer, tar: Path
) -> None:
    directory = forgetful.attach(layers["gzip"])
    with dropping_caches():
        read_at_random(tar, directory, readers=16, operations=40)
    status = forgetful.status(layers["gzip"])
    assert status.present_bytes < status.content_bytes
    assert status.fetched_bytes > status.blob_bytes  # some of it more than once
    assert status.verify_failures == 0


def test_a_second_image_with_the_same_layer_costs_no_request(
    layers: dict[str, ConvertedLayer], filling: FsServer, registry: FakeRegistry, tar: Path
) -> None:
    layer = layers["gzip"]
    directory = filling.attach(layer)
    compare_trees(directory, directory)  # everything has been read, and so fetched
    asked = len(registry.requests)
    other = replace(layer, reference=layer.reference.replace("converted", "other"))
    drop_page_cache()
    assert filling.attach(other) == directory
    read_at_random(tar, directory, readers=4, operations=20)
    assert len(registry.requests) == asked


def test_a_large_file_in_sequence_costs_few_requests(
    lazy: FsServer, registry: FakeRegistry
) -> None:
    piece = os.urandom(1 << 20)
    blob = HandmadeBlob(Codec.ZSTD)
    blob.add_file("large", b"".join(bytes([n]) + piece[1:] for n in range(100)))
    source = push(blob, registry)
    layer = ConvertedLayer(str(source.reference), source.digest, source.toc_digest)
    directory = lazy.attach(layer)
    size = 0
    with (directory / "large").open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            assert block[1:] == piece[1:]
            size += len(block)
    assert size == 100 << 20
    asked = [r for r in registry.requests if r.path.endswith(str(source.digest))]
    assert len(asked) <= 40, [r.range for r in asked]


def test_opening_costs_one_request_and_a_chunk_one_more_however_many_read_it(
    lazy: FsServer, registry: FakeRegistry
) -> None:
    blob = HandmadeBlob()
    blob.add_file("file", b"content" * 1000)
    source = push(blob, registry)
    layer = ConvertedLayer(f"{registry.host}/{REPOSITORY}:1", source.digest, source.toc_digest)
    directory = lazy.attach(layer)
    asked = [r for r in registry.requests if r.path.endswith(str(source.digest))]
    assert len(asked) == 1
    with ThreadPoolExecutor(16) as readers:
        contents = set(readers.map(lambda _: (directory / "file").read_bytes(), range(16)))
    assert contents == {b"content" * 1000}
    asked = [r for r in registry.requests if r.path.endswith(str(source.digest))]
    assert len(asked) == 2


def test_tens_of_thousands_of_files_may_be_open(
    layers: dict[str, ConvertedLayer], filling: FsServer
) -> None:
    file = filling.attach(layers["gzip"]) / "specimens/modes/plain"
    before = len(list(Path(f"/proc/{filling.pid}/fd").iterdir()))
    command = [sys.executable, "-c", _HOLD_OPEN, str(file), str(OPEN_FILES // HOLDERS)]
    holders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(HOLDERS)
    ]
    try:
        for holder in holders:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "plain\n"
        assert len(list(Path(f"/proc/{filling.pid}/fd").iterdir())) <= before + 10
    finally:
        for holder in holders:
            holder.communicate()
    assert file.read_bytes() == b"plain\n"


def test_numbers_are_those_of_a_disk_and_stay(
    layers: dict[str, ConvertedLayer], filling: FsServer, backend: Backend
) -> None:
    directory = filling.attach(layers["gzip"])

    def inode_numbers() -> dict[str, int]:
        return {str(p.relative_to(directory)): p.lstat().st_ino for p in directory.rglob("*")}

    numbers = inode_numbers()
    drop_page_cache()
    assert inode_numbers() == numbers
    statuses = [path.lstat() for path in directory.rglob("*")]
    files = [status for status in statuses if not stat.S_ISDIR(status.st_mode)]
    names = Counter(status.st_ino for status in files)
    for status in files:
        assert status.st_nlink == names[status.st_ino]
        assert status.st_blocks == -(-status.st_size // 4096) * 8
    whole = os.statvfs(directory)
    assert whole.f_blocks * whole.f_frsize >= filling.status(layers["gzip"]).content_bytes
    assert whole.f_bavail == 0
    if backend is Backend.FUSE:  # the kernel does not count the files of an EROFS
        assert whole.f_files >= len(numbers)
        assert whole.f_ffree == 0


def test_programs_and_devices_do_what_they_do_in_an_overlayfs_of_the_unpacked_tar(
    layers: dict[str, ConvertedLayer], filling: FsServer, unpacked: Path
) -> None:
    layer = filling.attach(layers["gzip"])
    of_layer, of_tar = (list(_try_specimens(lower / "specimens")) for lower in (layer, unpacked))
    assert of_layer == of_tar
    assert of_layer[0] == "uid 0"


def _try_specimens(lower: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        upper, work, merged = (top / part for part in ("upper", "work", "merged"))
        for directory in (upper, work, merged):
            directory.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
        try:
            yield f"uid {_run_as_nobody(merged / 'modes/setuid', '-u')}"
            yield f"gid {_run_as_nobody(merged / 'modes/setgid', '-g')}"
            yield f"plain {_run_as_nobody(merged / 'modes/plain')}"
            yield f"unreadable {_run_as_nobody('cat', merged / 'modes/none')}"
            with (merged / "nodes/null").open("r+b", buffering=0) as null:
                yield f"null takes {null.write(b'anything')} bytes and gives {null.read(10)!r}"
            yield f"pipe {(merged / 'nodes/pipe').is_fifo()}"
            with (merged / "large").open("r+b") as large:
                large.write(b"copied up")
            yield f"copied up {(merged / 'large').read_bytes()[:20]!r}"
        finally:
            subprocess.run(["umount", merged], check=True)


def _run_as_nobody(program: Path | str, *words: Path | str) -> str:
    try:
        done = subprocess.run(
            [program, *words],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return error.strerror or ""
    return done.stdout.strip() or f"exit code {done.returncode}"
