"""What refers to an image: signatures, SBOMs and other artifacts (OCI distribution spec 1.1, "Listing Referrers").

A registry that knows referrers lists them itself. For the others, the spec has clients keep the list: an index under a tag
made of the subject's digest.
"""

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from registry.digest import Digest
from registry.errors import (
    BadResponseError,
    InvalidManifestError,
    NotFoundError,
    RegistryError,
)
from registry.exchange import Call, Exchange
from registry.hosts import resolve_url
from registry.manifest import OCI_INDEX, Descriptor, Index, Manifest, dump_manifest, parse_manifest
from registry.manifests import fetch_manifest, push_manifest
from registry.reference import Repository

MAX_PAGES: Final = 64
# How often a list is written again that somebody else has overwritten meanwhile.
MAX_COLLISIONS: Final = 3

_UNKNOWN_API_STATUSES: Final = frozenset({400, 404, 405, 501})
_NEXT = re.compile(r'\s*<([^<>]+)>\s*;\s*rel="?next"?\s*(?:[,;]|$)')


def referrers_tag(subject: Digest) -> str:
    """The tag under which clients keep the list, where the registry does not."""
    return str(subject).replace(":", "-")


async def list_referrers(
    exchange: Exchange, repository: Repository, subject: Digest, *, artifact_type: str = ""
) -> tuple[Descriptor, ...]:
    """The manifests that refer to one; see ``RegistryClient.list_referrers``."""
    try:
        found = await _list_pages(exchange, repository, subject, artifact_type)
    except RegistryError as error:
        if error.status not in _UNKNOWN_API_STATUSES:
            raise
        found = (await _read_kept_list(exchange, repository, subject)).manifests
    # Registries need not filter.
    return tuple(entry for entry in found if artifact_type in {"", entry.artifact_type})


async def push_referrer(
    exchange: Exchange, repository: Repository, manifest: Manifest | Index
) -> Digest:
    """Stores a manifest that refers to another one; see ``RegistryClient.push_referrer``."""
    if manifest.subject is None:
        raise ValueError("it refers to nothing: it has no subject")
    raw = dump_manifest(manifest)
    stored = await push_manifest(exchange, repository, Digest.of(raw), raw, manifest.media_type)
    if stored.subject != manifest.subject.digest:
        entry = Descriptor(
            manifest.media_type,
            stored.digest,
            len(raw),
            annotations=manifest.annotations,
            artifact_type=_artifact_type(manifest),
        )
        await _keep_in_list(exchange, repository, manifest.subject.digest, entry)
    return stored.digest


def _artifact_type(manifest: Manifest | Index) -> str:
    if manifest.artifact_type or isinstance(manifest, Index):
        return manifest.artifact_type
    return manifest.config.media_type


async def _list_pages(
    exchange: Exchange, repository: Repository, subject: Digest, artifact_type: str
) -> tuple[Descriptor, ...]:
    path = f"{repository.name}/referrers/{subject}"
    if artifact_type:
        path += f"?artifactType={quote(artifact_type, safe='')}"
    found: list[Descriptor] = []
    for _ in range(MAX_PAGES):
        page, following = await _fetch_page(exchange, repository, path)
        found += page
        if following is None:
            return tuple(found)
        path = following
    detail = f"its list of referrers has more than {MAX_PAGES} pages"
    raise BadResponseError(repository.host, detail=detail, retryable=False)


async def _fetch_page(
    exchange: Exchange, repository: Repository, path: str
) -> tuple[tuple[Descriptor, ...], str | None]:
    call = Call("GET", repository, path, headers={"Accept": OCI_INDEX})

    async def fetch() -> tuple[tuple[Descriptor, ...], str | None]:
        async with exchange.open(call) as response:
            raw = await response.read(exchange.settings.max_manifest_bytes)
            following = _NEXT.match(response.header("Link") or "")
            target = resolve_url(response.url, following[1]) if following else None
            try:
                page = parse_manifest(raw, media_type=OCI_INDEX)
            except InvalidManifestError as error:
                raise BadResponseError(response.host, url=response.url, detail=str(error)) from None
        return (page.manifests if isinstance(page, Index) else ()), target

    return await exchange.retrying(fetch)


async def _read_kept_list(exchange: Exchange, repository: Repository, subject: Digest) -> Index:
    """The list that clients keep; an empty one where there is none."""
    try:
        raw = await fetch_manifest(exchange, repository, referrers_tag(subject))
    except NotFoundError:
        return Index(OCI_INDEX, ())
    kept = parse_manifest(raw.data, media_type=raw.media_type)
    return kept if isinstance(kept, Index) else Index(OCI_INDEX, ())


async def _keep_in_list(
    exchange: Exchange, repository: Repository, subject: Digest, entry: Descriptor
) -> None:
    """Adds to the list that clients keep. Nothing locks it, so whether it was kept is looked at afterwards."""
    for _ in range(MAX_COLLISIONS):
        kept = await _read_kept_list(exchange, repository, subject)
        if any(other.digest == entry.digest for other in kept.manifests):
            return
        raw = dump_manifest(replace(kept, manifests=(*kept.manifests, entry)))
        await push_manifest(exchange, repository, referrers_tag(subject), raw, kept.media_type)
    kept = await _read_kept_list(exchange, repository, subject)
    if all(other.digest != entry.digest for other in kept.manifests):
        detail = f"the list of what refers to {subject} is overwritten by somebody else"
        raise BadResponseError(repository.host, detail=detail)
