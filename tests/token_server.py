"""A token server that a real registry trusts: it signs RS256 tokens with a key and a certificate of its own."""

import base64
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.served import Served

_ISSUER = "pyestargz tests"
_SERVICE = "pyestargz-registry"
_LIFETIME_SECONDS = 300
_LEEWAY_SECONDS = 60  # docker-registry's


class TokenServer(Served):
    """Hands out tokens on loopback; a context manager.

    Args:
        tmp_path: where the key is kept.
        users: names and passwords of those who may push and pull; everybody else may pull.
        lifetime_seconds: how long a token is good for registries, whatever it says: they grant 60 seconds more
            than is written in it.
    """

    def __init__(
        self,
        tmp_path: Path,
        users: Mapping[str, str] | None = None,
        *,
        lifetime_seconds: int = _LIFETIME_SECONDS,
    ) -> None:
        self._users = dict(users or {})
        self._lifetime_seconds = lifetime_seconds
        self._key = tmp_path / "token.key"
        self._certificate = tmp_path / "token.crt"
        self._lock = threading.Lock()
        self._scopes: list[str] = []
        self._make_key()
        super().__init__(_Server(self), "token server")

    @property
    def scopes(self) -> list[str]:
        """The scopes tokens were asked for, in order."""
        with self._lock:
            return list(self._scopes)

    def registry_settings(self) -> dict[str, str]:
        """What a docker-registry must be told to trust this server; its ``auth.token`` section."""
        return {
            "realm": f"http://{self.host}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self._certificate),
        }

    def issue(self, scopes: list[str], authorization: str | None) -> str | None:
        """A token for some scopes, cut down to what the caller may do; None for a wrong password."""
        user = _user_of(authorization)
        if user is not None and self._users.get(user[0]) != user[1]:
            return None
        with self._lock:
            self._scopes.append(" ".join(scopes))
        allowed = {"pull"} if user is None else {"pull", "push"}
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [action for action in actions.split(",") if action in allowed]
            access.append({"type": kind, "name": name, "actions": granted})
        return self._sign(access)

    def _sign(self, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        der = _run("openssl", "x509", "-in", str(self._certificate), "-outform", "DER")
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": _ISSUER,
            "sub": "",
            "aud": _SERVICE,
            "exp": now + self._lifetime_seconds - _LEEWAY_SECONDS,
            "nbf": now - 10,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        signed = f"{_url64(json.dumps(header).encode())}.{_url64(json.dumps(claims).encode())}"
        signature = _run(
            "openssl", "dgst", "-sha256", "-sign", str(self._key), stdin=signed.encode()
        )
        return f"{signed}.{_url64(signature)}"

    def _make_key(self) -> None:
        paths = ["-keyout", str(self._key), "-out", str(self._certificate)]
        _run(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=tests",
            *paths,
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, issuer: TokenServer) -> None:
        self.issuer = issuer
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert isinstance(self.server, _Server)
        token = self.server.issuer.issue(query["scope"], self.headers.get("Authorization"))
        answer = {"token": token, "expires_in": _LIFETIME_SECONDS} if token else {"errors": []}
        body = json.dumps(answer).encode()
        self.send_response(200 if token else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def _user_of(authorization: str | None) -> list[str] | None:
    if authorization is None:
        return None
    return base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":", 1)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _run(*argv: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(argv, input=stdin, capture_output=True, check=True, timeout=20).stdout
