"""Settings are refused before they can do harm."""

from pathlib import Path

import pytest

from snapshotter.config import ServeSettings, read_config_keys
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


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("noprefetch = true\n[blob]\nchunk_size = 1\n")
    assert read_config_keys(path) == ["blob", "noprefetch"]


@pytest.mark.parametrize("content", [b"no = [", b"\xff"])
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml: is not TOML"):
        read_config_keys(path)
