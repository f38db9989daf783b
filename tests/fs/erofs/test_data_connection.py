import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.erofs import keeper
from fs.erofs.data_connection import connect, data_mountpoint, disconnect, let_keep
from fs.erofs.fuse_protocol import HAS_RESEND, Negotiated
from fs.erofs.keeper import Kept
from fs.mounting import mounts_at, unmount_lazily
from tests.e2e.leftovers import processes_under, wait_for_exit

pytestmark = pytest.mark.fuse
NEGOTIATED = Negotiated(38, HAS_RESEND)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    keepers = processes_under(tmp_path)
    disconnect(tmp_path)
    assert wait_for_exit(keepers, deadline_seconds=10)
    assert mounts_at(data_mountpoint(tmp_path)) == []


def test_a_connection_is_taken_over(root: Path) -> None:
    first = connect(root)
    assert first.negotiated is None
    let_keep(root, first, NEGOTIATED)
    os.close(first.descriptor)
    second = connect(root)
    assert second.negotiated == NEGOTIATED
    assert len(mounts_at(data_mountpoint(root))) == 1
    os.close(second.descriptor)


@pytest.mark.parametrize(
    "state", ["unmounted", "cannot resend", "nothing kept", "of another version"]
)
def test_one_that_is_of_no_use_is_made_anew(root: Path, state: str) -> None:
    first = connect(root)
    if state != "nothing kept":
        let_keep(root, first, Negotiated(31, 0) if state == "cannot resend" else NEGOTIATED)
    if state == "of another version":
        keeper.keep(root / "keeper", Kept(first.descriptor, b"{}"))
    if state == "unmounted":
        unmount_lazily(data_mountpoint(root))
    os.close(first.descriptor)
    second = connect(root)
    assert second.negotiated is None
    assert len(mounts_at(data_mountpoint(root))) == 1
    os.close(second.descriptor)
