"""Which ``data`` files the kernel reads by itself: in these no byte may change until the machine starts anew.

A mount can outlive everything that is known about it: it may be taken away while a container still has it.
So what was mounted once counts as read until the next boot; only its name may go.
"""

from pathlib import Path

_PIN_NAME = "read-by-kernel"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def pin_for_kernel(directory: Path) -> None:
    """Marks the layer kept in a directory, before it is mounted.

    Raises:
        OSError: the disk is full or broken.
    """
    (directory / _PIN_NAME).write_text(_BOOT_ID.read_text())


def is_pinned_for_kernel(directory: Path) -> bool:
    """Whether the kernel may be reading the layer's ``data``."""
    try:
        return (directory / _PIN_NAME).read_text() == _BOOT_ID.read_text()
    except FileNotFoundError:
        return False
