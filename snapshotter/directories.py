"""Where snapshots lie: ``<root>/snapshots/<id>/``, with ``fs`` and, while active, ``work``.

``fs`` is the content: a directory, or for a lazy layer a symbolic link into the fs server's mount. overlayfs
and bind mounts resolve the link when they are made, so paths stay short and nothing must be mounted for each
snapshot. Nothing here follows it when deleting or counting.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Set as AbstractSet
from pathlib import Path

from snapshotter.former_mounts import unmount_below
from snapshotter.id_mapping import Owner
from snapshotter.mounts import Kind, SnapshotDirectory
from snapshotter.records import Usage

_NEW_PREFIX = "new-"
_BLOCK_BYTES = 512


class SnapshotDirectories:
    """The directories of all snapshots.

    Args:
        root: The snapshotter's own directory; made when absent.

    Raises:
        OSError: the root cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self._snapshots = root / "snapshots"
        for directory in (root, self._snapshots):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)

    def __repr__(self) -> str:
        return f"<SnapshotDirectories {self._snapshots}>"

    @property
    def root(self) -> Path:
        """What all of them are in."""
        return self._snapshots

    def of(self, number: int) -> SnapshotDirectory:
        """Where a snapshot lies; it need not be there yet."""
        return SnapshotDirectory(self._snapshots / str(number))

    def create(self, number: int, kind: Kind, *, owner: Owner | None) -> None:
        """Makes a snapshot's directories, whole or not at all.

        Args:
            number: The snapshot's id.
            kind: An active snapshot has a work directory.
            owner: Whom the content belongs to; this process's user, if None.

        Raises:
            OSError: the disk is full or broken.
        """
        with self._new(number) as new:
            _mkdir(new.fs, 0o755)
            if owner is not None:
                os.chown(new.fs, owner.uid, owner.gid)
            if kind is Kind.ACTIVE:
                _mkdir(new.work, 0o711)

    def owner_of(self, number: int) -> Owner:
        """Whom the content of a snapshot belongs to.

        Raises:
            OSError: it is not there, or a lazy layer is not served.
        """
        status = self.of(number).fs.stat()
        return Owner(status.st_uid, status.st_gid)

    def create_link(self, number: int, target: Path) -> None:
        """Makes the directory of a snapshot whose content is what the fs server shows at ``target``.

        Raises:
            OSError: the disk is full or broken.
        """
        with self._new(number) as new:
            new.fs.symlink_to(target)

    def relink(self, number: int, target: Path) -> None:
        """Lets a lazy snapshot's link lead to ``target``, whether or not it was there.

        Raises:
            OSError: the disk is full or broken, or the snapshot has content of its own.
        """
        directory = self.of(number)
        if not directory.path.exists():
            self.create_link(number, target)
        elif self.link_target(number) != target:
            new = directory.path / "fs.new"
            new.unlink(missing_ok=True)
            new.symlink_to(target)
            new.rename(directory.fs)

    def link_target(self, number: int) -> Path | None:
        """Where a snapshot's link leads; None for content of its own, or none."""
        content = self.of(number).fs
        return content.readlink() if content.is_symlink() else None

    def exists(self, number: int) -> bool:
        """Whether a snapshot has its content, or its link."""
        return os.path.lexists(self.of(number).fs)

    def present(self) -> list[Path]:
        """Every directory there is, also those being made."""
        return list(self._snapshots.iterdir())

    def delete_unknown(
        self, directories: Iterable[Path], known: AbstractSet[int]
    ) -> list[tuple[Path, OSError]]:
        """Deletes the directories, finished or not, of snapshots that are not known; tells which it could not."""
        failed = []
        for directory in directories:
            name = directory.name.removeprefix(_NEW_PREFIX)
            if name.isdecimal() and int(name) in known:
                continue
            try:
                _delete(directory)
            except OSError as error:
                failed.append((directory, error))
        return failed

    def delete_unfinished(self) -> None:
        """Deletes what a crash left half-made. Only for a start, when nothing is being made.

        Raises:
            OSError: something cannot be deleted.
        """
        for directory in self._snapshots.glob(f"{_NEW_PREFIX}*"):
            _delete(directory)

    def usage(self, number: int) -> Usage:
        """What a snapshot's own content takes on disk; hard links count once.

        Raises:
            OSError: it cannot be read.
        """
        content = self.of(number).fs
        if content.is_symlink() or not content.exists():
            return Usage()
        counted: set[tuple[int, int]] = set()
        blocks = 0
        for status in _walk(content):
            identity = (status.st_dev, status.st_ino)
            if identity not in counted:
                counted.add(identity)
                blocks += status.st_blocks
        return Usage(blocks * _BLOCK_BYTES, len(counted))

    @contextlib.contextmanager
    def _new(self, number: int) -> Iterator[SnapshotDirectory]:
        """A directory that gets its name when it is complete."""
        new = self._snapshots / f"{_NEW_PREFIX}{number}"
        try:
            new.mkdir(mode=0o700)
            yield SnapshotDirectory(new)
            new.rename(self.of(number).path)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _mkdir(path: Path, mode: int) -> None:
    path.mkdir()
    path.chmod(mode)  # whatever the umask


def _delete(directory: Path) -> None:
    mapped = SnapshotDirectory(directory).lower
    if mapped.exists():
        unmount_below(mapped)
    with contextlib.suppress(FileNotFoundError):  # two cleanups may meet
        shutil.rmtree(directory)


def _walk(top: Path) -> Iterator[os.stat_result]:
    """The status of a directory and everything in it, while others change it."""
    yield top.lstat()
    pending = [top]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield status
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(Path(entry.path))
