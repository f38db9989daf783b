"""A real registry: Debian's docker-registry on loopback, on a port of its own choice."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.logged_process import LoggedProcess
from tests.token_server import TokenServer

_START_SECONDS = 20.0


class RealRegistry:
    """A running docker-registry; a context manager.

    Args:
        tmp_path: where it keeps its configuration and content.
        token_realm: who hands out tokens; without one, everybody may read and write.
    """

    def __init__(self, tmp_path: Path, token_realm: TokenServer | None = None) -> None:
        self.storage = tmp_path / "registry-storage"
        self._config = tmp_path / "registry.json"
        self._config.write_text(json.dumps(self._settings(token_realm)))
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
        self.host = line.partition("listening on ")[2].partition('"')[0].split()[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._stop(self._process)

    def lines(self) -> list[str]:
        """The log so far, access log included."""
        return [] if self._process is None else self._process.lines()

    def _stop(self, process: LoggedProcess) -> None:
        process.stop()
        process.join_log()

    def _settings(self, token_realm: TokenServer | None) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
            },
            "http": {"addr": "127.0.0.1:0", "secret": "for tests"},
        }
        if token_realm is not None:
            settings["auth"] = {"token": token_realm.registry_settings()}
        return settings
