"""A registry with behaviour: real HTTP on loopback, tokens, redirects to a second server, and faults by name."""

import contextlib
from types import TracebackType
from typing import Self

from registry.digest import Digest
from tests.fakes.registry_http import FakeServer
from tests.fakes.registry_state import Fault, Faults, Record, RegistryState
from tests.served import Served

__all__ = ["FakeRegistry", "Fault", "Faults", "Record"]


class FakeRegistry:
    """A running fake; a context manager. Everything may be changed at any time, from any thread.

    ``state`` holds the switches: ``redirects``, ``require_login``, ``users``, ``token_lifetime_seconds`` and more.
    """

    def __init__(self) -> None:
        self.state = RegistryState()
        self.faults = Faults(self.state.lock)
        self._cdn = FakeServer(self.state, self.faults, cdn=None)
        self._registry = FakeServer(self.state, self.faults, cdn=self._cdn)
        self._serving = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"<FakeRegistry {self.host}>"

    def __enter__(self) -> Self:
        for server, name in ((self._registry, "fake registry"), (self._cdn, "fake CDN")):
            self._serving.enter_context(Served(server, name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.faults.clear()
        self._serving.close()

    @property
    def host(self) -> str:
        """The registry's host and port."""
        return self._registry.host

    @property
    def cdn_host(self) -> str:
        """The host and port that blobs are redirected to, with ``redirects``."""
        return self._cdn.host

    @property
    def require_token(self) -> bool:
        """Whether requests need a token."""
        return self.state.require_token

    @require_token.setter
    def require_token(self, required: bool) -> None:
        self.state.require_token = required

    @property
    def redirects(self) -> bool:
        """Whether blobs are redirected to the CDN."""
        return self.state.redirects

    @redirects.setter
    def redirects(self, redirected: bool) -> None:
        self.state.redirects = redirected

    @property
    def requests(self) -> list[Record]:
        """All requests so far, in the order of their answers."""
        with self.state.lock:
            return list(self.state.requests)

    def count(self, kind: str) -> int:
        """How many requests of a kind there were."""
        return sum(1 for record in self.requests if record.kind == kind)

    def add_blob(self, repo: str, data: bytes) -> Digest:
        """Stores a blob."""
        return self.state.add_blob(repo, data)

    def add_manifest(self, repo: str, tag: str, raw: bytes, media_type: str) -> Digest:
        """Stores a manifest or an index."""
        return self.state.add_manifest(repo, tag, raw, media_type)

    def expire_redirects(self) -> None:
        """No signed URL handed out so far works any longer."""
        with self.state.lock:
            self.state.signatures.clear()

    def revoke_tokens(self) -> None:
        """No token handed out so far works any longer."""
        with self.state.lock:
            self.state.tokens.clear()
