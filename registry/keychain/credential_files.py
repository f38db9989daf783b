"""Credentials in files, where docker, nerdctl, podman and the kubelet leave them, and what the files name helpers for.

Files are read each time credentials are wanted, so that a login, or a secret that is rotated, takes effect at once.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from registry.errors import CredentialsError
from registry.keychain.credential_helpers import ask_helper
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.docker_config import (
    MAX_CONFIG_BYTES,
    DockerConfig,
    login_offers,
    parse_docker_config,
    parse_dockercfg,
)

LEGACY_NAME: Final = ".dockercfg"

_Parse = Callable[..., DockerConfig]


def credential_files(environment: Mapping[str, str], *, user: int) -> tuple[Path, ...]:
    """Where credentials may be, in the order in which they are looked for.

    ``$REGISTRY_AUTH_FILE``; docker's and nerdctl's ``config.json``; podman's ``auth.json`` of the session and of the user; the old
    ``~/.dockercfg``; and, for root, the kubelet's.
    """
    home = Path(environment.get("HOME") or ("/root" if user == 0 else "/"))
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    runtime = environment.get("XDG_RUNTIME_DIR")
    named = environment.get("REGISTRY_AUTH_FILE")
    docker = environment.get("DOCKER_CONFIG")
    places = [
        Path(named) if named else None,
        (Path(docker) if docker else home / ".docker") / "config.json",
        Path(runtime) / "containers" / "auth.json" if runtime else None,
        Path(f"/run/containers/{user}/auth.json"),
        config_home / "containers" / "auth.json",
        home / LEGACY_NAME,
        Path("/var/lib/kubelet/config.json") if user == 0 else None,
    ]
    return tuple(dict.fromkeys(path for path in places if path is not None))


class CredentialFile:
    """One file. A ``CredentialSource``."""

    def __init__(self, path: Path, *, helper_timeout_seconds: float) -> None:
        self.path = path
        self._helper_timeout_seconds = helper_timeout_seconds

    def __repr__(self) -> str:
        return f"<CredentialFile {self.path}>"

    def __str__(self) -> str:
        return str(self.path)

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``: what helpers know, and then what is in the file itself, as docker does."""
        try:
            config = self._read()
        except CredentialsError as error:
            yield error
            return
        for helper in config.helpers(question):
            yield from self._ask(helper, question)
        yield from login_offers(config.auths, question, source=str(self.path))

    def _ask(
        self, helper: str, question: CredentialQuestion
    ) -> Iterator[Credentials | CredentialsError]:
        try:
            found = ask_helper(
                helper,
                question.host,
                named_by=str(self.path),
                timeout_seconds=self._helper_timeout_seconds,
            )
        except CredentialsError as error:
            yield error
            return
        if found is not None:
            yield found

    def _read(self) -> DockerConfig:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_CONFIG_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return DockerConfig()
        except OSError as error:
            raise CredentialsError(self.path, error.strerror or "cannot be read") from None
        parse: _Parse = parse_dockercfg if self.path.name == LEGACY_NAME else parse_docker_config
        return parse(raw, source=str(self.path))


def user_files(*, helper_timeout_seconds: float) -> tuple[CredentialFile, ...]:
    """The files of this process's user."""
    paths = credential_files(os.environ, user=os.geteuid())
    return tuple(
        CredentialFile(path, helper_timeout_seconds=helper_timeout_seconds) for path in paths
    )
