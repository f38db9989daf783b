"""Two hundred layers come and go in one fs server, again and again, and leave nothing: no mount, device, descriptor, thread or memory."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fs.layer_source import LayerSource
from fs.proto import control_pb2
from fs.settings import Backend, FsSettings
from tests.e2e.leftovers import mounts_under
from tests.fakes.registry import FakeRegistry
from tests.fs.fs_server import FsServer
from tests.fs.in_process import NOTHING_UNASKED, push
from tests.fs.layers_by_hand import HandmadeBlob

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

LAYERS = 200
AT_ONCE = 8
ROUNDS = 2  # the first of them warms up
# What the allocator keeps varies by one or two MiB, and grows no more after some rounds; this much for each layer would be a leak.
MAX_GROWTH_BYTES = LAYERS * (20 << 10)


def content(number: int) -> bytes:
    return b"%d " % number * 2000


@dataclass(frozen=True, slots=True)
class Held:
    """What a process has, and what there is of its mounts."""

    resident_bytes: int
    descriptors: int
    threads: int
    mounts: int
    loop_devices: int


def held(server: FsServer) -> Held:
    process = Path(f"/proc/{server.pid}")
    found = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
    assert found is not None
    devices = Path("/sys/block").glob("loop*/loop/backing_file")
    return Held(
        resident_bytes=int(found[1]) << 10,
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        mounts=len(mounts_under(server.root)),
        loop_devices=sum(str(server.root) in device.read_text() for device in devices),
    )


@pytest.fixture
def layers(fake: FakeRegistry) -> list[LayerSource]:
    sources = []
    for number in range(LAYERS):
        blob = HandmadeBlob()
        blob.add_file("file", content(number))
        sources.append(push(blob, fake))
    return sources


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FsServer]:
    settings = FsSettings(backend=Backend.EROFS, filling=NOTHING_UNASKED)
    with FsServer(tmp_path, settings) as server:
        yield server


def test_many_layers_leave_nothing_behind(
    server: FsServer, layers: list[LayerSource], report: Callable[[str], None]
) -> None:
    at_first = held(server)

    def come(number: int) -> None:
        directory = server.attach(layers[number])
        assert (directory / "file").read_bytes() == content(number)
        if number % 2:  # half of them are mounted a second time, on their own content
            server.attach(layers[number])

    def go(number: int) -> None:
        detach = control_pb2.DetachRequest(layer_digest=str(layers[number].digest))
        server.control.Detach(detach, timeout=10)

    with ThreadPoolExecutor(AT_ONCE) as threads:

        def cycle() -> Held:
            list(threads.map(come, range(LAYERS)))
            assert held(server).mounts == at_first.mounts + LAYERS
            list(threads.map(go, range(LAYERS)))
            return held(server)

        warm, *_, last = [cycle() for _ in range(ROUNDS)]
    growth = last.resident_bytes - warm.resident_bytes
    report(f"{LAYERS} layers came and went, {growth:,} bytes more than before: {last}")
    assert (last.mounts, last.loop_devices) == (at_first.mounts, at_first.loop_devices)
    # Threads that work for trio, and idle connections, come and go; one for each layer would be seen.
    assert last.descriptors < warm.descriptors + 20
    assert last.threads < warm.threads + 20
    assert growth < MAX_GROWTH_BYTES
    assert not any(path.is_file() for path in (server.root / "layers").rglob("*"))
