"""The images of the end-to-end tests: Debian with Python, and a pod's pause process.

Built from packages, without an image registry, and kept below `PYESTARGZ_TEST_CACHE` (default: `build/e2e` in the checkout).
"""

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.e2e.ctr import run_command
from tests.e2e.debian_packages import PackageSet, configure, make_merged_root, unpack
from tests.e2e.oci_layout import read_manifest, write_image, write_layer
from tests.e2e.specimens import EPOCH, fill_changes, fill_specimens

BUILDER_VERSION = 3  # raise with every change to what is built
BASE_PACKAGES = (
    *(
        "attr",
        "base-files",
        "base-passwd",
        "bash",
        "coreutils",
        "findutils",
        "grep",
        "iputils-ping",
    ),
    *("libc-bin", "libcap2-bin", "passwd", "sed", "tar", "util-linux"),
)
PYTHON_PACKAGES = ("python3",)
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PAUSE_SOURCE = """\
#include <signal.h>
#include <unistd.h>
static void end(int number) { _exit(0); }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) pause();
}
"""

Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An OCI layout with one image in it."""

    layout: Path

    @property
    def layer_digests(self) -> list[str]:
        """The digests of the layers, lowest first."""
        return [layer["digest"] for layer in read_manifest(self.layout)["layers"]]

    @property
    def layer_bytes(self) -> int:
        """The sum of the layers' sizes, compressed."""
        return sum(layer["size"] for layer in read_manifest(self.layout)["layers"])


def default_cache() -> Path:
    """Return where built images are kept."""
    checkout = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("PYESTARGZ_TEST_CACHE", checkout / "build" / "e2e"))


def debian_python_image(cache: Path) -> BuiltImage:
    """Return the Debian image with Python, specimens of every kind of file, and whiteouts.

    Four layers: base system, Python, specimens, changes to the specimens. About 140 MB unpacked.

    Raises:
        CommandFailedError: apt cannot fetch the packages, or they cannot be unpacked.
    """
    return _cached(cache, "debian-python", [*BASE_PACKAGES, *PYTHON_PACKAGES], _build_debian_python)


def pause_image(cache: Path) -> BuiltImage:
    """Return an image whose only process waits to be stopped, for pod sandboxes.

    Raises:
        CommandFailedError: gcc cannot build the program.
    """
    return _cached(cache, "pause", [_PAUSE_SOURCE], _build_pause)


def _cached(
    cache: Path, name: str, inputs: list[str], build: Callable[[Path, Path], None]
) -> BuiltImage:
    key = hashlib.sha256("\n".join([str(BUILDER_VERSION), *inputs]).encode()).hexdigest()[:16]
    layout = cache / f"{name}-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            work = Path(tempfile.mkdtemp(prefix="work-", dir=cache))
            try:
                build(work, work / "layout")
                (work / "layout").rename(layout)
            finally:
                shutil.rmtree(work)
    return BuiltImage(layout)


def _build_debian_python(work: Path, layout: Path) -> None:
    packages = PackageSet(work / "packages")
    packages.download([*BASE_PACKAGES, *PYTHON_PACKAGES])
    base_names = packages.closure(BASE_PACKAGES)
    archives = packages.archive_names()
    root = work / "root"
    make_merged_root(root)
    unpack([path for name, path in archives.items() if name in base_names], root)
    configure(root)
    _settle_times(root)
    base = _signatures(root)
    layers = [write_layer(layout, partial(_fill_changed, root=root, before={}))]
    unpack([path for name, path in archives.items() if name not in base_names], root)
    configure(root)
    libraries = [f"/usr/lib/{path.name}" for path in root.glob("usr/lib/python3.*")]
    run_command(["chroot", root, "python3", "-m", "compileall", "-q", *libraries])
    _settle_times(root)
    layers.append(write_layer(layout, partial(_fill_changed, root=root, before=base)))
    program = (root / "usr/bin/true").read_bytes()
    layers.append(write_layer(layout, partial(fill_specimens, program=program)))
    layers.append(write_layer(layout, fill_changes))
    write_image(layout, layers, {"Env": [_PATH], "Cmd": ["python3"], "WorkingDir": "/"})


def _build_pause(work: Path, layout: Path) -> None:
    root = work / "root"
    root.mkdir()
    source = work / "pause.c"
    source.write_text(_PAUSE_SOURCE)
    run_command(["gcc", "-static", "-Os", "-s", "-o", root / "pause", source])
    _settle_times(root)
    layer = write_layer(layout, partial(_fill_changed, root=root, before={}))
    write_image(layout, [layer], {"Env": [_PATH], "Entrypoint": ["/pause"]})


def _fill_changed(tar: tarfile.TarFile, *, root: Path, before: dict[Path, Signature]) -> None:
    """Add what is new or different in `root` since `before`, below all its parents, as image builders do."""
    signatures = _signatures(root)
    changed = {path for path, signature in signatures.items() if before.get(path) != signature}
    wanted = changed | {parent for path in changed for parent in path.parents}
    for path in signatures:
        if path not in wanted:
            continue
        info = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
        info.uname = info.gname = ""
        if info.isreg():
            with path.open("rb") as file:
                tar.addfile(info, file)
        else:
            tar.addfile(info)


def _signatures(root: Path) -> dict[Path, Signature]:
    found = {}
    for path in _walk(root):
        status = path.lstat()
        found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def _walk(root: Path) -> list[Path]:
    """Return everything below `root`, parents first, in an order that does not depend on the filesystem."""
    return sorted(Path(top) / name for top, dirs, files in os.walk(root) for name in dirs + files)


def _settle_times(root: Path) -> None:
    """Give whatever this build itself made or touched one fixed time: the same packages make the same layers."""
    for path in _walk(root):
        status = path.lstat()
        if status.st_mtime_ns % 1_000_000_000:  # archives hold whole seconds
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
