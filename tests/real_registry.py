"""A real registry: Debian's docker-registry on loopback, on a port of its own choice."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.logged_process import LoggedProcess
from tests.token_server import TokenServer

_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySetup:
    """How a registry differs from the plainest one, which everybody may read and write without TLS.

    Attributes:
        token_realm: who hands out tokens.
        users: names and passwords, for basic authentication.
        certificate: of the server, with its key: it speaks TLS then.
        client_authority: who must have signed the certificates of clients.
        storage: another registry's content, which this one has too; None: content of its own.
        upstream: the URL of the registry that this is a pull-through mirror of.
        address: where it listens; a port of 0 is any free one.
    """

    token_realm: TokenServer | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    certificate: tuple[Path, Path] | None = None
    client_authority: Path | None = None
    storage: Path | None = None
    upstream: str = ""
    address: str = "127.0.0.1:0"


class RealRegistry:
    """A running docker-registry; a context manager, which may be entered again after its end, as a registry that is restarted.

    Args:
        tmp_path: where it keeps its configuration and content.
        token_realm: who hands out tokens; without one, everybody may read and write.
        setup: what else is special about it.
    """

    def __init__(
        self,
        tmp_path: Path,
        token_realm: TokenServer | None = None,
        setup: RegistrySetup | None = None,
    ) -> None:
        self._setup = setup or RegistrySetup(token_realm=token_realm)
        self.storage = self._setup.storage or tmp_path / "registry-storage"
        self._config = tmp_path / "registry.json"
        self._config.write_text(json.dumps(self._settings(self._setup, tmp_path)))
        self._process: LoggedProcess | None = None
        self.host = ""

    def __repr__(self) -> str:
        return f"<RealRegistry {self.host or 'not started'}>"

    def __enter__(self) -> Self:
        self._process = LoggedProcess(["docker-registry", "serve", self._config])
        try:
            # The line is written after listen(2): who connects from now on is answered.
            line = self._process.wait_for_line(
                r"listening on 127\.0\.0\.1:\d+", deadline_seconds=_START_SECONDS
            )
        except BaseException:
            self._stop(self._process)
            raise
        self.host = line.partition("listening on ")[2].partition('"')[0].split()[0].rstrip(",")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._stop(self._process)

    @property
    def address(self) -> str:
        """Where it was told to listen."""
        return self._setup.address

    def lines(self) -> list[str]:
        """The log so far, access log included."""
        return [] if self._process is None else self._process.lines()

    def wait_for_line(self, pattern: str) -> str:
        """The first line of the log with a pattern: a request is in it some time after its answer."""
        assert self._process is not None
        return self._process.wait_for_line(pattern, deadline_seconds=_START_SECONDS)

    def _stop(self, process: LoggedProcess) -> None:
        process.stop()
        process.join_log()

    def _settings(self, setup: RegistrySetup, tmp_path: Path) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
            },
            "http": {"addr": setup.address, "secret": "for tests"},
        }
        if setup.token_realm is not None:
            settings["auth"] = {"token": setup.token_realm.registry_settings()}
        if setup.users:
            path = tmp_path / "htpasswd"
            path.write_text(
                "".join(f"{name}:{_bcrypt(word)}\n" for name, word in setup.users.items())
            )
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(path)}}
        if setup.certificate is not None:
            certificate, key = setup.certificate
            tls: dict[str, Any] = {"certificate": str(certificate), "key": str(key)}
            if setup.client_authority is not None:
                tls["clientcas"] = [str(setup.client_authority)]
            settings["http"]["tls"] = tls
        if setup.upstream:
            settings["proxy"] = {"remoteurl": setup.upstream}
        return settings


def _bcrypt(password: str) -> str:
    """A password as docker-registry wants it; perl's ``crypt`` is the C library's, and always there."""
    script = "print crypt($ARGV[0], '$2b$04$abcdefghijklmnopqrstuu')"
    command = ["perl", "-e", script, password]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=20).stdout
