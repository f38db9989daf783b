"""Random calls, kills and restarts against a dict: the daemon never forgets what it has confirmed, and never grows.

``python -m pytest tests/snapshotter/test_lives.py --lives`` runs the whole of it: more examples, and 10,000 cycles.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from snapshotter.mounts import Kind
from tests.e2e.leftovers import mounts_under
from tests.snapshotter.daemon_home import Home, home_in
from tests.snapshotter.remote_snapshots import RemoteSnapshots

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

_SPARE_THREADS = 8
_KEYS = tuple(f"key-{number}" for number in range(6))
_NAMES = tuple(f"name-{number}" for number in range(4))
_LABELS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]), max_size=2)
_ANY = st.sampled_from([*_KEYS, *_NAMES])


@dataclass(frozen=True, slots=True)
class Expected:
    """What a snapshot must look like."""

    kind: Kind
    parent: str
    labels: dict[str, str]


class Lives(RuleBasedStateMachine):
    """One state directory, one model, and as many daemons one after the other as it takes."""

    process: subprocess.Popen[str]
    snapshots: RemoteSnapshots

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Expected] = {}
        self.cleanups, self.daemon = contextlib.ExitStack(), contextlib.ExitStack()
        self.home = self.cleanups.enter_context(
            home_in(Path(self.cleanups.enter_context(tempfile.TemporaryDirectory(prefix="lif-"))))
        )
        self._start()

    def teardown(self) -> None:
        self.daemon.close()
        self.cleanups.close()

    @rule(key=st.sampled_from(_KEYS), parent=st.sampled_from(["", *_NAMES]), labels=_LABELS)
    def prepare(self, key: str, parent: str, labels: dict[str, str]) -> None:
        self._create(Kind.ACTIVE, key, parent, labels)

    @rule(key=st.sampled_from(_KEYS), parent=st.sampled_from(["", *_NAMES]), labels=_LABELS)
    def view(self, key: str, parent: str, labels: dict[str, str]) -> None:
        self._create(Kind.VIEW, key, parent, labels)

    @rule(key=_ANY, name=st.sampled_from(_NAMES), labels=_LABELS)
    def commit(self, key: str, name: str, labels: dict[str, str]) -> None:
        found = self.model.get(key)
        fits = found is not None and found.kind is Kind.ACTIVE and name not in self.model
        if self._succeeds(fits, lambda: self.snapshots.commit(name, key, labels)):
            assert found is not None
            del self.model[key]
            self.model[name] = Expected(Kind.COMMITTED, found.parent, labels)

    @rule(key=_ANY)
    def remove(self, key: str) -> None:
        fits = key in self.model and all(e.parent != key for e in self.model.values())
        if self._succeeds(fits, lambda: self.snapshots.remove(key)):
            del self.model[key]

    @rule(key=_ANY)
    def mount(self, key: str) -> None:
        fits = key in self.model and self.model[key].kind is not Kind.COMMITTED
        self._succeeds(fits, lambda: self.snapshots.mounts(key))

    @rule()
    def cleanup(self) -> None:
        self.snapshots.cleanup()
        directories = self.home.root / "snapshotter" / "snapshots"
        assert len(list(directories.iterdir())) == len(self.model)

    @rule()
    @precondition(lambda self: self.model)
    def kill_and_start(self) -> None:
        self._kill()
        self._start()
        self.check()

    @rule(key=st.sampled_from(_KEYS), parent=st.sampled_from(["", *_NAMES]))
    def kill_while_it_prepares(self, key: str, parent: str) -> None:
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(self.snapshots.prepare, key, parent, {})
            self._kill()
        confirmed = call.exception() is None
        self._start(may_be_there=None if confirmed else key)
        if confirmed:
            self.model[key] = Expected(Kind.ACTIVE, parent, {})
        self.check()

    def check(self) -> None:
        found = {r.name: Expected(r.kind, r.parent, dict(r.labels)) for r in self.snapshots.walk()}
        assert found == self.model

    def _create(self, kind: Kind, key: str, parent: str, labels: dict[str, str]) -> None:
        below = self.model.get(parent)
        fits = key not in self.model and (not parent or (below and below.kind is Kind.COMMITTED))
        call = self.snapshots.prepare if kind is Kind.ACTIVE else self.snapshots.view
        if self._succeeds(bool(fits), lambda: call(key, parent, labels)):
            self.model[key] = Expected(kind, parent, labels)

    def _succeeds(self, expected: bool, call) -> bool:  # noqa: FBT001 - it is the model's word
        try:
            call()
        except grpc.RpcError:
            assert not expected
            self.check()
            return False
        assert expected
        return True

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _start(self, *, may_be_there: str | None = None) -> None:
        """A daemon; a snapshot that was never confirmed is taken as it is found."""
        self.daemon.close()
        self.process = self.daemon.enter_context(self.home.serving())
        self.snapshots = self.daemon.enter_context(self.home.snapshots())
        for record in self.snapshots.walk([f"name=={may_be_there}"] if may_be_there else []):
            if record.name == may_be_there:
                self.model.setdefault(record.name, Expected(record.kind, record.parent, {}))


def test_what_was_confirmed_survives_kills(lives: int) -> None:
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=1 + lives,  # the first one is always the simplest there is
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process takes."""

    descriptors: int
    mounts: int
    directories: int


def footprint(pid: int, home: Home) -> Footprint:
    return Footprint(
        descriptors=_count(f"/proc/{pid}/fd"),
        mounts=len(mounts_under(home.directory)),
        directories=_count(f"{home.root}/snapshotter/snapshots"),
    )


def _count(directory: str) -> int:
    return sum(1 for _ in Path(directory).iterdir())


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_snapshots_that_come_and_go_leave_nothing(
    home: Home, lives: int, report: Callable[[str], None]
) -> None:
    cycles = 10_000 if lives > 1 else 300
    with home.serving() as daemon, home.snapshots() as snapshots:
        snapshots.prepare("base", "", {})
        snapshots.commit("base-committed", "base", {})
        _come_and_go(snapshots, 200)
        before, resident = footprint(daemon.pid, home), resident_bytes(daemon.pid)
        threads = _count(f"/proc/{daemon.pid}/task")
        _come_and_go(snapshots, cycles)
        assert footprint(daemon.pid, home) == before
        grown = resident_bytes(daemon.pid) - resident
        report(f"{cycles} snapshots that came and went: {grown / 1e6:+.1f} MB resident")
        assert grown < 4 << 20
        # A pool takes one more when a call comes before the thread of the last one is back.
        assert _count(f"/proc/{daemon.pid}/task") - threads < _SPARE_THREADS
        databases = list((home.root / "snapshotter").glob("*.db"))
        assert databases
        assert all(database.stat().st_size < 1 << 20 for database in databases)


def _come_and_go(snapshots: RemoteSnapshots, cycles: int) -> None:
    for number in range(cycles):
        snapshots.prepare(f"container-{number}", "base-committed", {})
        snapshots.remove(f"container-{number}")
        if number % 50 == 49:
            snapshots.cleanup()


@pytest.fixture
def lives(request: pytest.FixtureRequest) -> int:
    return 20 if request.config.getoption("--lives") else 1


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="lif-") as name, home_in(Path(name)) as home:
        yield home
