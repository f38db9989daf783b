"""Everything that goes wrong between us and a registry, seen from a file: each fault once, and for long.

A read succeeds, or fails with EIO before its deadline; the next one tries afresh; no byte is ever wrong, and nothing is left
over: no flight, no slot, no task, no connection, no descriptor, no file.
"""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pyfuse3
import pytest
import trio
import trio.testing
from pyfuse3 import FileHandleT, FileNameT

from fs.layer import Layer
from fs.layer_source import LayerSource
from fs.layers import LayerTable
from fs.operations import LayerOperations, ReadSettings
from fs.request_planning import FetchSettings
from registry.client import ClientSettings
from tests.fakes.registry import FakeRegistry, Fault
from tests.fs.in_process import CONTENT, layer_table

CONTEXT = cast("pyfuse3.RequestContext", None)
PATIENT = ClientSettings(backoff_seconds=0.0001, max_backoff_seconds=0.001, attempts=3)
# Where nothing comes. Elsewhere a busy machine must not be taken for a slow registry.
IMPATIENT = replace(PATIENT, pace_seconds=0.25)
DEADLINE_SECONDS = 20.0
HANG_SECONDS = (
    40.0  # no fault may hold a read for longer than its deadline, and none takes that long
)
MAX_CONNECTIONS = 4  # a pair to each of the two hosts, kept for the next request
LAYER_FILES = {"chunks", "data", "layer.json", "present", "toc.json.zst", "tree"}
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
    return IMPATIENT if name in {"stall", "slow trickle"} else PATIENT


@dataclass(frozen=True, slots=True)
class Mounted:
    """A layer behind the operations that the kernel calls."""

    table: LayerTable
    layer: Layer
    operations: LayerOperations

    async def read(self) -> bytes | int:
        """All of the file, or the errno."""
        root = FileNameT(self.layer.digest.file_name.encode())
        with trio.fail_after(HANG_SECONDS):
            top = await self.operations.lookup(pyfuse3.ROOT_INODE, root, CONTEXT)
            file = await self.operations.lookup(top.st_ino, FileNameT(b"file"), CONTEXT)
            try:
                return await self.operations.read(FileHandleT(file.st_ino), 0, 1 << 20)
            except pyfuse3.FUSEError as error:
                return error.errno


@pytest.fixture(params=["direct", "redirected"])
def route(request: pytest.FixtureRequest, fake: FakeRegistry) -> str:
    """How blobs are reached; a token is always needed."""
    fake.require_token = True
    fake.redirects = request.param == "redirected"
    return str(request.param)


@asynccontextmanager
async def mounted(
    fake: FakeRegistry, source: LayerSource, root: Path, client: ClientSettings = PATIENT
) -> AsyncIterator[Mounted]:
    """A layer for the time of a block, of which nothing is left over."""
    await trio.testing.wait_all_tasks_blocked()
    before = tasks()
    fetching = FetchSettings(silence_seconds=5.0)
    async with layer_table(root, fetching=fetching, client_settings=client) as table:
        layer = await table.attach(source)
        operations = LayerOperations(table, ReadSettings(deadline_seconds=DEADLINE_SECONDS))
        yield Mounted(table, layer, operations)
        with trio.fail_after(HANG_SECONDS):
            while table._node.slots.taken:  # requests end after the flights that they carry
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert connections(fake) <= MAX_CONNECTIONS
        assert layer.fetcher._flights == {}
        assert layer.fetcher._fills == []
        assert "0 waiting" in repr(table._node.slots)
        assert "0 waiting" in repr(table._node.gate)
    await trio.testing.wait_all_tasks_blocked()
    assert tasks() == before
    assert connections(fake) == 0
    assert files_under(root) <= LAYER_FILES


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
async def test_what_happens_once_is_overcome_or_said(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path, route: str, name: str
) -> None:
    async with mounted(fake, source, tmp_path, client_of(name)) as file:
        MATRIX[name](fake, 1)
        # A remembered target that fails is looked for anew; the registry itself is believed.
        is_believed = name in BELIEVED and route == "direct"
        assert await file.read() == (errno.EIO if is_believed else CONTENT)
        fake.faults.clear()
        assert await file.read() == CONTENT


@pytest.mark.parametrize("name", sorted(MATRIX.keys() - ENDS_BY_ITSELF))
async def test_what_happens_for_long_is_an_error_until_it_ends(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path, route: str, name: str
) -> None:
    async with mounted(fake, source, tmp_path, client_of(name)) as file:
        MATRIX[name](fake, 1000)
        is_harmless = name in READ_THROUGH or (name, route) in NEVER_ASKED
        for _ in range(2):
            assert await file.read() == (CONTENT if is_harmless else errno.EIO)
        assert bool(file.layer.statistics().last_error) != is_harmless
        fake.faults.retry_after = None
        fake.faults.clear()
        assert await file.read() == CONTENT


async def test_a_reader_that_gives_up_in_the_middle_leaves_nothing(
    fake: FakeRegistry, source: LayerSource, tmp_path: Path
) -> None:
    async with mounted(fake, source, tmp_path) as file:
        fake.faults.inject(Fault.STALLED)
        with trio.move_on_after(0.02):
            await file.read()
        fake.faults.clear()
        assert await file.read() == CONTENT
