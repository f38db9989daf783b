"""What needs no containerd; the rest is tested end to end."""

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from registry.digest import Digest
from snapshotter.sampling.ctr_client import Ctr, CtrError
from snapshotter.sampling.sample_root import (
    SampleRootError,
    Unpacking,
    chain_id,
    cleaning_up,
    is_safe_name,
    mounted_root,
)

_LAYERS = [Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")]


def test_chain_ids_are_those_of_the_image_specification() -> None:
    two = Digest.of(f"{_LAYERS[0]} {_LAYERS[1]}".encode())
    assert chain_id(_LAYERS[:1]) == str(_LAYERS[0])
    assert chain_id(_LAYERS) == str(Digest.of(f"{two} {_LAYERS[2]}".encode()))


def test_names_are_no_options() -> None:
    assert is_safe_name("k8s.io")
    assert not any(map(is_safe_name, ["", "-x", "a b", "a/b"]))


def _unpacking(directory: Path, monkeypatch: pytest.MonkeyPatch, *, answer: str) -> Unpacking:
    """A ``ctr`` that has the image, and answers like this when it prepares a snapshot."""
    program = directory / "ctr"
    program.write_text(
        f'#!/bin/sh\ncd {directory}\nshift 4\necho "$*" >> calls\n'
        'case "$4 $5" in "ls "*) cat keys ;; '
        f"prepare*) echo \"$6\" >> keys; echo '{answer}' ;; rm*) rm keys ;; esac\n"
    )
    program.chmod(0o755)
    (directory / "keys").write_text(f"KEY PARENT KIND\n{chain_id(_LAYERS)}   Committed\n")
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    ctr = Ctr("/run/c.sock", "default")
    return Unpacking(ctr=ctr, snapshotter="some", name="", plain_http=False)


_OVERLAY = '[{"Type":"overlay","Source":"overlay","Target":"","Options":["lowerdir=/a:/b"]}]'


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ('[{"Type":"bind","Source":"/x","Options":["rw"]}]', SampleRootError, "overlayfs"),
        (_OVERLAY, SampleRootError, "2 directories for 3 layers"),
        ("nonsense", CtrError, "prepare"),
    ],
)
async def test_a_snapshot_that_cannot_be_used_is_removed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    error: type[Exception],
    message: str,
) -> None:
    unpacking = _unpacking(tmp_path, monkeypatch, answer=answer)
    with pytest.raises(error, match=message):
        async with mounted_root(unpacking, _LAYERS, run_name="run"):
            raise AssertionError
    assert (tmp_path / "calls").read_text().splitlines()[
        -1
    ] == "snapshots --snapshotter some rm run"


async def test_an_image_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacking = _unpacking(tmp_path, monkeypatch, answer="")
    with pytest.raises(SampleRootError, match="cannot be pulled"):
        async with mounted_root(unpacking, _LAYERS[:2], run_name="run"):
            raise AssertionError


async def test_an_image_without_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacking = _unpacking(tmp_path, monkeypatch, answer="")
    with pytest.raises(SampleRootError, match="no layers"):
        async with mounted_root(unpacking, [], run_name="run"):
            raise AssertionError


async def test_cleaning_up_takes_its_time_but_not_forever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    done = False
    with trio.move_on_after(1):
        async with cleaning_up():
            await trio.sleep(60)
            done = True
    assert done
    with pytest.raises(CtrError, match="not done after 120 s"):
        async with cleaning_up():
            await trio.sleep_forever()
