"""Settings are refused before they can do harm."""

from pathlib import Path

import pytest

from snapshotter.config import ServeSettings
from snapshotter.errors import ConfigError


def test_defaults_are_those_of_the_go_snapshotter() -> None:
    settings = ServeSettings()
    assert str(settings.address) == "/run/containerd-stargz-grpc/containerd-stargz-grpc.sock"
    assert str(settings.root) == "/var/lib/containerd-stargz-grpc"
    assert str(settings.snapshotter_root) == "/var/lib/containerd-stargz-grpc/snapshotter"
    assert str(settings.fs_socket) == "/var/lib/containerd-stargz-grpc/fs.sock"


@pytest.mark.parametrize(
    ("setting", "path", "reason"),
    [
        ("address", "relative.sock", "not an absolute path"),
        ("root", "relative", "not an absolute path"),
        ("address", "/" + "x" * 107, "too long"),
        ("root", "/" + "x" * 100, "too long"),
        ("root", "/var/lib/a:b", "overlayfs"),
        ("root", "/var/lib/a,b", "overlayfs"),
    ],
)
def test_what_cannot_be_used(setting: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}: .*{reason}"):
        ServeSettings(**{setting: Path(path)})  # type: ignore[arg-type]
