"""systemd, as far as a service talks to it (sd_notify(3), sd_listen_fds(3)): what it is told, and what it holds for us.

It can hold descriptors while none of our processes lives (``FDSTORE=1``), and gives them to the main process of the
next life.
"""

import os
import socket
from collections.abc import MutableMapping, Sequence

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


def is_there() -> bool:
    """Whether whoever started this service wants to be told of it."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def tell(state: str, descriptors: Sequence[int] = ()) -> None:
    """Sends a state, such as ``READY=1``, and descriptors that belong to it; nothing if nobody wants to know.

    Raises:
        OSError: somebody wanted to know, and cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # in the abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect(address)
        socket.send_fds(connection, [state.encode()], descriptors)


def take_held(name: str, environment: MutableMapping[str, str]) -> tuple[int, ...]:
    """The descriptors of a name that this process was started with; others are closed, and no child is told of any.

    Args:
        name: as they were given (``FDNAME``).
        environment: this process's.
    """
    told = [environment.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if told[0] != str(os.getpid()) or not told[1].isdecimal():
        return ()
    descriptors = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(told[1]))
    names = dict(zip(descriptors, told[2].split(":"), strict=False))
    held = tuple(number for number in descriptors if names.get(number) == name)
    for number in descriptors:
        if number in held:
            os.set_inheritable(number, False)  # noqa: FBT003 - as the library has it
        else:
            os.close(number)
    return held
