"""Telling systemd how a service of Type=notify is doing."""

import time

from fs.service_manager import tell


def notify(state: str) -> None:
    """Sends a state, such as ``READY=1``, to whoever started this process and wants to know.

    Raises:
        OSError: somebody wanted to know, and cannot be reached.
    """
    tell(state)


def notify_reloading() -> None:
    """Says that the configuration is being read again; ``READY=1`` says that it has been.

    Raises:
        OSError: somebody wanted to know, and cannot be reached.
    """
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    tell(f"RELOADING=1\nMONOTONIC_USEC={now}")
