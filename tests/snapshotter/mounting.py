"""Mounting what the snapshotter answers, as containerd does."""

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapshotter.mounts import Mount

_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_MNT_DETACH = 2


@contextlib.contextmanager
def mounted(mounts: Sequence[Mount], target: Path) -> Iterator[Path]:
    """Mounts at ``target``, and unmounts."""
    target.mkdir(parents=True, exist_ok=True)
    (mount,) = mounts
    (_bind if mount.type == "bind" else _overlay)(mount, target)
    try:
        yield target
    finally:
        _check(_libc().umount2(bytes(target), _MNT_DETACH), f"unmounting {target}")


def _bind(mount: Mount, target: Path) -> None:
    assert set(mount.options) <= {"rbind", "ro", "rw"}
    _mount(mount.source, target, flags=_MS_BIND | _MS_REC)
    if "ro" in mount.options:
        _mount("", target, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _overlay(mount: Mount, target: Path) -> None:
    options = dict(option.split("=", 1) for option in mount.options)
    # One page holds all options of mount(2), so containerd, too, names lower directories from where they are.
    top = Path(options["lowerdir"].split(":")[0]).parents[1]
    short = {
        name: ":".join(os.path.relpath(part, top) for part in value.split(":"))
        for name, value in options.items()
    }
    with contextlib.chdir(top):
        data = ",".join(f"{name}={value}" for name, value in short.items())
        _mount("overlay", target, kind="overlay", data=data)


def _mount(
    source: str, target: Path, *, kind: str = "none", flags: int = 0, data: str = ""
) -> None:
    result = _libc().mount(
        source.encode(), bytes(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mounting {source} at {target} ({data})")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
