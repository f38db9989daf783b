"""Kubernetes' API server, as far as Secrets go: lists in pages, watches with bookmarks, and what goes wrong with them.

There is none in Debian; this one speaks the protocol of kubernetes.io, "Kubernetes API Concepts", over real TLS.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.served import Served

_DEADLINE_SECONDS = 20
_JSON = "application/json"


class FakeApiServer(Served):
    """An API server on loopback; a context manager.

    Args:
        certificate: what it shows, and its key; it speaks plain HTTP without.
        client_authority: who signs the certificates of clients; every request must bring such a one, or a token.
        token: the token that is taken; empty: none is asked for.
    """

    def __init__(
        self,
        certificate: tuple[Path, Path] | None = None,
        client_authority: Path | None = None,
        token: str = "",
    ) -> None:
        self._fake = _Server(token)
        self._scheme = "http" if certificate is None else "https"
        super().__init__(self._fake, "API server")
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_authority is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_authority)
            self._fake.tls = context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()
        super().__exit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """What a kubeconfig has as ``server``."""
        return f"{self._scheme}://{self.host}"

    @property
    def asked(self) -> list[dict[str, str]]:
        """The query of each request so far."""
        with self._fake.changed:
            return list(self._fake.asked)

    @property
    def names_asked_for(self) -> set[str]:
        """The values of ``Host`` in requests so far."""
        return self._fake.hosts

    def put(self, name: str, content: bytes, *, kind: str = "dockerconfigjson") -> None:
        """Makes a Secret, or changes it; ``name`` is ``namespace/name``."""
        key = f".{kind}"
        data = {key: base64.b64encode(content).decode()}
        self._fake.change(name, f"kubernetes.io/{kind}", data)

    def delete(self, name: str) -> None:
        """Deletes a Secret."""
        self._fake.change(name, "", None)

    def bookmark(self) -> None:
        """Tells all who watch the newest version."""
        self._fake.change("", "", None)

    def compact(self) -> None:
        """Forgets all changes so far: who knows an older version must list again."""
        with self._fake.changed:
            self._fake.oldest = self._fake.version + 1
            self._fake.changed.notify_all()

    def hang_up(self) -> None:
        """Breaks off all watches under way."""
        with self._fake.changed:
            self._fake.life += 1
            self._fake.changed.notify_all()

    def refuse(self, status: int | None, *, verb: str = "") -> None:
        """Answers with a status, all requests or those of a verb; None: no more."""
        with self._fake.changed:
            self._fake.refusal = None if status is None else (status, verb)

    def take_token(self, token: str) -> None:
        """From now on another token is taken."""
        self._fake.token = token

    def wait_asked(self, condition: Callable[[dict[str, str]], bool], *, count: int = 1) -> None:
        """Blocks until as many requests as that were of a kind."""
        with self._fake.changed:
            assert self._fake.changed.wait_for(
                lambda: sum(map(condition, self._fake.asked)) >= count, _DEADLINE_SECONDS
            ), self._fake.asked


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, token: str) -> None:
        self.token = token
        self.tls: ssl.SSLContext | None = None
        self.changed = threading.Condition()
        self.asked: list[dict[str, str]] = []
        self.hosts: set[str] = set()
        self.version = 10
        self.oldest = 0
        self.life = 0
        self.refusal: tuple[int, str] | None = None
        self.secrets: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own: a client that does not shake hands holds nobody else up."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(
            request, server_side=True, do_handshake_on_connect=False
        ) as secured:
            secured.do_handshake()
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are none of our business."""

    def news(
        self, known: int, life: int
    ) -> tuple[int, list[tuple[int, str, dict[str, Any]]]] | None:
        """Blocks until there is something newer than a version; None when watches are broken off."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.life != life or self.version > known, _DEADLINE_SECONDS
            )
            if self.life != life:
                return None
            if known + 1 < self.oldest:
                status = {"kind": "Status", "code": 410, "message": "too old resource version"}
                return known, [(known, "ERROR", status)]
            return self.version, [event for event in self.events if event[0] > known]

    def change(self, name: str, kind: str, data: dict[str, str] | None) -> None:
        with self.changed:
            self.version += 1
            version = {"resourceVersion": str(self.version)}
            if not name:
                self.events.append((self.version, "BOOKMARK", {"metadata": version}))
            elif data is None:
                secret = self.secrets.pop(name)
                secret = {**secret, "metadata": {**secret["metadata"], **version}}
                self.events.append((self.version, "DELETED", secret))
            else:
                what = "MODIFIED" if name in self.secrets else "ADDED"
                namespace, _, plain = name.partition("/")
                metadata = {"name": plain, "namespace": namespace, **version}
                secret = {"metadata": metadata, "type": kind, "data": data}
                self.secrets[name] = secret
                self.events.append((self.version, what, secret))
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        assert isinstance(self.server, _Server)
        self._fake = self.server
        super().setup()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self._fake.changed:
            self._fake.asked.append(query)
            self._fake.hosts.add(self.headers["Host"])
            self._fake.changed.notify_all()
            refusal = self._fake.refusal
        verb = "watch" if "watch" in query else "list"
        if self._fake.token and self.headers["Authorization"] != f"Bearer {self._fake.token}":
            self._refuse(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        elif refusal is not None and refusal[1] in {"", verb}:
            self._refuse(refusal[0], f'secrets is forbidden: User "node" cannot {verb} resource')
        elif parts.path != "/api/v1/secrets":
            self._refuse(HTTPStatus.NOT_FOUND, "the server could not find the requested resource")
        elif verb == "watch":
            self._watch(query)
        else:
            self._list(query)

    def _list(self, query: dict[str, str]) -> None:
        kind = query["fieldSelector"].removeprefix("type=")
        start, limit = int(query.get("continue", "0")), int(query["limit"])
        with self._fake.changed:
            chosen = [item for item in self._fake.secrets.values() if item["type"] == kind]
            metadata = {"resourceVersion": str(self._fake.version)}
        if start + limit < len(chosen):
            metadata["continue"] = str(start + limit)
        # The list of a kind without any is null in Go.
        items = chosen[start : start + limit] or None
        self._answer(HTTPStatus.OK, {"kind": "SecretList", "metadata": metadata, "items": items})

    def _watch(self, query: dict[str, str]) -> None:
        kind = query["fieldSelector"].removeprefix("type=")
        known = int(query["resourceVersion"])
        life = self._fake.life
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _JSON)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while (found := self._fake.news(known, life)) is not None:
            known, events = found
            for _, what, told in events:
                if what in {"BOOKMARK", "ERROR"} or told["type"] == kind:
                    self._send({"type": what, "object": told})
            if events and events[-1][1] == "ERROR":
                self.wfile.write(b"0\r\n\r\n")
                return

    def _send(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        # In two pieces: a client must put lines together.
        for piece in (line[:10], line[10:]):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"kind": "Status", "message": message, "code": status})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
