"""TOCs that are kept outside their layers: in an image named like the layer's, with ``-esgztoc`` behind the tag.

That image has a layer for each lazy layer of the other one, of all platforms: the compressed TOC, annotated with the
digest of the layer it belongs to. ``toc_image`` makes such images.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from estargz.errors import NotEstargzError, TocError
from estargz.toc import LAYER_DIGEST_ANNOTATION, TocLimits
from estargz.toc_image import TocImage
from registry.client import RegistryClient
from registry.digest import Digest
from registry.errors import NotFoundError
from registry.images import ImageStore, RegistryImage
from registry.manifest import Descriptor, Index, Manifest, dump_manifest, parse_manifest
from registry.reference import Reference, is_tag

TOC_IMAGE_SUFFIX: Final = "-esgztoc"
_MAX_PLATFORMS: Final = 64


def toc_reference(reference: Reference) -> Reference:
    """The image that has the TOCs of another one's layers.

    Raises:
        NotEstargzError: there can be none, for want of a tag that leaves room for more.
    """
    if reference.tag is None:
        raise NotEstargzError(
            f"its TOC is in another image, which is found by tag, and {reference} has none"
        )
    tag = reference.tag + TOC_IMAGE_SUFFIX
    if not is_tag(tag):
        raise NotEstargzError(f"its TOC is in another image, and {tag!r} is too long for a tag")
    return replace(reference, tag=tag, digest=None)


async def fetch_external_toc(
    client: RegistryClient,
    reference: Reference,
    layer: Digest,
    *,
    limits: TocLimits | None = None,
) -> bytes:
    """Fetches the compressed TOC of a layer that has none inside.

    Args:
        client: asks the registry.
        reference: the layer's image.
        layer: the layer.
        limits: what is believed.

    Returns:
        What ``opening.found_elsewhere`` takes; it is what the TOC image says, the TOC's own digest is not checked yet.

    Raises:
        NotEstargzError: there is no such image, or no such layer in it.
        TocError: the TOC is too large.
        ContentError: the registry failed, or the image is malformed.
    """
    store = RegistryImage(toc_reference(reference), client)
    try:
        return await read_external_toc(store, layer, limits=limits)
    except NotFoundError as error:
        raise NotEstargzError(f"its TOC should be in {store}, which is not there") from error


async def read_external_toc(
    store: ImageStore, layer: Digest, *, limits: TocLimits | None = None
) -> bytes:
    """The compressed TOC of a layer, out of a TOC image.

    Raises:
        NotEstargzError: the image has none for this layer.
        TocError: it is too large.
        ContentError: the store failed, or the image is malformed.
    """
    limits = limits or TocLimits()
    root = await store.fetch_manifest()
    document = parse_manifest(root.data, media_type=root.media_type)
    if isinstance(document, Manifest):
        found = _find(document, layer)
    else:
        found = await _find_in_index(store, document, layer)
    if found is None:
        reason = f"its TOC should be in {store.describe()}, which has none for {layer}"
        raise NotEstargzError(reason)
    if found.size > limits.max_toc_bytes:
        raise TocError("", f"{found.size} compressed bytes are more than is read")
    return await store.read_blob(found.digest, max_bytes=found.size)


async def push_toc_image(target: ImageStore, image: TocImage, directory: Path) -> None:
    """Stores a TOC image under the target's name.

    Args:
        target: the image named by ``toc_reference``.
        image: what to store.
        directory: for a temporary file.

    Raises:
        ContentError: the store failed.
        OSError: there is no room for the temporary file.
    """
    path = trio.Path(directory / "toc")
    for digest, blob in image.blobs.items():
        await path.write_bytes(blob)
        await target.push_blob(digest, directory / "toc")
    raw = dump_manifest(image.manifest)
    await target.push_manifest(raw, image.manifest.media_type, tagged=True)


async def _find_in_index(store: ImageStore, index: Index, layer: Digest) -> Descriptor | None:
    for child in index.manifests[:_MAX_PLATFORMS]:
        raw = await store.fetch_manifest(child.digest)
        manifest = parse_manifest(raw.data, media_type=child.media_type)
        if isinstance(manifest, Manifest) and (found := _find(manifest, layer)):
            return found
    return None


def _find(manifest: Manifest, layer: Digest) -> Descriptor | None:
    for descriptor in manifest.layers:
        if descriptor.annotations.get(LAYER_DIGEST_ANNOTATION) == str(layer):
            return descriptor
    return None
