"""containerd's own command line client, which every node with containerd has.

What ``ctr`` knows need not be written again: pulling with containerd's settings, and running a container to its end.
"""

import subprocess
from dataclasses import dataclass
from typing import Final

import trio

from snapshotter.errors import CommandError

_DEADLINE_SECONDS: Final = 60.0
_SHOWN_CHARACTERS: Final = 500


class CtrError(CommandError):
    """A call of ``ctr`` failed; the reason is what it said last."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"ctr {what}: {reason}")
        self.what = what
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ctr:
    """Calls ``ctr`` for one containerd and namespace."""

    address: str
    namespace: str

    def argv(self, *words: str) -> list[str]:
        """The command line of a call."""
        return ["ctr", "--address", self.address, "--namespace", self.namespace, *words]

    async def call(self, *words: str, timeout_seconds: float = _DEADLINE_SECONDS) -> str:
        """Runs a call to its end; gives what it printed.

        Raises:
            CtrError: it failed, there is no ``ctr``, or it did not end in time.
        """
        return await run_to_end(self.argv(*words), " ".join(words), timeout_seconds=timeout_seconds)


async def run_to_end(argv: list[str], what: str, *, timeout_seconds: float) -> str:
    """Runs a program without a terminal; gives what it printed.

    Args:
        argv: the program and its words.
        what: how messages call it.
        timeout_seconds: when it is ended.

    Raises:
        CtrError: it failed, does not exist, or did not end in time.
    """
    try:
        with trio.fail_after(timeout_seconds):
            done = await trio.run_process(
                argv,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
    except trio.TooSlowError:
        raise CtrError(what, f"no end after {timeout_seconds:.0f} s") from None
    except FileNotFoundError:
        raise CtrError(what, f"{argv[0]} is not installed") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"]
        raise CtrError(what, said[-1].removeprefix("ctr: ")[-_SHOWN_CHARACTERS:])
    return done.stdout.decode(errors="replace")
