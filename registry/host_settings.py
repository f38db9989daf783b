"""Where it is said how registries are reached: containerd's directories, and mirrors in the snapshotter's own configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_CONFIG_PATHS: Final = (Path("/etc/containerd/certs.d"), Path("/etc/docker/certs.d"))


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """A mirror as the snapshotter's own configuration names it.

    Attributes:
        host: host and port.
        plain_http: speak to it without TLS.
        inactivity_timeout_seconds: how long it may stay silent; None: as for all.
        headers: what every request to it carries; may hold secrets.
    """

    host: str
    plain_http: bool = False
    inactivity_timeout_seconds: float | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Where it is said how registries are reached.

    Attributes:
        config_paths: containerd's directories, the most important one first.
        mirrors: for registries as images name them, the mirrors to ask first.
        check_interval_seconds: how often files are looked at, at most.
    """

    config_paths: tuple[Path, ...] = DEFAULT_CONFIG_PATHS
    mirrors: Mapping[str, tuple[MirrorSettings, ...]] = field(default_factory=dict)
    check_interval_seconds: float = 5.0
