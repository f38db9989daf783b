"""Credentials, as ``docker login`` leaves them: ``auths`` in ``$DOCKER_CONFIG/config.json`` or ``~/.docker/config.json``.

The file is read each time credentials are wanted, so that a login takes effect at once. Credential helpers are not run.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from registry.auth import Credentials
from registry.errors import CredentialsError

MAX_CONFIG_BYTES: Final = 1 << 20

_DOCKER_HUB: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")


class _Auth(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "<_Auth>"


class _Config(msgspec.Struct):
    auths: dict[str, _Auth] = {}


def docker_config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where docker keeps its configuration."""
    directory = environment.get("DOCKER_CONFIG")
    return (
        Path(directory) if directory else Path(environment.get("HOME") or "/root") / ".docker"
    ) / "config.json"


def find_credentials(host: str, *, path: Path) -> Credentials | None:
    """The credentials for a registry host (with its port), or None where there are none. Blocks on the disk.

    Raises:
        CredentialsError: the file exists but cannot be read or understood.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CredentialsError(path, error.strerror or "cannot be read") from None
    return choose_credentials(host, _parse_config(path, raw))


def choose_credentials(host: str, entries: Mapping[str, Credentials]) -> Credentials | None:
    """The entry for a host; docker writes keys as hosts, and older ones as URLs."""
    names = _DOCKER_HUB if host in _DOCKER_HUB else (host,)
    for key, credentials in entries.items():
        if _host_of_key(key) in names:
            return credentials
    return None


def _parse_config(path: Path, raw: bytes) -> dict[str, Credentials]:
    if len(raw) > MAX_CONFIG_BYTES:
        raise CredentialsError(path, "it is too large")
    try:
        config = msgspec.json.decode(raw or b"{}", type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's message may quote what it stumbled over.
        raise CredentialsError(path, "it is not a docker configuration in JSON") from None
    entries = {}
    for key, entry in config.auths.items():
        credentials = _entry_credentials(entry)
        if credentials is not None:
            entries[key] = credentials
    return entries


def _entry_credentials(entry: _Auth) -> Credentials | None:
    if entry.auth:
        return Credentials.from_base64(entry.auth)
    if entry.username and entry.password:
        return Credentials(entry.username, entry.password)
    return None


def _host_of_key(key: str) -> str:
    _, separator, rest = key.partition("://")
    return (rest if separator else key).partition("/")[0]
