"""What the service manager holds of a connection, and whether the next life can use it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs.erofs.descriptor_store import STORED_NAME, drop, store, stored
from fs.erofs.keeper import Kept
from fs.mounting import mount_fuse, unmount_lazily
from tests.fakes.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
        yield manager


def test_nobody_offers_to_hold_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not store(Kept(0, b""))
    drop()
    assert stored(()) is None


@pytest.mark.fuse
def test_a_connection_comes_back_as_long_as_it_is_one(
    manager: ServiceManager, tmp_path: Path
) -> None:
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    descriptor = mount_fuse("test", mountpoint)
    for state in (b"old", b"new"):  # what came last counts
        assert store(Kept(descriptor, state))
        manager.wait_stored()
    os.close(descriptor)
    kept = stored([os.dup(number) for number in manager.held[STORED_NAME]])
    assert kept is not None
    assert kept.state == b"new"
    assert not os.get_inheritable(kept.descriptor)
    os.close(kept.descriptor)
    unmount_lazily(mountpoint)
    assert stored([os.dup(number) for number in manager.held[STORED_NAME]]) is None


def test_what_does_not_belong_together_is_closed() -> None:
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    assert stored(descriptors) is None
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
