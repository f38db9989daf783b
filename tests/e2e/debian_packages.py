"""Debian packages as file trees, with the machine's own apt configuration and without installing anything."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.ctr import CommandFailedError, run_command

_MERGED_DIRECTORIES = ("bin", "lib", "lib64", "sbin")


class PackageSet:
    """The dependency closure of some packages, downloaded into a directory.

    apt resolves against an empty package status, so the closure is complete whatever is installed here.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._archives = directory / "archives"
        self._status = directory / "status"

    def download(self, packages: Sequence[str]) -> None:
        """Download `packages` and all they depend on.

        Raises:
            CommandFailedError: apt-get cannot resolve or fetch them.
        """
        (self._archives / "partial").mkdir(parents=True, exist_ok=True)
        self._status.touch()
        try:
            self._apt("--download-only", packages)
        except CommandFailedError:  # a machine that never fetched its package lists
            run_command(["apt-get", "-q", "update"], timeout_seconds=120)
            self._apt("--download-only", packages)

    def closure(self, packages: Sequence[str]) -> frozenset[str]:
        """Return the names of `packages` and of all they depend on."""
        lines = self._apt("--simulate", packages).splitlines()
        return frozenset(line.split()[1] for line in lines if line.startswith("Inst "))

    def archive_names(self) -> dict[str, Path]:
        """Return the downloaded archives by package name."""
        return {path.name.partition("_")[0]: path for path in sorted(self._archives.glob("*.deb"))}

    def _apt(self, action: str, packages: Sequence[str]) -> str:
        options = {
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "1",
            "Dir::Cache::archives": str(self._archives),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Dir::State::status": str(self._status),
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return run_command(
            [
                "apt-get",
                "install",
                "-qq",
                "-y",
                "--no-install-recommends",
                action,
                *words,
                *packages,
            ],
            timeout_seconds=300,
        )


def make_merged_root(root: Path) -> None:
    """Make an empty tree in which /bin, /lib, /lib64 and /sbin are links into /usr."""
    for name in _MERGED_DIRECTORIES:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def unpack(archives: Sequence[Path], root: Path) -> None:
    """Unpack package archives into a tree, through its directory links.

    Raises:
        CommandFailedError: An archive cannot be read.
    """
    for archive in archives:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE
        ) as dpkg:
            done = subprocess.run(
                ["tar", "-x", "-p", "--same-owner", "--keep-directory-symlink", "-C", root],
                stdin=dpkg.stdout,
                check=False,
            )
        if dpkg.returncode or done.returncode:
            raise CommandFailedError(f"{archive} cannot be unpacked")


def configure(root: Path) -> None:
    """Do what the maintainer scripts of a minimal system would: accounts, a shell, the linker's cache."""
    for name in ("passwd", "group"):
        shutil.copyfile(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
    shell = root / "usr/bin/sh"
    if not shell.is_symlink():
        shell.symlink_to("bash")
    run_command(["ldconfig", "-r", root])
    (root / "var/cache/ldconfig/aux-cache").unlink(missing_ok=True)  # holds inode numbers
