"""One client for all registries: manifests and blobs in, by digest and by range; blobs and manifests out.

Promises:

* Every answer is what was asked for, in place and length; manifests asked for by digest are verified, and blobs are not:
  who asked for a range knows how to verify it (``estargz.verify``).
* Temporary failures are tried again within ``ClientSettings.attempts``; streams go on where they broke off.
* A token is fetched once for a repository, by one task, however many ask; a redirect is remembered until it fails.
* Cancelling any call leaves the client usable.

The client knows nothing of layers and TOCs, and keeps no content.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from registry.authorizer import Access, Authorizer
from registry.counters import ClientStatistics, Counters
from registry.digest import Digest
from registry.endpoint_health import EndpointState
from registry.endpoints import Endpoint
from registry.exchange import Exchange, Knock
from registry.host_lookup import EndpointSource, HostLookup
from registry.keychain.credential_chain import CredentialChain, credential_sources
from registry.keychain.credentials import CredentialSource
from registry.keychain.kubernetes_secrets import KubernetesSecrets
from registry.keychain.passed_credentials import PassedCredentials
from registry.manifest import Descriptor, Index, Manifest, RawManifest
from registry.manifests import fetch_manifest, push_manifest
from registry.ranges import BlobRange
from registry.reading import BlobReading, find_blob_size, read_tail
from registry.reference import Repository
from registry.referrers import list_referrers, push_referrer
from registry.settings import ClientSettings
from registry.transport import Transport
from registry.uploads import OnProgress, mount_blob, upload_blob

__all__ = [
    "BlobRange",
    "ClientSettings",
    "ClientStatistics",
    "RawManifest",
    "RegistryClient",
]


class RegistryClient:
    """Speaks to every registry there is, through one pool of connections; an async context manager on trio.

    All methods raise ``RegistryError`` and its subclasses, and ``HostsError`` where a file about the registry's hosts is broken.

    Attributes:
        passed_credentials: what others hand us for images; anybody may put something in.
        kubernetes_secrets: image pull secrets; anybody may put something in.
        hosts: which endpoints registries have, by the settings; asked for every request, unless other ones are given.
    """

    def __init__(
        self, settings: ClientSettings | None = None, *, hosts: EndpointSource | None = None
    ) -> None:
        self._settings = settings or ClientSettings()
        self.hosts = HostLookup(
            self._settings.hosts, plain_http_hosts=self._settings.plain_http_hosts
        )
        self._counters = Counters()
        self._transport = Transport(self._settings, self._counters)
        self.passed_credentials = PassedCredentials()
        self.kubernetes_secrets = KubernetesSecrets()
        self._chain = CredentialChain(self._sources(self._settings))
        authorizer = Authorizer(self._transport, self._chain, self._counters)
        self._exchange = Exchange(
            self._settings, hosts or self.hosts, self._transport, authorizer, self._counters
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<RegistryClient {self.statistics()}>"

    def use(self, settings: ClientSettings) -> None:
        """What holds from the next request on; only ``max_connections`` and ``proxies`` stay what they were."""
        self._settings = settings
        self.hosts.use(settings.hosts, plain_http_hosts=settings.plain_http_hosts)
        self._chain.use(self._sources(settings))
        self._transport.use(settings)
        self._exchange.use(settings)

    def _sources(self, settings: ClientSettings) -> tuple[CredentialSource, ...]:
        return credential_sources(
            settings.credentials, self.passed_credentials, self.kubernetes_secrets
        )

    @property
    def credentials(self) -> CredentialChain:
        """Who knows credentials."""
        return self._chain

    async def knock(self, endpoint: Endpoint) -> Knock:
        """Asks a server for nothing in particular, without credentials: whether it is there, and what it wants.

        Raises:
            RegistryError: there is no answer.
        """
        return await self._exchange.knock(endpoint)

    def endpoint_states(self) -> tuple[EndpointState, ...]:
        """The endpoints that failed lately and are asked last for a while."""
        return self._exchange.endpoint_states()

    def statistics(self) -> ClientStatistics:
        """What this client has done so far."""
        return self._counters.snapshot()

    async def fetch_manifest(
        self, repository: Repository, tag_or_digest: str | Digest
    ) -> RawManifest:
        """Fetches a manifest or an index.

        Raises:
            BadResponseError: it is too large, or has another digest than asked for or than the registry says.
            InvalidReferenceError: the tag is not one.
            RegistryError: as the registry answered.
        """
        return await fetch_manifest(self._exchange, repository, tag_or_digest)

    async def read_range(
        self, repository: Repository, digest: Digest, *, start: int, length: int
    ) -> BlobRange:
        """Reads exactly ``length`` bytes (at least one) of a blob.

        Raises:
            BadResponseError: the answer was another range, or too short, each time.
            RegistryError: as the registry answered.
        """
        reading = BlobReading(self._exchange, repository, digest, start=start, length=length)
        return await reading.read()

    async def read_tail(self, repository: Repository, digest: Digest, *, length: int) -> BlobRange:
        """Reads the last ``length`` bytes (at least one) of a blob, in one request where the server can; all of a smaller blob.

        Raises:
            BadResponseError: the answer was another range, or too short, each time.
            RegistryError: as the registry answered.
        """
        return await read_tail(self._exchange, repository, digest, length=length)

    def stream_range(
        self,
        repository: Repository,
        digest: Digest,
        *,
        start: int,
        length: int,
        on_retry: Callable[[], None] = lambda: None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams exactly ``length`` bytes (at least one) of a blob; ``RegistryError`` comes out of the iteration.

        ``on_retry`` is called before each attempt after the first one.
        """
        reading = BlobReading(
            self._exchange, repository, digest, start=start, length=length, on_retry=on_retry
        )
        return contextlib.aclosing(reading.chunks())

    def stream_blob(
        self, repository: Repository, digest: Digest
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams a whole blob; ``RegistryError`` comes out of the iteration. The caller bounds what it takes."""
        reading = BlobReading(self._exchange, repository, digest, start=0, length=None)
        return contextlib.aclosing(reading.chunks())

    async def blob_exists(self, repository: Repository, digest: Digest) -> int | None:
        """The size of a blob; None where the repository does not have it.

        Raises:
            RegistryError: as the registry answered.
        """
        return await find_blob_size(self._exchange, repository, digest, access=Access.PULL)

    async def distrust(self, repository: Repository, digest: Digest) -> bool:
        """Tells that bytes of a blob, as read the last time, were not what its digest says.

        Returns:
            Whether the registry has other endpoints; for a while they are asked first.
        """
        return await self._exchange.distrust(repository, digest)

    async def push_blob(
        self,
        repository: Repository,
        digest: Digest,
        path: Path,
        *,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Uploads a file as a blob, unless the repository has it.

        Args:
            repository: where to.
            digest: the digest of the file's content; the registry checks it.
            path: the file.
            on_progress: called with the number of bytes just sent; with what was there already, at once; and with a
                negative number when an attempt failed and starts over. The sum ends at the file's size.

        Raises:
            OSError: the file cannot be read.
            RegistryError: as the registry answered.
        """
        await upload_blob(self._exchange, repository, digest, path, on_progress=on_progress)

    async def mount_blob(
        self, repository: Repository, digest: Digest, *, source: Repository
    ) -> bool:
        """Lets a repository have a blob of another one of the same registry, without moving it.

        Returns:
            Whether it has it now. Where it has not, the registry does not do that, or we may not read from the other one, or
            that is elsewhere: push the blob.

        Raises:
            RegistryError: the registry failed.
        """
        return await mount_blob(self._exchange, repository, digest, source=source)

    async def push_manifest(
        self, repository: Repository, tag_or_digest: str | Digest, raw: bytes, media_type: str
    ) -> Digest:
        """Stores a manifest or an index under a tag or its digest, and returns its digest.

        Raises:
            BadResponseError: the registry stored something else.
            InvalidReferenceError: the tag is not one.
            RegistryError: as the registry answered.
        """
        stored = await push_manifest(self._exchange, repository, tag_or_digest, raw, media_type)
        return stored.digest

    async def list_referrers(
        self, repository: Repository, subject: Digest, *, artifact_type: str = ""
    ) -> tuple[Descriptor, ...]:
        """The manifests in a repository that refer to one: signatures, SBOMs and the like; of one artifact type, or of all.

        Raises:
            RegistryError: as the registry answered.
        """
        return await list_referrers(
            self._exchange, repository, subject, artifact_type=artifact_type
        )

    async def push_referrer(self, repository: Repository, manifest: Manifest | Index) -> Digest:
        """Stores a manifest that refers to another one (its ``subject``), so that it is found from there, and returns its digest.

        Raises:
            BadResponseError: somebody else keeps overwriting the list of referrers.
            RegistryError: as the registry answered.
            ValueError: it has no subject.
        """
        return await push_referrer(self._exchange, repository, manifest)
