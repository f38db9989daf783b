"""Snapshots on disk: ``<root>/snapshotter/snapshots/<id>/``, with ``fs`` and, while active, ``work``.

``fs`` is the content: a directory, or for a lazy layer a symbolic link into the fs server's mount. overlayfs and bind
mounts resolve the link when they are made, so paths stay short and nothing must be mounted for each snapshot.
Deleting never follows it.
"""

import os
import shutil
import stat
from collections.abc import Set as AbstractSet
from pathlib import Path

from snapshotter.mounts import Directories
from snapshotter.records import Kind, Usage

_NEW_PREFIX = "new-"
_BLOCK_BYTES = 512


class SnapshotDirectories:
    """The directories of all snapshots."""

    def __init__(self, root: Path) -> None:
        """Makes the place for them.

        Raises:
            OSError: the root cannot be used.
        """
        self._snapshots = root / "snapshotter" / "snapshots"
        self._snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)

    def of(self, number: int) -> Directories:
        """Where a snapshot's directories are; they need not exist."""
        directory = self._snapshots / str(number)
        return Directories(directory / "fs", directory / "work")

    def create(self, number: int, kind: Kind, *, owner: Path | None) -> None:
        """Makes a snapshot's directories, whole or not at all.

        Args:
            number: the snapshot's id.
            kind: an active snapshot has a work directory.
            owner: whose owner the content directory gets; root's, if None.

        Raises:
            OSError: the disk is full or broken.
        """
        new = self._snapshots / f"{_NEW_PREFIX}{number}"
        try:
            new.mkdir(mode=0o700)
            (new / "fs").mkdir(mode=0o755)
            (new / "fs").chmod(0o755)  # whatever the umask
            if owner is not None:
                status = owner.stat()
                os.chown(new / "fs", status.st_uid, status.st_gid)
            if kind is Kind.ACTIVE:
                (new / "work").mkdir(mode=0o711)
                (new / "work").chmod(0o711)
            new.rename(self._snapshots / str(number))
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def link(self, number: int, target: Path) -> None:
        """Lets a snapshot's content be what the fs server shows at ``target``.

        Raises:
            OSError: the disk is full or broken, or something is in the content directory.
        """
        directories = self.of(number)
        new = directories.content.with_name("fs.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        if not directories.content.is_symlink() and directories.content.exists():
            directories.content.rmdir()
        new.rename(directories.content)
        if directories.work.exists():
            shutil.rmtree(directories.work)

    def linked(self, number: int) -> Path | None:
        """Where a snapshot's content link points to, or None for content of its own."""
        content = self.of(number).content
        return content.readlink() if content.is_symlink() else None

    def exists(self, number: int) -> bool:
        """Whether a snapshot has its content directory, or its link."""
        return os.path.lexists(self.of(number).content)

    def all(self) -> list[Path]:
        """Every directory there is, also half-made ones."""
        return list(self._snapshots.iterdir())

    def is_of(self, directory: Path, known: AbstractSet[int]) -> bool:
        """Whether a directory belongs to one of these snapshots, finished or not."""
        name = directory.name.removeprefix(_NEW_PREFIX)
        return name.isdecimal() and int(name) in known

    def delete(self, directory: Path) -> None:
        """Deletes a directory that belongs to nobody.

        Raises:
            OSError: something in it cannot be deleted.
        """
        shutil.rmtree(directory)

    def usage(self, number: int) -> Usage:
        """What a snapshot's own content takes on disk; hard links count once.

        Raises:
            OSError: it cannot be read.
        """
        content = self.of(number).content
        if content.is_symlink():
            return Usage()
        return _usage(content)


def _usage(top: Path) -> Usage:
    seen: set[tuple[int, int]] = set()
    size = 0

    def count(status: os.stat_result) -> None:
        nonlocal size
        identity = (status.st_dev, status.st_ino)
        if identity not in seen:
            seen.add(identity)
            size += status.st_blocks * _BLOCK_BYTES

    count(top.lstat())
    pending = [top]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a running container deletes as it likes
                count(status)
                if stat.S_ISDIR(status.st_mode):
                    pending.append(Path(entry.path))
    return Usage(size, len(seen))
