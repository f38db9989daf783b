"""What ``pyestargz doctor`` looks at on this machine: the kernel, its file systems, the daemon and its fs server."""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from fs.erofs.mounts import Access, probe
from snapshotter.commands.doctor_checks import Check, Finding, Report
from snapshotter.config import ServeSettings
from snapshotter.errors import FsServerError, StartupError
from snapshotter.fs_client import FsClient
from snapshotter.overlay_probe import check_overlay
from snapshotter.unix_socket import is_listening

_KERNEL_FOR_EROFS: Final = (6, 12)
_ONLY_ROOT: Final = "not looked at: that takes root"
_FILE_SYSTEMS: Final = Path("/proc/filesystems")
_FUSE: Final = Path("/dev/fuse")


def machine_checks(settings: ServeSettings) -> list[Check]:
    """What is looked at for a daemon with these settings."""
    found: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: check_kernel(platform.release()),
        lambda: check_fuse(_FUSE, _FILE_SYSTEMS),
        lambda: check_overlayfs(settings),
        lambda: check_erofs(settings),
        lambda: check_daemon(settings),
        lambda: check_fs_server(settings),
    )
    return [reporting(findings) for findings in found]


def reporting(findings: Callable[[], Iterator[Finding]]) -> Check:
    """A check that reports what an iterator finds."""

    def check(report: Report) -> None:
        for finding in findings():
            report(finding)

    return check


def check_kernel(release: str) -> Iterator[Finding]:
    """Whether the kernel can do all there is to use."""
    found = re.match(r"(\d+)\.(\d+)", release)
    number = (int(found[1]), int(found[2])) if found else (0, 0)
    if number >= _KERNEL_FOR_EROFS:
        yield Finding.ok("kernel", f"Linux {release}")
    else:
        what = f"Linux {release}: layers are served through FUSE; from 6.12 on the kernel shows them itself"
        yield Finding.note("kernel", what)


def check_fuse(device: Path, file_systems: Path) -> Iterator[Finding]:
    """Whether FUSE can be mounted."""
    if not device.is_char_device():
        advice = "load the module 'fuse', or give the container that this runs in the device"
        yield Finding.problem("fuse", f"{device} is missing", advice=advice)
    elif "fuse" not in file_systems.read_text().split():
        yield Finding.problem("fuse", "the kernel has no FUSE", advice="load the module 'fuse'")
    else:
        yield Finding.ok("fuse", f"{device} is there")


def check_overlayfs(settings: ServeSettings) -> Iterator[Finding]:
    """Whether overlayfs works where snapshots are."""
    if os.geteuid() != 0:
        yield Finding.note("overlayfs", _ONLY_ROOT)
        return
    place = _existing(settings.snapshotter_root)
    try:
        check_overlay(place)
    except StartupError as error:
        yield Finding.problem("overlayfs", error.what, advice=error.what_to_do)
    except OSError as error:
        advice = "choose a --root that can be written to"
        yield Finding.problem("overlayfs", f"{place}: {error.strerror}", advice=advice)
    else:
        yield Finding.ok("overlayfs", f"works under {place}")


def check_erofs(settings: ServeSettings) -> Iterator[Finding]:
    """Whether the kernel can show layers itself; they are served through FUSE where it cannot."""
    if os.geteuid() != 0:
        yield Finding.note("erofs", _ONLY_ROOT)
        return
    place = _existing(settings.fs_root)
    try:
        with tempfile.TemporaryDirectory(prefix="doctor-", dir=place) as name:
            found = probe(Path(name))
    except OSError as error:
        yield Finding.note("erofs", f"cannot be tried under {place}: {error.strerror}")
        return
    if isinstance(found, Access):
        yield Finding.ok(
            "erofs",
            f"the kernel can show layers itself; fs.backend is {settings.fs.backend.value!r}",
        )
    else:
        yield Finding.note("erofs", f"layers can only be served through FUSE, because {found}")


def check_daemon(settings: ServeSettings) -> Iterator[Finding]:
    """Whether somebody listens for containerd."""
    try:
        listens = is_listening(settings.address)
    except PermissionError:
        yield Finding.note("daemon", _ONLY_ROOT)
        return
    if listens:
        yield Finding.ok("daemon", f"listens on {settings.address}")
    else:
        advice = "start it: systemctl start stargz-snapshotter, or pyestargz serve"
        yield Finding.problem("daemon", f"nobody listens on {settings.address}", advice=advice)


def check_fs_server(settings: ServeSettings) -> Iterator[Finding]:
    """Whether layers are served, and which of them fail."""
    advice = f"start the daemon, which starts it; {settings.fs_log} tells why it ended"
    try:
        if not is_listening(settings.fs_socket):
            what = f"nobody listens on {settings.fs_socket}"
            yield Finding.problem("fs server", what, advice=advice)
            return
        with FsClient(settings.fs_socket, lambda: False) as client:
            layers = client.served()
    except PermissionError:
        yield Finding.note("fs server", _ONLY_ROOT)
        return
    except FsServerError as error:
        yield Finding.problem("fs server", error.reason, advice=advice)
        return
    yield Finding.ok("fs server", f"serves {len(layers)} layers")
    for layer in layers.values():
        if layer.last_error:
            subject = str(layer.layer_digest)
            yield Finding.note("layer", f"failed last: {layer.last_error}", subject=subject)


def _existing(path: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    return next(place for place in (path, *path.parents) if place.is_dir())
