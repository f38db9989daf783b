"""The programs that a kubeconfig names to say who we are (client-go's credential plugins).

Source: kubernetes.io, "client-go credential plugins"; ``client.authentication.k8s.io/v1``.
"""

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from registry.errors import CredentialsError
from registry.keychain.kubeconfig import ExecPlugin
from registry.keychain.programs import run_program

# A clock may be a little off, and a request takes its time.
_MARGIN: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a program answered: a token, or a certificate and its key in PEM, or all of it."""

    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    expires: datetime | None = None


class ExecCredentials:
    """Runs programs, and keeps their answer as long as it says. Blocks; one caller at a time."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._kept: tuple[ExecPlugin, ExecCredential] | None = None

    def __repr__(self) -> str:
        return f"<ExecCredentials {'kept' if self._kept else 'none'}>"

    def get(self, plugin: ExecPlugin) -> ExecCredential:
        """What a program says, or said and still holds.

        Raises:
            CredentialsError: it is not there, fails, or says nothing of use.
        """
        if self._kept is not None and self._kept[0] == plugin:
            expires = self._kept[1].expires
            if expires is None or self._clock() + _MARGIN < expires:
                return self._kept[1]
        answer = self._run(plugin)
        self._kept = plugin, answer
        return answer

    def forget(self) -> bool:
        """Drops what is kept, as after it was refused; whether there was anything."""
        kept, self._kept = self._kept, None
        return kept is not None

    def _run(self, plugin: ExecPlugin) -> ExecCredential:
        told = {"KUBERNETES_EXEC_INFO": dump_request(plugin), **dict(plugin.environment)}
        command = [plugin.command, *plugin.arguments]
        try:
            answer = run_program(
                command, b"", timeout_seconds=self._timeout_seconds, environment=told
            )
        except CredentialsError as error:
            if not plugin.install_hint:
                raise
            raise CredentialsError(error.source, f"{error.reason}; {plugin.install_hint}") from None
        return parse_answer(answer, source=plugin.command)


def dump_request(plugin: ExecPlugin) -> str:
    """What a program reads in ``KUBERNETES_EXEC_INFO``.

    Raises:
        CredentialsError: it wants to know the cluster's authorities, and they cannot be read.
    """
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster is not None:
        spec["cluster"] = {name: _readable(value) for name, value in plugin.cluster.items()}
    kind = {"apiVersion": plugin.api_version, "kind": "ExecCredential"}
    return json.dumps({**kind, "spec": spec})


def _readable(value: object) -> object:
    """A file as its content, and bytes as base64."""
    if isinstance(value, Path):
        try:
            return _readable(value.read_bytes())
        except OSError as error:
            raise CredentialsError(value, error.strerror or "cannot be read") from None
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class _Status(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str | None = None

    def __repr__(self) -> str:
        return "<_Status>"


class _Answer(msgspec.Struct):
    kind: str
    status: _Status | None = None


def parse_answer(raw: bytes, *, source: str) -> ExecCredential:
    """Reads a program's answer; the error never quotes it.

    Raises:
        CredentialsError: it is none, or says nothing.
    """
    answer: _Answer | None = None
    expires: datetime | None = None
    with contextlib.suppress(ValueError, RecursionError):  # the decoder's errors are ValueErrors
        read = msgspec.json.decode(raw, type=_Answer)
        if read.status is not None and read.status.expiration_timestamp:
            expires = datetime.fromisoformat(read.status.expiration_timestamp)
            expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
        answer = read
    if answer is None or answer.kind != "ExecCredential" or answer.status is None:
        raise CredentialsError(source, "its answer is no ExecCredential")
    status = answer.status
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise CredentialsError(source, "its answer has a certificate or a key, and not both")
    if not status.token and not status.client_key_data:
        raise CredentialsError(source, "its answer has neither token nor certificate")
    return ExecCredential(
        status.token,
        status.client_certificate_data.encode(),
        status.client_key_data.encode(),
        expires,
    )
