"""Small trees of files, made and compared."""

import stat
from pathlib import Path


def tree(top: Path) -> dict[str, tuple[int, int, int, str]]:
    """Names, modes, owners and contents below a directory."""
    found = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        content = path.read_text() if stat.S_ISREG(status.st_mode) else ""
        relative = str(path.relative_to(top))
        found[relative] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def write(path: Path, content: str, mode: int = 0o644) -> None:
    path.write_text(content)
    path.chmod(mode)


def remove_tree(top: Path) -> None:
    for path in sorted(top.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    top.rmdir()
