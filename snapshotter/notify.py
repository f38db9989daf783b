"""Telling systemd how a service of Type=notify is doing."""

import os
import socket
import time


def notify(state: str) -> None:
    """Sends a state, such as ``READY=1``, to whoever started this process and wants to know.

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
        connection.sendall(state.encode())


def notify_reloading() -> None:
    """Says that the configuration is being read again; ``READY=1`` says that it has been.

    Raises:
        OSError: somebody wanted to know, and cannot be reached.
    """
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify(f"RELOADING=1\nMONOTONIC_USEC={now}")
