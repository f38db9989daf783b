"""Whether overlayfs works where snapshots are kept: tried, not guessed."""

import ctypes
import os
import tempfile
from pathlib import Path

from fs.rootless import is_rootless
from snapshotter.errors import StartupError

_MNT_DETACH = 2
_PROBE_PREFIX = "probe-"
_ADVICE = "load the module 'overlay', or choose a --root on ext4 or xfs (made with ftype=1)"
_ROOTLESS_ADVICE = (
    "in a user namespace it takes Linux 5.11 or later, and a mount namespace that belongs to it: "
    "run this command in RootlessKit's, or as root of the machine"
)


def check_overlay(root: Path) -> tuple[str, ...]:
    """Mounts a tiny overlay under ``root``, and unmounts it.

    Returns:
        The options that overlays need here besides their directories: ``userxattr`` in a user namespace.

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
        needed = ("userxattr",) if is_rootless() else ()
        options = ",".join((f"lowerdir={lower},upperdir={upper},workdir={work}", *needed))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"overlay", bytes(merged), b"overlay", 0, options.encode()) != 0:
            reason = os.strerror(ctypes.get_errno())
            what = f"overlayfs cannot be mounted under {root} ({reason})"
            raise StartupError(what, _ROOTLESS_ADVICE if needed else _ADVICE)
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
    return needed
