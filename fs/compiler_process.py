"""The compiler: a process that waits with all that compiling needs loaded, and divides for each compilation.

``python -m fs.compiler_process DESCRIPTOR ROOT`` reads from the unix socket it inherits as that descriptor, and ends when nobody
holds the other end. A message is a ``Compilation``; with it come a descriptor of the raw TOC and one to write the answer to.
The child that does it takes its memory with it when it ends; what kills it harms nobody else.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from estargz.errors import TocError
from fs.compilation import Compilation

MAX_MESSAGE_BYTES = 64 << 10
_DESCRIPTORS = 2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a compilation ended: well, if no error is there.

    Attributes:
        parse_seconds: how long the TOC's JSON took.
        toc_error: the entry that breaks a rule, and the rule.
        os_error: the number of the error, and the words for it.
    """

    parse_seconds: float = 0.0
    toc_error: tuple[str, str] | None = None
    os_error: tuple[int, str] | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the compiler until nobody can ask it any more; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    for number in (signal.SIGINT, signal.SIGTERM):  # the socket tells when it is over
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    os.chdir("/")
    _be_expendable()
    gc.disable()  # or children would copy every page that it visits; a compilation leaves nothing in cycles
    with socket.socket(fileno=int(words[0])) as asked:
        _serve(asked)
    return 0


def _be_expendable() -> None:
    """Where memory is short, a compilation may be killed like anything else; the fs server, from which it has this, may not."""
    adjustment = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):
        if int(adjustment.read_text()) < 0:
            adjustment.write_text("0")


def _serve(asked: socket.socket) -> None:
    while True:
        message, descriptors, *_ = socket.recv_fds(asked, MAX_MESSAGE_BYTES, _DESCRIPTORS)
        if not message:
            return
        with contextlib.suppress(OSError):  # no room for a child: who asks sees that nobody answers
            if os.fork() == 0:
                asked.close()
                _answer(message, *descriptors)
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer(message: bytes, toc: int, answer: int) -> None:
    outcome = _outcome(msgspec.json.decode(message, type=Compilation), toc)
    with contextlib.suppress(BrokenPipeError), os.fdopen(answer, "wb") as output:
        output.write(msgspec.json.encode(outcome))


def _outcome(compilation: Compilation, toc: int) -> Outcome:
    try:
        with os.fdopen(toc, "rb") as file:
            return Outcome(parse_seconds=compilation.carry_out(file.read()))
    except TocError as error:
        return Outcome(toc_error=(error.entry, error.reason))
    except OSError as error:
        return Outcome(os_error=(error.errno or 0, str(error)))


if __name__ == "__main__":
    sys.exit(main())
