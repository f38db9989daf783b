"""User namespaces made for their maps: what they say, and what is left of them."""

import os
from pathlib import Path

import pytest

from snapshotter.errors import IdMappingError
from snapshotter.user_namespaces import user_namespace

pytestmark = pytest.mark.fuse  # which needs root, too


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_namespace_of_ones_own_that_ends() -> None:
    before = _descriptors()
    with user_namespace(uid_map="0 1000 1\n5 7 2\n", gid_map="0 2000 65536\n") as descriptor:
        own = Path("/proc/self/ns/user").stat()
        assert os.fstat(descriptor).st_ino != own.st_ino
    assert _descriptors() == before


@pytest.mark.parametrize("uid_map", ["0 0 0\n", "0 1000 10\n5 2000 10\n"], ids=["empty", "overlap"])
def test_maps_that_the_kernel_does_not_take(uid_map: str) -> None:
    before = _descriptors()
    with (
        pytest.raises(IdMappingError, match=r"does not take the maps .*Invalid argument"),
        user_namespace(uid_map=uid_map, gid_map="0 2000 1\n"),
    ):
        pass
    assert _descriptors() == before


def test_a_machine_without_unshare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with (
        pytest.raises(IdMappingError, match=r"unshare.* cannot be run: No such file"),
        user_namespace(uid_map="0 1 1\n", gid_map="0 1 1\n"),
    ):
        pass
