"""The keeper: a process that does nothing but hold a descriptor, so that it outlives who serves it.

``python -m fs.erofs.keeper DESCRIPTOR`` listens on the unix socket it inherits as that descriptor. It holds
one ``/dev/fuse`` descriptor and a few bytes that belong to it, and gives both to whoever asks: while
somebody holds the descriptor, the kernel lets readers wait instead of failing them. It imports next to
nothing and reads nothing but its socket. Who serves the descriptor watches it, too: a connection on which it
has said so stays open until it ends. It outlives versions of everything else, so messages keep their meaning.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fs import cgroups, service_manager

# A message begins with one of these; what is kept follows.
_KEEP, _GIVE, _WATCH, _END = b"K", b"G", b"W", b"E"
_DONE = b"D"
MAX_STATE_BYTES = 4096
_TALK_SECONDS = 5.0
_GROUP = "pyestargz-keeper"


@dataclass(frozen=True, slots=True)
class Kept:
    """A descriptor, owned by whoever has this, and what belongs to it."""

    descriptor: int
    state: bytes


def start(path: Path) -> None:
    """Starts a keeper that listens on a socket; it outlives this process, and its terminal.

    Raises:
        OSError: the socket cannot be made, or the process not started.
        subprocess.CalledProcessError: it died.
    """
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.listen()
        descriptor = listening.fileno()
        # The path is told for those who look at processes.
        command = [sys.executable, "-m", "fs.erofs.keeper", str(descriptor), str(path)]
        subprocess.run(  # noqa: S603 - our own program, without a shell
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,
        )


def keep(path: Path, kept: Kept) -> None:
    """Lets the keeper hold a descriptor, in place of what it held.

    Raises:
        OSError: there is no keeper.
    """
    with _connected(path) as talking:
        socket.send_fds(talking, [_KEEP + kept.state], [kept.descriptor])
        if talking.recv(1) != _DONE:
            raise ConnectionResetError(f"{path}: the keeper did not take the descriptor")


def kept(path: Path) -> Kept | None:
    """What the keeper holds; None if it holds nothing, or there is none."""
    with contextlib.suppress(OSError), _connected(path) as talking:
        talking.send(_GIVE)
        state, descriptors, *_ = socket.recv_fds(talking, 1 + MAX_STATE_BYTES, 1)
        if descriptors:
            os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - as the library has it
            return Kept(descriptors[0], state[1:])
    return None


def watch(path: Path) -> socket.socket | None:
    """A connection that is readable once the keeper has ended; None if there is none, or none that can be watched."""
    try:
        watching = _connected(path)
    except OSError:
        return None
    try:
        watching.send(_WATCH)
        if watching.recv(1) == _DONE:
            watching.settimeout(0.0)
            return watching
    except OSError:
        pass
    watching.close()
    return None


def end(path: Path) -> None:
    """Ends the keeper, if there is one; it lets go of what it holds."""
    with contextlib.suppress(OSError), _connected(path) as talking:
        talking.send(_END)
        talking.recv(1)
    path.unlink(missing_ok=True)
    cgroups.remove(_GROUP)


def _connected(path: Path) -> socket.socket:
    talking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    talking.settimeout(_TALK_SECONDS)
    try:
        talking.connect(os.fspath(path))
    except OSError:
        talking.close()
        raise
    return talking


class _Keeper:
    def __init__(self) -> None:
        self.held: Kept | None = None
        self._watcher: socket.socket | None = (
            None  # whoever came last; it is told of the end by a closed connection
        )

    def serve(self, listening: socket.socket) -> None:
        """Answers one after the other, until it is told to end."""
        while True:
            talking, _ = listening.accept()
            with talking:
                talking.settimeout(_TALK_SECONDS)
                with contextlib.suppress(OSError):  # that one is gone; the next one may not be
                    if self._answer(talking):
                        return

    def _answer(self, talking: socket.socket) -> bool:
        """Answers one message; tells whether it was the last."""
        message, descriptors, *_ = socket.recv_fds(talking, 1 + MAX_STATE_BYTES, 1)
        kind, state = message[:1], message[1:]
        if kind == _KEEP and descriptors:
            if self.held is not None:
                os.close(self.held.descriptor)
            self.held = Kept(descriptors[0], state)
        elif kind == _WATCH:
            if self._watcher is not None:
                self._watcher.close()
            self._watcher = talking.dup()
        elif kind == _GIVE and self.held is not None:
            socket.send_fds(talking, [_DONE + self.held.state], [self.held.descriptor])
            return False
        talking.send(_DONE)
        return kind == _END


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a keeper until it is told to end; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when it is told to, or is killed
    os.chdir("/")
    if os.fork() != 0:  # nobody's child, so nobody's zombie
        os._exit(0)
    if not service_manager.is_there():  # that one knows its groups, and holds the descriptor itself
        cgroups.leave(_GROUP)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    with socket.socket(fileno=int(words[0])) as listening:
        _Keeper().serve(listening)
    return 0


if __name__ == "__main__":
    sys.exit(main())
