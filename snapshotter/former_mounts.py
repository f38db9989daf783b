"""Mounts below the snapshots: containerd-stargz-grpc mounts each lazy layer there, and this program those with mapped owners.

They keep directories from being deleted, and layers from being taken away. Containers that run hold overlays of their own, which
this leaves alone; what is needed again is mounted again.
"""

import logging
import os
import re
from pathlib import Path

from fs.errors import MountError
from fs.mounting import unmount_lazily

_log = logging.getLogger(__name__)
_OCTAL = re.compile(rb"\\([0-7]{3})")


def unmount_below(directory: Path) -> None:
    """Unmounts everything below a directory, the latest mount first; what will not go is told in the log."""
    for point in reversed(mounts_below(directory)):
        fields = {"mountpoint": str(point)}
        try:
            unmount_lazily(point)
        except MountError as error:
            fields["error"] = str(error)
            _log.warning("a mount below the snapshots stays", extra={"fields": fields})
        else:
            _log.info("unmounted below the snapshots", extra={"fields": fields})


def mounts_below(directory: Path) -> list[Path]:
    """The mount points below a directory, the earliest first."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = (Path(os.fsdecode(_unescape(line.split(b" ")[4]))) for line in lines)
    return [point for point in points if directory in point.parents]


def _unescape(name: bytes) -> bytes:
    """The kernel writes what would end a field as three octal digits (proc_pid_mountinfo(5))."""
    return _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), name)
