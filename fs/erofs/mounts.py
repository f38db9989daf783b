"""Mounting the kernel's own EROFS on a layer's metadata and data space, and finding out whether it can.

Since Linux 6.12 the kernel mounts image files as they are; before, it wants block devices.
"""

import logging
import tempfile
import threading
from enum import Enum
from pathlib import Path

from estargz.toc import Toc, TocEntry
from fs.compiling import compile_layer
from fs.erofs.loop_devices import loop_device
from fs.erofs.metadata_image import write_erofs
from fs.errors import MountError
from fs.inodes import BLOCK_BYTES
from fs.mounting import mount, unmount_lazily
from registry.digest import Digest

_log = logging.getLogger(__name__)
_BDI = Path("/sys/class/bdi")
_READ_AHEAD_KB = 1024
# The kernel does not tell which read-ahead belongs to which mount: one is made at a time.
_mounting = threading.Lock()
_PROBE_NAME = "content"
_PROBE_CONTENT = bytes(range(256)) * (BLOCK_BYTES // 256)


class Access(Enum):
    """How the kernel gets at image files."""

    FILES = "files"
    LOOP_DEVICES = "loop devices"


class Content(Enum):
    """Who reads a layer's content for the kernel."""

    SERVED = "served"  # the data server: what is missing is fetched
    LOCAL = "local"  # nobody: all of it is in a file


def mount_layer(
    metadata: Path, data: Path, mountpoint: Path, *, access: Access, content: Content
) -> None:
    """Mounts a layer; it blocks, and needs the data server if it is to serve the content.

    Raises:
        MountError: the kernel refuses.
    """
    with _mounting:
        before = _read_aheads()
        if access is Access.FILES:
            # Pages of served content are kept once, by EROFS, and read-ahead stays within a file.
            direct = {"directio": None} if content is Content.SERVED else {}
            mount("erofs", str(metadata), mountpoint, {"device": str(data), **direct})
        else:
            with loop_device(metadata) as image, loop_device(data) as device:
                mount("erofs", str(image), mountpoint, {"device": str(device)})
        new = _read_aheads() - before
    if len(new) == 1 and content is Content.SERVED:
        _raise_read_ahead(_BDI / new.pop())


def probe(directory: Path) -> Access | str:
    """How layers can be mounted here, by mounting a tiny one and reading it; or why they cannot.

    Args:
        directory: where to put it; on the file system that layers are kept on.
    """
    reasons = []
    for access in Access:
        try:
            with tempfile.TemporaryDirectory(prefix="probe-", dir=directory) as made:
                _try(Path(made), access)
        except (MountError, OSError) as error:
            reasons.append(f"with {access.value}: {error}")
        else:
            return access
    return "; ".join(reasons)


def _try(directory: Path, access: Access) -> None:
    metadata, data, mountpoint = (directory / name for name in ("metadata", "data", "mnt"))
    mountpoint.mkdir()
    data.write_bytes(_PROBE_CONTENT)
    digest = str(Digest.of(_PROBE_CONTENT))
    entry = TocEntry(name=_PROBE_NAME, type="reg", size=len(_PROBE_CONTENT), chunk_digest=digest)
    image = compile_layer(Toc(entries=[entry]), payload_bytes=len(_PROBE_CONTENT))
    with metadata.open("w+b") as output:
        write_erofs(image.inodes, output, data_bytes=image.data_bytes, uuid=bytes(16))
    mount_layer(metadata, data, mountpoint, access=access, content=Content.SERVED)
    try:
        if (mountpoint / _PROBE_NAME).read_bytes() != _PROBE_CONTENT:
            raise MountError(str(mountpoint), "shows other content than its device")
    finally:
        unmount_lazily(mountpoint)


def _read_aheads() -> set[str]:
    return {path.name for path in _BDI.iterdir()} if _BDI.is_dir() else set()


def _raise_read_ahead(bdi: Path) -> None:
    """Lets the kernel ask for 1 MiB at a time once a file is read in sequence."""
    try:
        (bdi / "read_ahead_kb").write_text(f"{_READ_AHEAD_KB}\n")
    except OSError as error:
        _log.info("read-ahead stays small", extra={"fields": {"error": str(error)}})
