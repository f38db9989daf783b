"""Later versions of containerd, from the packages of later releases of Debian: unpacked beside the machine's own, with the machine's runc."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.ctr import CommandFailedError, Ctr, run_command
from tests.e2e.images import default_cache
from tests.e2e.logged_process import LoggedProcess

_CONFIG_2 = """\
version = 3
root = "{directory}/root"
state = "{directory}/state"

[grpc]
  address = "{socket}"

[debug]
  level = "debug"

[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{cri_snapshotter}"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{sandbox_image}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true # lowering it may be forbidden where tests run
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{directory}/cni"]
    conf_dir = "{directory}/cni"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "{cri_snapshotter}"
"""
_PLUGIN_2 = """
[proxy_plugins.{name}]
  type = "snapshot"
  address = "{socket}"
  capabilities = []
  [proxy_plugins.{name}.exports]
    root = "{directory}/root"
    enable_remote_snapshot_annotations = "true"
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian, and the generation of containerd in it."""

    debian: str
    generation: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.generation))


RELEASES = (Release("trixie", (1, 7)), Release("sid", (2,)))


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs of a package are."""

    release: Release
    directory: Path

    def version(self) -> str:
        """Return the version of containerd."""
        return run_command([self.directory / "containerd", "--version"]).split()[2]


def fetch_containerd(release: Release, cache: Path) -> Programs:
    """Return the programs, fetched once.

    Raises:
        CommandFailedError: apt cannot fetch the package, or it cannot be unpacked.
    """
    place = cache / f"containerd-{release}"
    programs = Programs(release, place / "root" / "usr" / "bin")
    if (programs.directory / "ctr").exists():
        return programs
    for name in ("lists/partial", "archives/partial"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    (place / "sources.list").write_text(f"deb {_debian_archive()} {release.debian} main\n")
    apt = _apt(place)
    run_command([*apt, "-qq", "update"], timeout_seconds=120)
    run_command([*apt, "-qq", "download", "containerd"], timeout_seconds=120, cwd=place)
    package = max(place.glob("containerd_*.deb"))
    run_command(["dpkg-deb", "--extract", package, place / "root"])
    if not (programs.directory / "ctr").exists():
        raise CommandFailedError(f"{package.name} holds no ctr")
    return programs


def _debian_archive() -> str:
    """Return where this machine gets Debian's packages from."""
    words = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    for line in run_command(words).splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise CommandFailedError("apt knows no archive of Debian here")


def _apt(place: Path) -> list[str]:
    options = {
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
        "Dir::Cache::archives": str(place / "archives"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::sourcelist": str(place / "sources.list"),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": str(place / "lists"),
        "Dir::State::status": str(place / "status"),
    }
    return [
        "apt-get",
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
    ]


def programs_or_skip(release: Release) -> Programs:
    """Return the programs; where they are not to be had, skip the test, which CI notices."""
    try:
        programs = fetch_containerd(release, default_cache())
    except CommandFailedError as error:
        pytest.skip(f"containerd {release} cannot be had from Debian: {str(error)[:300]}")
    return programs


class LaterContainerd(Containerd):
    """As ``Containerd``, of a later generation; CRI and the transfer service use its first snapshotter."""

    def __init__(
        self,
        programs: Programs,
        snapshotter: Path,
        *,
        sandbox_image: str,
        capabilities: Sequence[str] = (),
    ) -> None:
        self._programs = programs
        if programs.release.generation >= (2,):
            self.config_template = _CONFIG_2
            self.plugin_template = _PLUGIN_2.replace("[]", json.dumps(list(capabilities)))
        super().__init__(
            snapshotters={"stargz": snapshotter},
            cri_snapshotter="stargz",
            sandbox_image=sandbox_image,
        )

    def ctr(self, *, namespace: str = "default") -> Ctr:
        """Return its own command line client for one namespace."""
        return Ctr(self.socket, namespace=namespace, program=self._programs.directory / "ctr")

    def launch(self, config: Path) -> LoggedProcess:
        """Start the daemon; it finds its own shim first."""
        path = f"{self._programs.directory}:{os.environ['PATH']}"
        program = self._programs.directory / "containerd"
        return LoggedProcess([program, "--config", config], env={"PATH": path})
