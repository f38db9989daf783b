"""What the conformance cases about files do, layer by layer."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.snapshotter.trees import remove_tree, write

Change = Callable[[Path], None]


def _write_hosts(top: Path) -> None:
    (top / "etc").mkdir()
    write(top / "foo", "foo\n", 0o777)
    write(top / "etc/hosts", "127.0.0.1 localhost", 0o645)


def _make_lib(top: Path) -> None:
    (top / "lib/inner").mkdir(parents=True)
    write(top / "lib/hidden", "hidden\n")


def _make_lib_again(top: Path) -> None:
    (top / "lib").mkdir()
    write(top / "lib/not-hidden", "not hidden\n")


def _make_opt(top: Path) -> None:
    for path in ("opt", "opt/a", "opt/a/b"):
        (top / path).mkdir()
    write(top / "opt/a/b/file.txt", "hello")


def _chown_opt(top: Path) -> None:
    for path in ("opt", "opt/a/b", "opt/a/b/file.txt"):
        os.chown(top / path, 1, 1)


def _make_odd_directories(top: Path) -> None:
    for number, mode in enumerate((0o700, 0o750, 0o755, 0o777, 0o1777, 0o2711)):
        directory = top / f"dir{number}"
        directory.mkdir()
        os.chown(directory, number, number + 1)
        directory.chmod(mode)


def _write_two_files(top: Path) -> None:
    write(top / "foo", "foo\n", 0o777)
    write(top / "foobar", "foobar\n", 0o777)


def _make_two_directories(top: Path) -> None:
    for name, content in (("dir1/f1", "Hello"), ("dir2/f2", "...")):
        (top / name).parent.mkdir(mode=0o700)
        write(top / name, content)


def _move_to_a_third(top: Path) -> None:
    (top / "dir3").mkdir(mode=0o700)
    write(top / "dir3/f1", "Hello")
    remove_tree(top / "dir1")
    os.link(top / "dir2/f2", top / "dir3/f2")
    (top / "dir2/f2").unlink()


def _make_what_is_renamed(top: Path) -> None:
    (top / "dir1/somefiles").mkdir(parents=True)
    (top / "dir2").mkdir()
    write(top / "dir1/somefiles/f1", "was here first!")
    write(top / "somefile", "text")


def _rename(top: Path) -> None:
    (top / "somefile").rename(top / "newplace")
    # overlayfs lets callers move a directory of a lower layer by copying only.
    (top / "dir3").mkdir()
    write(top / "dir3/f1", (top / "dir1/somefiles/f1").read_text())
    remove_tree(top / "dir1")


def _make_bottom(top: Path) -> None:
    write(top / "bottom", "way at the bottom\n", 0o777)
    write(top / "overwritten", "first\n", 0o777)
    (top / "grows").mkdir()
    (top / "replaced").mkdir()
    write(top / "replaced/bottom", "bye\n")


def _change_as(number: int) -> Change:
    def change(top: Path) -> None:
        write(top / "overwritten", f"{number} was here\n", 0o777)
        write(top / f"grows/file-{number}", "same\n")
        remove_tree(top / "replaced")
        (top / "replaced").mkdir()
        write(top / f"replaced/file-{number}", "only me\n")

    return change


# By the names of containerd's cases; the first change is made without a layer below.
CHANGES: Mapping[str, Sequence[Change]] = {
    "LayerFileUpdate": (
        _write_hosts,
        lambda top: write(top / "etc/hosts", "mydomain 10.0.0.1", 0o645),
        lambda top: write(top / "etc/hosts", "mydomain 10.0.0.120", 0o666),
    ),
    "RemoveDirectoryInLowerLayer": (
        _make_lib,
        lambda top: remove_tree(top / "lib"),
        _make_lib_again,
    ),
    "Chown": (_make_opt, _chown_opt),
    "DirectoryPermissionOnCommit": (
        _make_odd_directories,
        lambda top: write(top / "dir2/f", "x"),
    ),
    "DeletedFilesInChild": (
        _write_two_files,
        lambda top: (top / "foobar").unlink(),
        lambda _: None,
    ),
    "MoveFileFromLowerLayer": (_make_two_directories, _move_to_a_third),
    "Rename": (_make_what_is_renamed, _rename),
    "128LayersMount": (_make_bottom, *map(_change_as, range(1, 128))),
}
