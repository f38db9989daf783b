"""Manifests and indexes out of registries and into them."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from registry.authorizer import Access
from registry.digest import Digest
from registry.endpoints import Capability
from registry.errors import BadResponseError, InvalidDigestError, InvalidReferenceError
from registry.exchange import Call, Exchange
from registry.manifest import INDEX_TYPES, MANIFEST_TYPES, RawManifest
from registry.reference import Repository, is_tag

_ACCEPT: Final = ", ".join(sorted(MANIFEST_TYPES | INDEX_TYPES))


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """What a registry said when it stored a manifest.

    Attributes:
        digest: the manifest's digest.
        subject: the manifest that this one refers to, where the registry keeps a list of those that do.
    """

    digest: Digest
    subject: Digest | None


async def fetch_manifest(
    exchange: Exchange, repository: Repository, tag_or_digest: str | Digest
) -> RawManifest:
    """Fetches a manifest or an index; see ``RegistryClient.fetch_manifest``."""
    path = _manifest_path(repository, tag_or_digest)
    needs = Capability.PULL if isinstance(tag_or_digest, Digest) else Capability.RESOLVE
    call = Call("GET", repository, path, headers={"Accept": _ACCEPT}, needs=needs)
    return await exchange.retrying(partial(_fetch_once, exchange, call, tag_or_digest))


async def push_manifest(
    exchange: Exchange,
    repository: Repository,
    tag_or_digest: str | Digest,
    raw: bytes,
    media_type: str,
) -> StoredManifest:
    """Stores a manifest or an index; see ``RegistryClient.push_manifest``."""
    call = Call(
        "PUT",
        repository,
        _manifest_path(repository, tag_or_digest),
        headers={"Content-Type": media_type},
        content=raw,
        access=Access.PUSH,
        expected=frozenset({201}),
    )
    return await exchange.retrying(partial(_push_once, exchange, call, Digest.of(raw)))


async def _fetch_once(exchange: Exchange, call: Call, tag_or_digest: str | Digest) -> RawManifest:
    async with exchange.open(call) as response:
        data = await response.read(exchange.settings.max_manifest_bytes)
        media_type = (response.header("Content-Type") or "").partition(";")[0].strip()
        digest = tag_or_digest if isinstance(tag_or_digest, Digest) else None
        claimed = _read_digest(response.header("Docker-Content-Digest"))
        digest = digest or claimed or Digest.of(data)
        if not digest.matches(data):
            detail = f"the content is not {digest}"
            raise BadResponseError(response.host, url=response.url, detail=detail)
    return RawManifest(data, media_type, digest)


async def _push_once(exchange: Exchange, call: Call, digest: Digest) -> StoredManifest:
    async with exchange.open(call) as response:
        stored = response.header("Docker-Content-Digest")
        if stored is not None and stored != str(digest):
            detail = f"it stored {stored} instead of {digest}"
            raise BadResponseError(call.repository.host, url=response.url, detail=detail)
        return StoredManifest(digest, _read_digest(response.header("OCI-Subject")))


def _manifest_path(repository: Repository, tag_or_digest: str | Digest) -> str:
    if isinstance(tag_or_digest, str) and not is_tag(tag_or_digest):
        raise InvalidReferenceError(f"{repository}:{tag_or_digest}", "the tag is malformed")
    return f"{repository.name}/manifests/{tag_or_digest}"


def _read_digest(header: str | None) -> Digest | None:
    try:
        return None if header is None else Digest.parse(header)
    except InvalidDigestError:
        return None
