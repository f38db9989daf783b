"""Loop devices, for kernels before 6.12, whose EROFS mounts block devices only.

Source: ``include/uapi/linux/loop.h``. A device goes by itself when the last who uses it lets go.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fs.errors import MountError

_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A  # LOOP_CTL_GET_FREE, LOOP_CONFIGURE
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
# loop_config: fd, block_size, a loop_info64 of which only lo_flags is not zero, and reserved words.
_CONFIG = struct.Struct("=II52xI176x64x")
_ATTEMPTS = 16  # somebody else may be as fast, and take the device that was free


@contextmanager
def loop_device(path: Path) -> Iterator[Path]:
    """A read-only block device that shows a file, at least for the time of a ``with`` block.

    Raises:
        MountError: there is none to be had.
    """
    try:
        device, descriptor = _attach(path)
    except OSError as error:
        raise MountError(str(path), f"no loop device: {error.strerror}") from error
    try:
        yield device
    finally:
        os.close(descriptor)


def _attach(path: Path) -> tuple[Path, int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            device = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                flags = _READ_ONLY | _AUTOCLEAR | _DIRECT_IO
                fcntl.ioctl(descriptor, _CONFIGURE, _CONFIG.pack(file, 0, flags))
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device, descriptor
    finally:
        os.close(control)
        os.close(file)
    raise OSError(errno.EBUSY, "every free one was taken by others")
