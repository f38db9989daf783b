"""With a program in place of ``ctr``: what is real about containers is tested end to end."""

import os
from pathlib import Path

import pytest

from snapshotter.sampling.ctr_client import Ctr
from snapshotter.sampling.sample_container import Ended, Limits, SampleContainer, SampleError, Stop

_CTR = """\
#!/bin/sh
# A client with one container, which is what it is told to be.
shift 4
cd {directory}
echo "$*" >> calls
case "$1 $2" in
    "run --rm") echo $$ > "$6"; touch there; trap 'rm there; exit 137' TERM
        echo $$ > running; {run}; rm there; exit "$status" ;;
    "tasks kill") kill "$(cat running)" ;;
    "containers ls") test -e there && echo sample ;;
    "containers rm") rm there ;;
esac
exit 0
"""


def _container(
    directory: Path, monkeypatch: pytest.MonkeyPatch, run: str, limits: Limits
) -> SampleContainer:
    program = directory / "ctr"
    program.write_text(_CTR.format(directory=directory, run=run))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return SampleContainer(Ctr("/run/c.sock", "default"), "sample", limits)


def _limits(
    *, period_seconds: float = 60, wait_on_line: str = "", output: list[bytes] | None = None
) -> Limits:
    return Limits(
        period_seconds=period_seconds,
        wait_on_line=wait_on_line,
        on_output=([] if output is None else output).append,
    )


async def test_it_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output: list[bytes] = []
    run = "echo hello; status=3"
    container = _container(tmp_path, monkeypatch, run, _limits(output=output))
    assert not container.is_running
    assert await container.run(b"{}") == Ended(Stop.EXIT, 3)
    assert b"".join(output) == b"hello\n"
    assert not container.is_running


_SLEEP = "sleep 1000 & wait $!"


async def test_its_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = _container(tmp_path, monkeypatch, _SLEEP, _limits(period_seconds=0.5))
    assert await container.run(b"{}") == Ended(Stop.PERIOD, None)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[1:] == ["tasks kill --all --signal SIGKILL sample", "containers ls -q"]
    assert not (tmp_path / "there").exists()


async def test_it_prints_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = f"printf 'no\\nrea'; printf 'dy now'; {_SLEEP}"
    container = _container(tmp_path, monkeypatch, run, _limits(wait_on_line="ready"))
    assert await container.run(b"{}") == Ended(Stop.LINE, None)


async def test_it_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = _container(tmp_path, monkeypatch, 'rm "$6"; status=1', _limits())
    with pytest.raises(SampleError, match="status 1"):
        await container.run(b"{}")


async def test_what_is_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = _container(tmp_path, monkeypatch, "kill -9 $$", _limits())
    assert await container.run(b"{}") == Ended(Stop.EXIT, -9)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[-2:] == ["tasks rm --force sample", "containers rm sample"]
