import tomllib
from pathlib import Path
from typing import Any

import pytest

from registry.host_settings import MirrorSettings
from registry.resolver_table import NO_TIMEOUT_SECONDS, parse_mirrors, parse_paths


def _error(key: str, reason: str) -> ValueError:
    return ValueError(f"{key}: {reason}")


def _parse(text: str) -> Any:
    return parse_mirrors(tomllib.loads(text)["resolver"]["host"], _error)


def test_mirrors_as_containerd_stargz_grpc_has_them():
    text = """
        [[resolver.host."docker.io".mirrors]]
        host = "m.io:5000"
        insecure = true
        request_timeout_sec = 5
        [resolver.host."docker.io".mirrors.header]
        X-A = "1"
        X-B = ["2", "3"]
        [[resolver.host."docker.io".mirrors]]
        host = "n.io"
        [[resolver.host."[::1]:5000".mirrors]]
        host = "[::1]:5001"
        request_timeout_sec = -1
    """
    assert _parse(text) == {
        "docker.io": (
            MirrorSettings("m.io:5000", True, 5.0, (("X-A", "1"), ("X-B", "2"), ("X-B", "3"))),  # noqa: FBT003
            MirrorSettings("n.io"),
        ),
        "[::1]:5000": (
            MirrorSettings("[::1]:5001", inactivity_timeout_seconds=NO_TIMEOUT_SECONDS),
        ),
    }


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('host = "https://m.io"', "host"),
        ('host = "m.io/path"', "host"),
        ("insecure = true", "host"),
        ('host = "m.io"\ninsecure = 1', "insecure"),
        ('host = "m.io"\nrequest_timeout_sec = "5"', "request_timeout_sec"),
        ('host = "m.io"\nrequest_timeout_sec = true', "request_timeout_sec"),
        ('host = "m.io"\nheader = {X = 1}', "header.X"),
        ('host = "m.io"\nhosts = 1', "hosts"),
    ],
)
def test_a_mistake_is_told_by_its_key(line, key):
    with pytest.raises(ValueError, match=rf'^resolver\.host\."a\.io"\.mirrors\[0\]\.{key}: '):
        _parse(f'[[resolver.host."a.io".mirrors]]\n{line}')


@pytest.mark.parametrize(
    "text",
    [
        '[resolver.host]\n"a.io" = 1',
        '[resolver.host."a.io"]\nmirrors = 1',
        '[resolver.host."a.io"]\nmirror = []',
        '[resolver.host."a.io"]\nmirrors = [1]',
    ],
)
def test_another_shape_is_told(text):
    with pytest.raises(ValueError, match=r'^resolver\.host\."a\.io"'):
        _parse(text)


def test_paths():
    assert parse_paths("/a:/b", "key", _error) == (Path("/a"), Path("/b"))
    assert parse_paths("", "key", _error) == ()
    with pytest.raises(ValueError, match=r"^key: must be absolute"):
        parse_paths("/a:b", "key", _error)
