import sys

import pytest

from snapshotter.sampling.ctr_client import Ctr, CtrError, run_to_end


def test_a_call_names_containerd_and_namespace() -> None:
    words = Ctr("/run/c.sock", "k8s.io").argv("images", "ls")
    assert words == ["ctr", "--address", "/run/c.sock", "--namespace", "k8s.io", "images", "ls"]


async def test_what_is_printed_is_returned() -> None:
    argv = [sys.executable, "-c", "import sys; print(sys.stdin.read() or 'nothing')"]
    assert await run_to_end(argv, "test", timeout_seconds=30) == "nothing\n"


async def test_the_reason_of_a_failure_is_the_last_line() -> None:
    code = "import sys; print('first\\nctr: the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(CtrError, match="ctr images pull: the reason"):
        await run_to_end([sys.executable, "-c", code], "images pull", timeout_seconds=30)


async def test_a_program_that_says_nothing() -> None:
    with pytest.raises(CtrError, match="it failed"):
        await run_to_end(["false"], "x", timeout_seconds=30)


async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CtrError, match="pyestargz-missing is not installed"):
        await run_to_end(["pyestargz-missing"], "x", timeout_seconds=30)


async def test_a_program_that_does_not_end() -> None:
    with pytest.raises(CtrError, match="no end after"):
        await run_to_end(["sleep", "1000"], "x", timeout_seconds=0.1)
