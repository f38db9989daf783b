"""Keeps the image pull secrets of a cluster up to date: lists them, and watches what changes from there.

Source: kubernetes.io, "Kubernetes API Concepts": lists have a version from which a watch goes on; a watch ends after a while, and says
410 where its version is too old; bookmarks bring newer versions where nothing changed.
"""

import base64
import binascii
import logging
import math
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec
import trio

from registry.errors import ApiServerError, CredentialsError
from registry.keychain.api_server import ApiServer
from registry.keychain.credential_settings import CredentialSettings, KubernetesSettings
from registry.keychain.kubernetes_secrets import KubernetesSecrets, SecretName, SecretType

_log = logging.getLogger(__name__)
_GONE: Final = 410
_ANY_VERSION: Final = "0"  # whatever the server has at hand: the disks of the cluster are not asked
_PAGE: Final = 500
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class WatchPace:
    """How often the server is bothered.

    Attributes:
        least_pause_seconds: between two requests for one type; doubled with each failure, and up to halved by chance.
        most_pause_seconds: no such pause is longer.
        watch_seconds: how long a watch is asked to last; up to doubled by chance.
    """

    least_pause_seconds: float = 1.0
    most_pause_seconds: float = 30.0
    watch_seconds: float = 300.0


class SecretWatch:
    """Watches as the settings say; an async context manager, whose end ends the watch.

    What is known stays known while the server is away, and is forgotten when nobody is to watch any more.
    """

    def __init__(self, secrets: KubernetesSecrets, pace: WatchPace | None = None) -> None:
        self._secrets = secrets
        self._pace = pace or WatchPace()
        self._settings: KubernetesSettings | None = None
        self._running: trio.CancelScope | None = None
        self._exit = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<SecretWatch {self._settings or 'of nothing'}, {self._secrets!r}>"

    async def __aenter__(self) -> Self:
        self._nursery = await self._exit.enter_async_context(trio.open_nursery())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._nursery.cancel_scope.cancel()
        await self._exit.__aexit__(kind, error, traceback)

    def use(self, settings: CredentialSettings) -> None:
        """What is watched from now on."""
        if settings.kubernetes == self._settings:
            return
        if self._running is not None:
            self._running.cancel()
            self._secrets.end()
        self._settings = settings.kubernetes
        self._running = None
        if self._settings is not None:
            self._secrets.begin()
            self._running = trio.CancelScope()
            self._nursery.start_soon(self._run, self._settings, self._running)

    async def _run(self, settings: KubernetesSettings, running: trio.CancelScope) -> None:
        with running:
            async with ApiServer(settings) as server, trio.open_nursery() as nursery:
                for kind in SecretType:
                    watched = _WatchedType(kind, server, self._secrets, self._pace)
                    nursery.start_soon(watched.run)


class _WatchedType:
    """One type of Secrets: the version that is known, and how often asking failed since it went well."""

    def __init__(
        self, kind: SecretType, server: ApiServer, secrets: KubernetesSecrets, pace: WatchPace
    ) -> None:
        self._kind = kind
        self._server = server
        self._secrets = secrets
        self._pace = pace
        self._version = ""
        self._list_version = _ANY_VERSION
        self._failures = 0
        self._told = ""

    async def run(self) -> None:
        """Lists and watches, for ever."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except CredentialsError as error:
                self._fail(error)
            await trio.sleep(self._pause())

    async def _list(self) -> None:
        contents: dict[SecretName, bytes] = {}
        query = {**self._selector(), "resourceVersion": self._list_version, "limit": str(_PAGE)}
        if not self._list_version:
            del query["resourceVersion"]
        while True:
            page = _decode(await self._server.read("secrets", query), _List)
            for secret in page.items or ():
                contents[secret.name] = secret.content(self._kind)
            if not page.metadata.continues:
                break
            query = {**self._selector(), "limit": str(_PAGE), "continue": page.metadata.continues}
        self._version = page.metadata.version
        self._secrets.replace(self._kind, contents)
        fields = {"type": self._kind.value, "secrets": len(contents)}
        _log.info("image pull secrets listed", extra={"fields": fields})

    async def _watch(self) -> None:
        seconds = self._pace.watch_seconds * random.uniform(1, 2)  # noqa: S311 - no secret
        query = {
            **self._selector(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        patience = seconds + 30
        async with self._server.lines("secrets", query, silence_seconds=patience) as lines:
            self._recover()
            try:
                async for line in lines:
                    if line.strip():
                        self._take(_decode(line, _Event))
            except ApiServerError as error:
                if not error.unreachable:
                    raise
                # Whoever restarts breaks off; if it is for longer, the next request tells.

    def _take(self, event: "_Event") -> None:
        if event.type == "ERROR":
            status = _decode(event.object, _Refusal)
            raise ApiServerError("the API server", status.message, status=status.code)
        secret = _decode(event.object, _Secret)
        if event.type in {"ADDED", "MODIFIED"}:
            self._secrets.put(secret.name, self._kind, secret.content(self._kind))
        elif event.type == "DELETED":
            self._secrets.forget(secret.name, self._kind)
        self._version = secret.metadata.version or self._version

    def _recover(self) -> None:
        if self._told:
            _log.info(
                "image pull secrets are watched again", extra={"fields": {"type": self._kind.value}}
            )
        self._failures, self._told = 0, ""
        self._list_version = _ANY_VERSION
        self._secrets.recover(self._kind)

    def _fail(self, error: CredentialsError) -> None:
        self._failures += 1
        if isinstance(error, ApiServerError) and error.status == _GONE:
            # What the server has at hand may be too old again: this once, all that there is.
            self._version = self._list_version = ""
            return
        self._secrets.fail(self._kind, error)
        if str(error) != self._told:
            self._told = str(error)
            fields = {"type": self._kind.value, "error": self._told}
            _log.warning("image pull secrets are not watched", extra={"fields": fields})

    def _pause(self) -> float:
        pace = self._pace
        pause = math.ldexp(pace.least_pause_seconds, min(self._failures, 16))
        return min(pause, pace.most_pause_seconds) * random.uniform(0.5, 1)  # noqa: S311 - idem

    def _selector(self) -> dict[str, str]:
        return {"fieldSelector": f"type={self._kind.value}"}


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    version: str = msgspec.field(default="", name="resourceVersion")
    continues: str = msgspec.field(default="", name="continue")


class _Secret(msgspec.Struct):
    metadata: _Metadata
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<_Secret {self.name}>"

    @property
    def name(self) -> SecretName:
        """Its namespace and name."""
        return SecretName(self.metadata.namespace, self.metadata.name)

    def content(self, kind: SecretType) -> bytes:
        """What counts of it; what is no base64 is no content that anybody can read, and told as such."""
        try:
            return base64.b64decode((self.data or {}).get(kind.data_key, ""), validate=True)
        except (binascii.Error, ValueError):
            return b""


class _List(msgspec.Struct):
    metadata: _Metadata
    items: list[_Secret] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Refusal(msgspec.Struct):
    message: str = ""
    code: int = 0


def _decode(raw: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (
        ValueError,
        RecursionError,
    ):  # the decoder's errors are ValueErrors; they would quote nothing, but say little
        raise ApiServerError("the API server", "its answer makes no sense") from None
