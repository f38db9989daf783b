"""A keeper outlives the control group that it was started in."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs import cgroups
from fs.cgroups import _mountpoint
from fs.erofs import keeper
from fs.erofs.keeper import Kept
from tests.e2e.leftovers import processes_under, wait_for_exit

pytestmark = pytest.mark.fuse  # needs root, too

_START = """
import os, sys
from pathlib import Path
from fs.erofs import keeper
(Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))
keeper.start(Path(sys.argv[2]))
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def group() -> Iterator[Path]:
    mounted = _mountpoint()
    assert mounted is not None, "cgroup2 is not mounted"
    group = mounted / f"pyestargz-test-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()


def test_a_keeper_leaves_the_group_of_who_started_it(group: Path, tmp_path: Path) -> None:
    path = tmp_path / "keeper"
    environment = {name: text for name, text in os.environ.items() if name != "NOTIFY_SOCKET"}
    with subprocess.Popen(
        [sys.executable, "-c", _START, group, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        with open(os.devnull, "rb") as kept:  # noqa: PTH123 - any descriptor
            keeper.keep(path, Kept(kept.fileno(), b"state"))
        (group / "cgroup.kill").write_text("1")
        assert starter.wait(20) != 0
    found = keeper.kept(path)
    assert found is not None
    os.close(found.descriptor)
    pids = {pid: one for pid, one in processes_under(tmp_path).items() if "fs.erofs.keeper" in one}
    keeper.end(path)
    assert wait_for_exit(pids, deadline_seconds=10)


def test_who_is_in_the_topmost_group_stays_there() -> None:
    if cgroups._own_path() == "/":
        assert not cgroups.leave("pyestargz-test")
    cgroups.remove("no-such-group")
