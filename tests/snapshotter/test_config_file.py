from pathlib import Path

import pytest

from snapshotter.config_file import ConfigFile, read_config
from snapshotter.config_keys import KEYS
from snapshotter.errors import ConfigError


def read(tmp_path: Path, text: str | bytes) -> ConfigFile:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(path)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    file = read(tmp_path, "")
    assert (file.values, file.unknown, file.idle) == ({}, (), {})
    assert all(file.get(name) == key.default for name, key in KEYS.items())


def test_values_are_found_by_name_and_0_means_the_default(tmp_path: Path) -> None:
    file = read(tmp_path, "noprefetch = true\nmax_concurrency = 0\n[blob]\nmax_retries = 7\n")
    assert file.values == {"noprefetch": True, "max_concurrency": 0, "blob.max_retries": 7}
    assert (file.get("noprefetch"), file.get("max_concurrency")) == (True, 2)
    assert (file.get("blob.max_retries"), file.get("blob.min_wait_msec")) == (7, 30)


def test_unknown_and_idle_keys_are_named(tmp_path: Path) -> None:
    text = "no_prefetch = true\ndebug = true\n[blob]\nchunk_size = 5\nchunksize = 5\n[a.b]\nc = 1\n"
    file = read(tmp_path, text)
    assert file.unknown == ("a.b.c", "blob.chunksize", "no_prefetch")
    assert file.idle.keys() == {"debug", "blob.chunk_size"}
    assert all(file.idle.values())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("= 1", "is not TOML"),
        (b"\xff", "is not TOML"),
        ('noprefetch = "yes"', "noprefetch must be true or false, not 'yes'"),
        ("prefetch_size = true", "prefetch_size must be a whole number, not True"),
        ("prefetch_size = -1", "prefetch_size must not be less than 0, and is -1"),
        ("metrics_address = 9000", "metrics_address must be a string, not 9000"),
        ("blob = 1\n", None),
        ('metadata_store = "bolt"', "metadata_store must be 'memory' or 'db', not 'bolt'"),
        ("[blob]\nmin_wait_msec = 400000", "min_wait_msec .* is greater than blob.max_wait_msec"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    tmp_path: Path, text: str | bytes, reason: str | None
) -> None:
    if reason is None:
        assert read(tmp_path, text).unknown == ("blob",)
        return
    with pytest.raises(ConfigError, match=r"config\.toml.*" + reason):
        read(tmp_path, text)
