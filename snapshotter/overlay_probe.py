"""Whether overlayfs works where snapshots are kept: tried, not guessed."""

import ctypes
import os
import tempfile
from pathlib import Path

from snapshotter.errors import StartupError

_MNT_DETACH = 2
_PROBE_PREFIX = "probe-"


def check_overlay(root: Path) -> None:
    """Mounts a tiny overlay under ``root``, and unmounts it.

    Raises:
        StartupError: that does not work.
        OSError: ``root`` cannot be written to.
    """
    with tempfile.TemporaryDirectory(prefix=_PROBE_PREFIX, dir=root) as name:
        directory = Path(name)
        lower, upper, work, merged = (
            directory / part for part in ("lower", "upper", "work", "merged")
        )
        for part in (lower, upper, work, merged):
            part.mkdir()
        (lower / "file").touch()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"overlay", bytes(merged), b"overlay", 0, options.encode()) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise StartupError(
                f"overlayfs cannot be mounted under {root} ({reason})",
                "load the module 'overlay', or choose a --root on ext4 or xfs (made with ftype=1)",
            )
        try:
            # Copying up needs file types in directory entries, which a mount alone does not prove.
            (merged / "file").unlink()
        except OSError as error:
            raise StartupError(
                f"overlayfs does not work under {root} ({error.strerror})",
                "choose a --root on ext4 or xfs (made with ftype=1)",
            ) from error
        finally:
            libc.umount2(bytes(merged), _MNT_DETACH)
