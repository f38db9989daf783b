import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given, strategies as st

from snapshotter.sampling.fanotify import FileEvents, Happened, RawEvent, WatchError, parse_events

_FORMAT = "=IBBHQii"


def _event(happened: int, *, descriptor: int = 5, pid: int = 7, more: bytes = b"") -> bytes:
    size = 24 + len(more)
    return struct.pack(_FORMAT, size, 3, 0, 24, happened, descriptor, pid) + more


def test_events_follow_each_other_and_may_be_longer_than_known() -> None:
    data = _event(0x21, more=bytes(8)) + _event(0x4000, descriptor=-1)
    assert list(parse_events(data)) == [
        RawEvent(Happened.READ | Happened.OPENED, 5, 7),
        RawEvent(Happened.OVERFLOW, -1, 7),
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_event(1)[:-1], id="cut short"),
        pytest.param(_event(1) + b"x", id="something behind it"),
        pytest.param(struct.pack(_FORMAT, 24, 2, 0, 24, 1, 5, 7), id="another version"),
        pytest.param(struct.pack(_FORMAT, 0, 3, 0, 24, 1, 5, 7), id="no size"),
        pytest.param(struct.pack(_FORMAT, 25, 3, 0, 24, 1, 5, 7), id="longer than what was read"),
    ],
)
def test_what_is_no_event(data: bytes) -> None:
    with pytest.raises(WatchError):
        list(parse_events(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_refused(data: bytes) -> None:
    try:
        events = list(parse_events(data))
    except WatchError:
        return
    assert len(events) <= len(data) // 24


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / "lower" / name).write_text(name)
    parts = {"lowerdir": "lower", "upperdir": "upper", "workdir": "work"}
    options = ",".join(f"{key}={tmp_path / name}" for key, name in parts.items())
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    yield merged
    subprocess.run(["umount", merged], check=True)


@pytest.mark.fuse
async def test_what_others_open_is_told_in_order(overlay: Path) -> None:
    with FileEvents(overlay) as events:
        await trio.run_process(["cat", overlay / "b", overlay / "a"], capture_stdout=True)
        (overlay / "a").read_text()  # we do not count
        await trio.run_process(["cat", overlay.parent / "lower" / "a"], capture_stdout=True)
        await events.wait()
        seen = list(events.read_queued())
        assert list(events.read_queued()) == []
    assert [Path(event.path) for event in seen] == [overlay / "b", overlay / "a"]
    assert all(event.happened == Happened.READ | Happened.OPENED for event in seen)
    events.close()


@pytest.mark.fuse
def test_a_place_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(WatchError, match="No such file"):
        FileEvents(tmp_path / "missing")
