"""What passed through the emulated network: its requests, one by one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class RequestKind(StrEnum):
    """What a request was for."""

    TOKEN = "token"  # noqa: S105 - a kind of request
    REFUSED = "refused"  # without a token
    REDIRECT = "redirect"
    BLOB = "blob"
    MANIFEST = "manifest"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Times are of ``time.monotonic``, which all processes of a machine share.

    Attributes:
        connection: the number of its connection.
        began: when the registry's side of the network had its head.
        first_byte: when the client could read the first byte of the answer.
        ended: the same for the last one.
        range: the range asked for, as in the header; empty for none.
        body_bytes: what the answer carried besides its head.
    """

    connection: int
    kind: RequestKind
    method: str
    path: str
    status: int
    range: str
    user_agent: str
    began: float
    first_byte: float
    ended: float
    body_bytes: int

    @property
    def digest(self) -> str:
        """The digest of the blob, or an empty string."""
        return "sha256:" + self.path.partition("sha256:")[2].partition("?")[0]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed until some moment; the difference of two is what passed between them."""

    connections: int
    bytes_up: int
    bytes_down: int
    requests: Sequence[Request]

    def since(self, earlier: "Traffic") -> "Traffic":
        """What passed after an earlier moment of the same network."""
        return Traffic(
            self.connections - earlier.connections,
            self.bytes_up - earlier.bytes_up,
            self.bytes_down - earlier.bytes_down,
            self.requests[len(earlier.requests) :],
        )

    def count(self, kinds: Iterable[RequestKind]) -> int:
        """How many requests were of these kinds."""
        wanted = set(kinds)
        return sum(request.kind in wanted for request in self.requests)

    def dump(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> Self:
        """The opposite of ``dump``."""
        fields: dict[str, Any] = json.loads(line)
        requests = [
            Request(**{**request, "kind": RequestKind(request["kind"])})
            for request in fields.pop("requests")
        ]
        return cls(**fields, requests=requests)
