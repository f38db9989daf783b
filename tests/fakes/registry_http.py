"""The fake registry's side of HTTP: one handler for the registry, its token server and its CDN."""

import base64
import json
import re
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from registry.digest import Digest
from registry.manifest import OCI_INDEX
from tests.fakes.registry_state import CONTENT_FAULTS, Fault, Faults, Record, RegistryState

_BLOB = re.compile(r"/v2/(.+)/blobs/(sha(?:256|512):[0-9a-f]+)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha(?:256|512):[0-9a-f]+)")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_STATUS_FAULTS = {
    Fault.FORBIDDEN: 403,
    Fault.MISSING: 404,
    Fault.BUSY: 503,
    Fault.RATE_LIMITED: 429,
    Fault.BROKEN: 500,
    Fault.TOO_LARGE: 413,
    Fault.HUNG_UP: 0,
}
_RANGE_FAULTS = {Fault.RANGE_REFUSED: 400, Fault.RANGE_UNSATISFIABLE: 416}


class FakeServer(ThreadingHTTPServer):
    """One listening port of the fake."""

    daemon_threads = True

    def __init__(self, state: RegistryState, faults: Faults, *, cdn: "FakeServer | None") -> None:
        self.state = state
        self.faults = faults
        self.cdn = cdn
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True

    def setup(self) -> None:
        assert isinstance(self.server, FakeServer)
        self._fake = self.server
        self._state = self.server.state
        super().setup()

    def do_GET(self) -> None:
        self._dispatch()

    do_HEAD = do_PATCH = do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _dispatch(self) -> None:
        self._path = urlsplit(self.path).path
        self._query = parse_qs(urlsplit(self.path).query)
        self._kind = self._find_kind()
        self._upload = b""
        size = int(self.headers.get("Content-Length") or 0)
        if size and self._fake.faults.take(self._kind, frozenset({Fault.UPLOAD_CUT})):
            self._cut_upload(self.rfile.read(size // 2))
            return
        self._upload = self.rfile.read(size)
        fault = self._fake.faults.take(self._kind, frozenset(_STATUS_FAULTS))
        if fault is Fault.HUNG_UP:
            self._record(0, 0)
            self.close_connection = True
        elif fault is not None:
            self._send_fault(_STATUS_FAULTS[fault])
        elif self._kind == "token":
            self._do_token()
        elif self._kind == "cdn":
            self._do_cdn()
        elif self._is_admitted():
            self._do_registry()

    def _find_kind(self) -> str:
        if self._fake.cdn is None:
            return "cdn"
        if self._path == "/token":
            return "token"
        if _UPLOAD.fullmatch(self._path):
            return "upload"
        return "manifest" if _MANIFEST.fullmatch(self._path) else "blob"

    def _do_registry(self) -> None:
        if match := _UPLOAD.fullmatch(self._path):
            self._do_upload(*match.groups())
        elif match := _MANIFEST.fullmatch(self._path):
            self._do_manifest(*match.groups())
        elif match := _BLOB.fullmatch(self._path):
            self._do_blob(*match.groups())
        elif (match := _REFERRERS.fullmatch(self._path)) and self._state.knows_referrers:
            self._do_referrers(*match.groups())
        else:
            self._send_error(404, "NOT_FOUND")

    def _is_admitted(self) -> bool:
        authorization = self.headers.get("Authorization", "")
        if self._state.require_login and self._user() is None:
            return self._challenge(self._state.challenge or 'Basic realm="fake"')
        if not self._state.require_token:
            return True
        parts = ("/blobs/", "/referrers/", "/manifests/")
        part = next((part for part in parts if part in self._path), "/")
        repository = self._path.removeprefix("/v2/").rpartition(part)[0]
        action = "push" if self.command in {"PATCH", "POST", "PUT"} else "pull"
        refused = self._fake.faults.take(self._kind, frozenset({Fault.UNAUTHORIZED}))
        if not refused and self._state.is_allowed(authorization, repository, action):
            return True
        realm = self._state.realm or f"http://{self._fake.host}/token"
        scope = f"repository:{repository}:{action}"
        bearer = f'Bearer realm="{realm}",service="fake",scope="{scope}"'
        return self._challenge((self._state.challenge or "{bearer}").replace("{bearer}", bearer))

    def _challenge(self, challenge: str) -> bool:
        self._send_error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return False

    def _user(self) -> str | None:
        """Who logs in with the right password; None where nobody does."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        name, _, password = base64.b64decode(value).decode().partition(":")
        return name if self._state.users.get(name) == password else None

    def _do_token(self) -> None:
        if status := self._state.token_statuses.get(self.command):
            self._send_error(status, "UNSUPPORTED")
            return
        form = parse_qs(self._upload.decode())
        if not self._may_have_token(form):
            self._send_error(401, "UNAUTHORIZED")
            return
        if self._fake.faults.take("token", frozenset({Fault.STALLED})):
            self._fake.faults.wait_released()
        if self._state.token_answer is not None:
            self._send(200, self._state.token_answer)
            return
        scopes = form["scope"][0].split() if form else self._query["scope"]
        answer: dict[str, object] = {"token": self._state.issue_token(scopes)}
        if self._state.token_lifetime_seconds is not None:
            answer["expires_in"] = self._state.token_lifetime_seconds
        if self._state.gives_refresh_tokens:
            answer["refresh_token"] = self._state.issue_identity_token()
        self._send(200, json.dumps(answer).encode())

    def _may_have_token(self, form: dict[str, list[str]]) -> bool:
        match form.get("grant_type"):
            case None:
                return not self.headers.get("Authorization") or self._user() is not None
            case ["refresh_token"]:
                return form["refresh_token"][0] in self._state.identity_tokens
            case _:
                return self._state.users.get(form["username"][0]) == form["password"][0]

    def _do_manifest(self, repository: str, name: str) -> None:
        if self.command == "PUT":
            media_type = self.headers.get("Content-Type", "")
            digest = self._state.add_manifest(repository, name, self._upload, media_type)
            headers = {"Docker-Content-Digest": self._state.claimed_digest or str(digest)}
            subject = json.loads(self._upload).get("subject")
            if subject and self._state.knows_referrers:
                headers["OCI-Subject"] = subject["digest"]
            self._send(201, b"", headers)
            return
        found = self._state.manifests.get((repository, name))
        if found is None:
            self._send_error(404, "MANIFEST_UNKNOWN")
            return
        raw, media_type = found
        digest = Digest.of(raw)
        if self._fake.faults.take("manifest", frozenset({Fault.WRONG_BYTES})):
            raw = _flip(raw)
        claimed = self._state.claimed_digest or str(digest)
        self._send(200, raw, {"Content-Type": media_type, "Docker-Content-Digest": claimed})

    def _do_referrers(self, repository: str, subject: str) -> None:
        """One on each page, whatever type is asked for."""
        found = [
            {"mediaType": media_type, "digest": name, "size": len(raw), **_described(raw)}
            for (where, name), (raw, media_type) in self._state.manifests.items()
            if where == repository
            and ":" in name
            and (json.loads(raw).get("subject") or {}).get("digest") == subject
        ]
        number = int(self._query.get("page", ["0"])[0])
        headers = {"Content-Type": OCI_INDEX}
        if number + 1 < len(found):
            headers["Link"] = f'<{self._path}?page={number + 1}>; rel="next"'
        page = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[number : number + 1]}
        self._send(200, json.dumps(page).encode(), headers)

    def _cut_upload(self, received: bytes) -> None:
        match = _UPLOAD.fullmatch(self._path)
        assert match
        self._state.uploads[match[2]] = self._state.uploads.get(match[2], b"") + received
        self._record(0, 0)
        self.close_connection = True

    def _do_upload(self, repository: str, name: str) -> None:
        digest = self._query.get("digest", [""])[0]
        received = self._state.uploads.get(name, b"") + self._upload
        if self.command == "POST":
            self._begin_upload(repository)
        elif name not in self._state.uploads or not self._query.get("state"):
            self._send_error(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "GET":
            self._send(204, b"", {"Range": f"0-{max(0, len(received) - 1)}"})
        elif self.command == "PATCH":
            self._state.uploads[name] = received
            location = f"/v2/{repository}/blobs/uploads/{name}?state={len(received)}"
            self._send(202, b"", {"Location": location})
        elif digest == str(Digest.of(received)):
            self._state.add_blob(repository, received)
            self._send(201, b"")
        else:
            self._send_error(400, "DIGEST_INVALID")

    def _begin_upload(self, repository: str) -> None:
        mounted = self._query.get("mount", [""])[0]
        blob = self._state.blobs.get((self._query.get("from", [""])[0], mounted))
        if blob is not None and self._state.mounts:
            self._state.add_blob(repository, blob)
            self._send(201, b"")
            return
        name = self._state.next_name("upload")
        self._state.uploads[name] = b""
        location = f"/v2/{repository}/blobs/uploads/{name}?state=opaque"
        self._send(202, b"", {"Location": self._state.upload_location or location})

    def _do_blob(self, repository: str, digest: str) -> None:
        blob = self._state.blobs.get((repository, digest))
        if blob is None:
            self._send_error(404, "BLOB_UNKNOWN")
        elif self._state.redirects and self._fake.cdn is not None:
            location = f"http://{self._fake.cdn.host}/{repository}/{digest}?signature={self._state.sign()}{self._state.signed_for}"
            self._send(307, b"elsewhere", {"Location": self._state.redirect_to or location})
        else:
            self._send_blob(blob)

    def _do_cdn(self) -> None:
        repository, _, digest = self._path.strip("/").rpartition("/")
        signature = self._query.get("signature", [""])[0]
        refused = self.command == "HEAD" and self._state.head_redirect_refused
        if refused or signature not in self._state.signatures:
            self._send(403, b"<Error><Code>ExpiredToken</Code></Error>")
        else:
            self._send_blob(self._state.blobs[repository, digest])

    def _send_blob(self, blob: bytes) -> None:
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        ignored = {Fault.RANGE_IGNORED} | (
            {Fault.SUFFIX_IGNORED} if match and not match[1] else set()
        )
        if match is None or self._fake.faults.take(self._kind, frozenset(ignored)):
            self._send_content(200, blob, {})
            return
        if fault := self._fake.faults.take(self._kind, frozenset(_RANGE_FAULTS)):
            self._send(_RANGE_FAULTS[fault], b"")
            return
        start, stop = _resolve(match[1], match[2], len(blob))
        if start >= stop:
            self._send(416, b"", {"Content-Range": f"bytes */{len(blob)}"})
            return
        if self._fake.faults.take(self._kind, frozenset({Fault.OTHER_RANGE})):
            start = min(start + 1, stop - 1)
        content_range = f"bytes {start}-{stop - 1}/{len(blob)}"
        self._send_content(206, blob[start:stop], {"Content-Range": content_range})

    def _send_content(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault = self._fake.faults.take(self._kind, CONTENT_FAULTS)
        match fault:
            case None:
                self._send(status, body, headers)
            case Fault.WRONG_BYTES:
                self._send(status, _flip(body), headers)
            case Fault.OTHER_CONTENT_RANGE:
                other = {"Content-Range": f"bytes 1-{len(body)}/{len(body) + 1}"}
                self._send(status, body, {**headers, **other})
            case _:
                headers = {**headers, "Content-Length": str(len(body))}
                self._send(status, body[: len(body) // 2], headers)
                self.wfile.flush()
                self._end_badly(fault, body[len(body) // 2 :])

    def _end_badly(self, fault: Fault, left: bytes) -> None:
        """What happens to a connection that is owed a part of a body."""
        self.close_connection = True
        if fault is Fault.STALLED:
            self._fake.faults.wait_released()
        elif fault is Fault.TRICKLE:
            bytes_left = iter(left)
            self._fake.faults.trickle(lambda: self._send_byte(next(bytes_left, 0)))
        elif fault is Fault.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _send_byte(self, value: int) -> None:
        self.wfile.write(bytes([value]))
        self.wfile.flush()

    def _send_fault(self, status: int) -> None:
        after = self._fake.faults.retry_after
        headers = {} if after is None else {"Retry-After": after}
        if status == 500:
            self._send(status, b"<html>\r\n\x1b[31moops</html>", headers)
        else:
            self._send_error(status, "TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE", headers)

    def _send_error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        errors = [{"code": code, "message": f"{code.lower()} here", "detail": None}]
        self._send(status, json.dumps({"errors": errors}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        sent = b"" if self.command == "HEAD" else body
        self._record(status, len(sent))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def _record(self, status: int, body_bytes: int) -> None:
        self._state.record(
            Record(
                kind=self._kind,
                method=self.command,
                path=self._path,
                range=self.headers.get("Range", ""),
                authorization=self.headers.get("Authorization", ""),
                status=status,
                body_bytes=body_bytes,
                grant=parse_qs(self._upload.decode()).get("grant_type", [""])[0]
                if self._kind == "token"
                else "",
                user_agent=self.headers.get("User-Agent", ""),
                namespace=self._query.get("ns", [""])[0],
            )
        )


def _described(raw: bytes) -> dict[str, object]:
    document = json.loads(raw)
    return {key: document[key] for key in ("artifactType", "annotations") if key in document}


def _resolve(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and stop of a range; an empty one where it cannot be satisfied."""
    if not first:
        return max(0, size - int(last or 0)), size
    return int(first), min(size, int(last) + 1 if last else size)


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if data else data
