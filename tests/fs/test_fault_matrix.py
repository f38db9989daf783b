"""Everything that goes wrong between us and a registry, seen from a file in a real mount: each fault once, and for long.

A read succeeds, or fails with EIO before its deadline; what is here can be read meanwhile; the next read tries afresh, also of
pages that the kernel could not fill; no byte is ever wrong, and nothing is left over: no flight, no slot, no task, no
connection, no descriptor, no mount, no file.
"""

import contextlib
import errno
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.testing

from fs.erofs.metadata_file import METADATA_NAME
from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from fs.request_planning import FetchSettings
from fs.settings import Backend
from registry.client import ClientSettings
from registry.digest import Digest
from registry.reference import Reference
from tests.e2e.leftovers import mounts_under
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.fs_server import read_uncached
from tests.fs.in_process import CONTENT, REPOSITORY, layer_table
from tests.fs.in_process_mounts import TREES, read
from tests.fs.layers_by_hand import HandmadeBlob

pytestmark = pytest.mark.fuse

HERE = bytes(reversed(CONTENT))
PATIENT = ClientSettings(backoff_seconds=0.0001, max_backoff_seconds=0.001, attempts=3)
# Where nothing comes. Elsewhere a busy machine must not be taken for a slow registry.
IMPATIENT = replace(PATIENT, pace_seconds=0.25, attempts=2)
NOTHING_COMES = {"stall", "slow trickle"}
HANG_SECONDS = (
    40.0  # no fault may hold a read for longer than its deadline, and none takes that long
)
MAX_CONNECTIONS = 4  # a pair to each of the two hosts, kept for the next request
LAYER_FILES = {"chunks", "data", "layer.json", "present", "toc.json.zst", "tree", METADATA_NAME}
# Faults that need no second attempt of ours, or that no attempt would mend.
READ_THROUGH = {"200 instead of 206"}
NEVER_ASKED = {("401", "redirected")}  # the address that was remembered needs no token
BELIEVED = {"400 for a range", "403", "404", "416"}


def by(fault: Fault) -> Callable[[FakeRegistry, int], None]:
    return lambda fake, times: fake.faults.inject(fault, times=times)


def ask_to_wait(fake: FakeRegistry, times: int) -> None:
    fake.faults.retry_after = "0" if times == 1 else "1000"
    fake.faults.inject(Fault.RATE_LIMITED, times=times)


MATRIX: dict[str, Callable[[FakeRegistry, int], None]] = {
    "expired redirect": lambda fake, _: fake.expire_redirects(),
    "revoked token": lambda fake, _: fake.revoke_tokens(),
    "401": by(Fault.UNAUTHORIZED),
    "400 for a range": by(Fault.RANGE_REFUSED),
    "403": by(Fault.FORBIDDEN),
    "404": by(Fault.MISSING),
    "416": by(Fault.RANGE_UNSATISFIABLE),
    "429 with Retry-After": ask_to_wait,
    "500": by(Fault.BROKEN),
    "503": by(Fault.BUSY),
    "200 instead of 206": by(Fault.RANGE_IGNORED),
    "another range": by(Fault.OTHER_RANGE),
    "wrong Content-Range": by(Fault.OTHER_CONTENT_RANGE),
    "short body": by(Fault.SHORT_BODY),
    "stall": by(Fault.STALLED),
    "slow trickle": by(Fault.TRICKLE),
    "reset": by(Fault.RESET),
    "hung up": by(Fault.HUNG_UP),
    "wrong bytes": by(Fault.WRONG_BYTES),
}
ENDS_BY_ITSELF = {"expired redirect", "revoked token"}


def client_of(name: str) -> ClientSettings:
    return IMPATIENT if name in NOTHING_COMES else PATIENT


@dataclass(frozen=True, slots=True)
class Mounted:
    """A layer in a real mount, and what a reader sees there."""

    layer: Layer
    directory: Path

    async def read(self) -> bytes | int:
        """All of the file that has to be fetched, or the errno."""
        with trio.fail_after(HANG_SECONDS):
            try:
                return await read(self.directory / "file")
            except OSError as error:
                return error.errno or 0

    async def read_what_is_here(self) -> bytes:
        """The file that was fetched before, asked for again by the kernel."""
        with trio.fail_after(HANG_SECONDS):
            path = self.directory / "here"
            return await trio.to_thread.run_sync(read_uncached, path, abandon_on_cancel=True)


@pytest.fixture(scope="module")
def blob() -> tuple[bytes, Digest]:
    """A layer with a file to fetch, of four chunks, and one that is never asked for along with it; and its TOC's digest."""
    blob = HandmadeBlob()
    blob.add_file("file", CONTENT, chunk_bytes=4096)
    blob.add_file("between", random.Random(1).randbytes(1 << 20))
    blob.add_file("here", HERE)
    toc_digest = blob.finish()
    return bytes(blob.data), toc_digest


@pytest.fixture
def source(fake: FakeRegistry, blob: tuple[bytes, Digest]) -> LayerSource:
    digest = fake.add_blob(REPOSITORY, blob[0])
    return LayerSource(Reference.parse(f"{fake.host}/{REPOSITORY}:1"), digest, blob[1])


@pytest.fixture(params=[Backend.FUSE, Backend.EROFS])
def backend(request: pytest.FixtureRequest) -> Backend:
    return Backend(request.param)


@pytest.fixture(params=["direct", "redirected"])
def route(request: pytest.FixtureRequest, fake: FakeRegistry) -> str:
    """How blobs are reached; a token is always needed."""
    fake.require_token = True
    fake.redirects = request.param == "redirected"
    return str(request.param)


@dataclass(frozen=True, slots=True)
class Site:
    """Where layers come from, and how they are shown."""

    fake: FakeRegistry
    source: LayerSource
    backend: Backend
    root: Path

    @asynccontextmanager
    async def mounted(self, client: ClientSettings = PATIENT) -> AsyncIterator[Mounted]:
        """A layer for the time of a block, of which nothing is left over."""
        await trio.testing.wait_all_tasks_blocked()
        before = tasks()
        fetching = FetchSettings(silence_seconds=5.0)
        kept = self.root / "layers"
        async with layer_table(kept, fetching=fetching, client_settings=client) as table:
            async with TREES[self.backend](table, self.root) as trees:
                layer = await table.attach(self.source)
                mounted = Mounted(layer, await trees.show(layer))
                assert await mounted.read_what_is_here() == HERE
                yield mounted
            await self._wait_idle(table)
            assert connections(self.fake) <= MAX_CONNECTIONS
            assert layer.fetcher._flights == {}
            assert layer.fetcher._fills == []
            assert "0 waiting" in repr(table._node.slots)
            assert "0 waiting" in repr(table._node.gate)
        await trio.testing.wait_all_tasks_blocked()
        assert tasks() == before
        assert connections(self.fake) == 0
        assert mounts_under(self.root) == []
        assert files_under(kept) <= LAYER_FILES

    async def _wait_idle(self, table: LayerTable) -> None:
        with trio.fail_after(HANG_SECONDS):
            while table._node.slots.taken:  # requests end after the flights that they carry
                await trio.testing.wait_all_tasks_blocked(0.001)


@pytest.fixture
def site(
    fake: FakeRegistry, source: LayerSource, backend: Backend, tmp_path: Path
) -> Iterator[Site]:
    yield Site(fake, source, backend, tmp_path)
    gc.collect()  # a layer's content is closed with the last that holds it
    # pyfuse3 keeps what it was given until it is given something else.
    left = ("/dev/fuse",) if backend is Backend.FUSE else ("/dev/fuse", str(tmp_path))
    assert [path for path in open_files() if path.startswith(left)] == []


def open_files() -> list[str]:
    """The paths of all that this process has open."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the iteration
            targets.append(str(descriptor.readlink()))
    return targets


def files_under(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file()}


def connections(fake: FakeRegistry) -> int:
    """How many connections to the registry and its CDN are held open on our side (proc(5), net/tcp)."""
    ports = {int(host.rpartition(":")[2]) for host in (fake.host, fake.cdn_host)}
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    remote_ports = [int(row[2].rpartition(":")[2], 16) for row in rows if row[9] != "0"]
    return sum(port in ports for port in remote_ports)


def tasks() -> int:
    """How many tasks there are."""
    root = trio.lowlevel.current_root_task()
    found, waiting = 0, [root]
    while waiting:
        task = waiting.pop()
        if task is not None:
            found += 1
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


@pytest.mark.parametrize("name", MATRIX)
async def test_what_happens_once_is_overcome_or_said(site: Site, route: str, name: str) -> None:
    async with site.mounted(client_of(name)) as file:
        MATRIX[name](site.fake, 1)
        # A remembered target that fails is looked for anew; the registry itself is believed, and then the kernel may ask again:
        # for the one page that a reader waits for, and not what was to be read ahead.
        is_believed = name in BELIEVED and route == "direct"
        assert await file.read() in ({CONTENT, errno.EIO} if is_believed else {CONTENT})
        assert await file.read_what_is_here() == HERE
        site.fake.faults.clear()
        assert await file.read() == CONTENT


@pytest.mark.parametrize("name", sorted(MATRIX.keys() - ENDS_BY_ITSELF))
async def test_what_happens_for_long_is_an_error_until_it_ends(
    site: Site, route: str, name: str
) -> None:
    async with site.mounted(client_of(name)) as file:
        MATRIX[name](site.fake, 1000)
        is_harmless = name in READ_THROUGH or (name, route) in NEVER_ASKED
        for _ in range(1 if name in NOTHING_COMES else 2):  # the kernel asks more than once
            assert await file.read() == (CONTENT if is_harmless else errno.EIO)
            assert await file.read_what_is_here() == HERE
        assert bool(file.layer.statistics().last_error) != is_harmless
        site.fake.faults.retry_after = None
        site.fake.faults.clear()
        assert await file.read() == CONTENT


async def test_a_reader_that_gives_up_in_the_middle_leaves_nothing(site: Site) -> None:
    async with site.mounted() as file:
        site.fake.faults.inject(Fault.STALLED)
        reader = await trio.lowlevel.open_process(["cat", file.directory / "file"])
        await trio.to_thread.run_sync(site.fake.faults.wait_stalled)
        reader.kill()
        with trio.fail_after(HANG_SECONDS):
            await reader.wait()
        site.fake.faults.clear()
        assert await file.read() == CONTENT
