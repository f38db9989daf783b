"""Files out of a remote image: only the ranges that hold them are fetched, and every chunk is verified."""

import contextlib
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from estargz.codec import Codec
from estargz.errors import NotEstargzError
from estargz.file_chunks import FileChunk, ListedFile, list_files
from estargz.gathering import gather
from estargz.image_selection import choose_platform
from estargz.image_tree import FileNode, ImageTree
from estargz.members import InnerSpan, compressed_bound, decode_member
from estargz.toc import TOC_DIGEST_ANNOTATION
from estargz.toc_reading import read_toc
from estargz.verify import VerifiedChunk
from registry.digest import Digest
from registry.errors import InvalidDigestError
from registry.images import ImageStore
from registry.manifest import Descriptor, Manifest, Platform, parse_manifest

_AT_ONCE: Final = 4
_MAX_REQUEST_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """What is known of one lazy layer."""

    digest: Digest
    codec: Codec
    payload_bytes: int
    files: tuple[ListedFile, ...]
    offsets: tuple[int, ...]

    def member_end(self, chunk: FileChunk) -> int:
        """Where the member that holds a chunk ends at the latest."""
        position = bisect_right(self.offsets, chunk.blob_offset)
        following = self.offsets[position] if position < len(self.offsets) else self.payload_bytes
        bound = chunk.blob_offset + compressed_bound(chunk.inner_offset + chunk.size, self.codec)
        return min(following, bound)


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """An opened image: its merged tree, and how to get at content."""

    source: ImageStore
    layers: tuple[LayerFiles, ...]
    tree: ImageTree

    def reading(self, node: FileNode) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The content of a regular file, verified, chunk by chunk.

        Raises, while it is read:
            CorruptMemberError: the layer does not hold what its TOC says.
            DigestMismatchError: a chunk is not the one that the TOC names.
            ContentError: the store failed.
        """
        return contextlib.aclosing(self._read(node))

    async def _read(self, node: FileNode) -> AsyncGenerator[bytes, None]:
        layer = self.layers[node.layer]
        for run in _runs(node.chunks, layer):
            start, end = run[0].blob_offset, layer.member_end(run[-1])
            fetched = await self.source.read_blob_range(
                layer.digest, start=start, length=end - start
            )
            decode = partial(_decode, node.entry.name, run, memoryview(fetched.data), layer)
            for chunk in await trio.to_thread.run_sync(decode):
                yield bytes(chunk.data)


async def open_files(
    source: ImageStore, *, platforms: Sequence[Platform], layer: int | None = None
) -> ImageFiles:
    """Opens an image by the TOCs of its layers.

    Args:
        source: where it is.
        platforms: of the images of an index, the first that is for one of these is taken, in their order.
        layer: the position of the only layer to look at, from 0; None merges all.

    Raises:
        ConversionError: there is no image for these platforms.
        NotEstargzError: a layer cannot be read lazily, or does not exist.
        EstargzError: a TOC cannot be believed.
        ContentError: the store failed.
    """
    manifest = await _manifest(source, platforms)
    wanted = list(enumerate(manifest.layers))
    if layer is not None:
        wanted = [pair for pair in wanted if pair[0] == layer]
        if not wanted:
            raise NotEstargzError(
                f"there is no layer {layer}, the image has {len(manifest.layers)}"
            )
    layers = await gather(partial(_open_layer, source), wanted, at_once=_AT_ONCE)
    tree = ImageTree()
    for position, opened in enumerate(layers):
        await trio.to_thread.run_sync(partial(tree.add_layer, opened.files, position=position))
    return ImageFiles(source, tuple(layers), tree)


async def _manifest(source: ImageStore, platforms: Sequence[Platform]) -> Manifest:
    root = await source.fetch_manifest()
    document = parse_manifest(root.data, media_type=root.media_type)
    if isinstance(document, Manifest):
        return document
    child = choose_platform(document.manifests, platforms)
    raw = await source.fetch_manifest(child.digest)
    manifest = parse_manifest(raw.data, media_type=child.media_type)
    if not isinstance(manifest, Manifest):
        raise NotEstargzError(f"{child.digest} is an index inside an index")
    return manifest


async def _open_layer(source: ImageStore, numbered: tuple[int, Descriptor]) -> LayerFiles:
    position, layer = numbered
    text = layer.annotations.get(TOC_DIGEST_ANNOTATION)
    if text is None:
        raise NotEstargzError(
            f"layer {position}, {layer.digest}, has no table of contents: convert the image first"
        )
    try:
        opened = await read_toc(source, layer.digest, expected=Digest.parse(text))
    except InvalidDigestError as error:
        raise NotEstargzError(f"layer {position}: its TOC annotation is wrong: {error}") from error

    def list_all() -> tuple[ListedFile, ...]:
        return tuple(list_files(opened.toc, payload_bytes=opened.payload_bytes))

    files = await trio.to_thread.run_sync(list_all)
    offsets = {chunk.blob_offset for file in files for chunk in file.chunks}
    return LayerFiles(
        layer.digest, opened.codec, opened.payload_bytes, files, tuple(sorted(offsets))
    )


def _runs(chunks: Sequence[FileChunk], layer: LayerFiles) -> Iterator[list[FileChunk]]:
    """Neighbouring chunks, as many as are fetched at once."""
    run: list[FileChunk] = []
    for chunk in chunks:
        is_next = run and chunk.blob_offset in {run[-1].blob_offset, layer.member_end(run[-1])}
        if run and (
            not is_next or layer.member_end(chunk) - run[0].blob_offset > _MAX_REQUEST_BYTES
        ):
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run


def _decode(
    name: str, run: Sequence[FileChunk], data: memoryview, layer: LayerFiles
) -> list[VerifiedChunk]:
    verified = []
    for chunk in run:
        member = data[chunk.blob_offset - run[0].blob_offset :]
        span = InnerSpan(chunk.inner_offset, chunk.size)
        (content,) = decode_member(member, [span], blob_offset=chunk.blob_offset, codec=layer.codec)
        verified.append(VerifiedChunk(name, chunk.digest.raw, content))
    return verified
