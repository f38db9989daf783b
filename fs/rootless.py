"""Being root of a user namespace only (rootless), and what overlayfs reads there.

In a user namespace overlayfs is mounted with ``userxattr``, and its marks are in ``user.overlay.*`` (Linux 5.11 and later;
Documentation/filesystems/overlayfs.rst, "User xattr").
"""

from pathlib import Path
from typing import Final

from fs.compiling import OPAQUE_XATTR

USER_OPAQUE_XATTR: Final = b"user.overlay.opaque"
# What user_namespaces(7) says of the first one: from 0, to 0, all there are.
_ALL_USERS: Final = ["0", "0", "4294967295"]
_UID_MAP: Final = Path("/proc/self/uid_map")


def is_rootless(uid_map: Path = _UID_MAP) -> bool:
    """Whether this process is in another user namespace than the machine's first one."""
    return uid_map.read_text().split() != _ALL_USERS


def opaque_xattr() -> bytes:
    """What says, to overlayfs as this process may mount it, that a directory hides what is below it."""
    return USER_OPAQUE_XATTR if is_rootless() else OPAQUE_XATTR
