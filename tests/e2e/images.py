"""The images of the end-to-end tests: Debian with Python, and a pod's pause process.

Built from packages, without an image registry, and kept below `PYESTARGZ_TEST_CACHE` (default: `build/e2e` in the checkout).
"""

import os
from functools import partial
from pathlib import Path

from tests.e2e.ctr import run_command
from tests.e2e.debian_packages import PackageSet, configure, make_merged_root, unpack
from tests.e2e.layered_tree import BuiltImage, LayeredTree, cached_image
from tests.e2e.oci_layout import write_image, write_layer
from tests.e2e.specimens import fill_changes, fill_specimens

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
PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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
    inputs = [str(BUILDER_VERSION), *BASE_PACKAGES, *PYTHON_PACKAGES]
    return cached_image(cache, "debian-python", inputs, _build_debian_python)


def pause_image(cache: Path) -> BuiltImage:
    """Return an image whose only process waits to be stopped, for pod sandboxes.

    Raises:
        CommandFailedError: gcc cannot build the program.
    """
    inputs = [str(BUILDER_VERSION), _PAUSE_SOURCE]
    return cached_image(cache, "pause", inputs, _build_pause)


def _build_debian_python(work: Path, layout: Path) -> None:
    packages = PackageSet(work / "packages")
    packages.download([*BASE_PACKAGES, *PYTHON_PACKAGES])
    base_names = packages.closure(BASE_PACKAGES)
    archives = packages.archive_names()
    root = work / "root"
    make_merged_root(root)
    tree = LayeredTree(root, layout)
    unpack([path for name, path in archives.items() if name in base_names], root)
    configure(root)
    tree.add_layer()
    unpack([path for name, path in archives.items() if name not in base_names], root)
    configure(root)
    libraries = [f"/usr/lib/{path.name}" for path in root.glob("usr/lib/python3.*")]
    run_command(["chroot", root, "python3", "-m", "compileall", "-q", *libraries])
    tree.add_layer()
    program = (root / "usr/bin/true").read_bytes()
    layers = [
        *tree.layers,
        write_layer(layout, partial(fill_specimens, program=program)),
        write_layer(layout, fill_changes),
    ]
    write_image(layout, layers, {"Env": [PATH_VARIABLE], "Cmd": ["python3"], "WorkingDir": "/"})


def _build_pause(work: Path, layout: Path) -> None:
    root = work / "root"
    root.mkdir()
    source = work / "pause.c"
    source.write_text(_PAUSE_SOURCE)
    run_command(["gcc", "-static", "-Os", "-s", "-o", root / "pause", source])
    tree = LayeredTree(root, layout)
    tree.add_layer()
    write_image(layout, tree.layers, {"Env": [PATH_VARIABLE], "Entrypoint": ["/pause"]})
