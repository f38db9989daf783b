from pathlib import Path

import pytest

from fs.filling import FillSettings
from snapshotter.config_file import ConfigFile, read_config
from snapshotter.errors import ConfigError


def read(tmp_path: Path, text: str | bytes) -> ConfigFile:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(path)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ConfigFile()


def test_what_is_fetched_unasked_can_be_chosen(tmp_path: Path) -> None:
    text = "noprefetch = true\nno_background_fetch = true\nprefetch_size = 1000\n"
    expected = FillSettings(prefetch=False, background=False, prefetch_bytes=1000)
    assert read(tmp_path, text) == ConfigFile(expected)


def test_keys_without_effect_are_named(tmp_path: Path) -> None:
    text = "debug = true\nnoprefetch = false\n[blob]\nchunk_size = 5\n[a.b]\nc = 1\n"
    assert read(tmp_path, text).without_effect == ("a.b.c", "blob.chunk_size", "debug")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("= 1", "is not TOML"),
        (b"\xff", "is not TOML"),
        ('noprefetch = "yes"', "noprefetch must be true or false, not 'yes'"),
        ("prefetch_size = true", "prefetch_size must be a number, not True"),
        ("prefetch_size = -1", "prefetch_size must not be negative"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml.*" + reason):
        read(tmp_path, text)
