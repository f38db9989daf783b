"""Proving that the lazy view of an image and its tars are the same image.

Each distinct layer is streamed once. Checked are the blob's digest, the content's against the config, the TOC's against the
manifest, every chunk at the place and with the digest that the TOC gives, and every entry against the tar.
What is wrong is reported, entry by entry; only a store that fails is an error.
"""

import contextlib
import mmap
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import trio

from estargz.blob_copy import copy_blob
from estargz.errors import ConversionError, DigestMismatchError, EstargzError
from estargz.file_chunks import ListedFile, list_files
from estargz.gathering import gather
from estargz.image_reading import SourceManifest, read_image
from estargz.layer_input import unpack_blob
from estargz.layer_source import LayerSource
from estargz.members import InnerSpan, decode_member
from estargz.tar_stream import read_entries
from estargz.toc import TOC_DIGEST_ANNOTATION
from estargz.toc_comparison import Difference, compare_content, compare_toc
from estargz.toc_reading import OpenedLayer, read_toc
from estargz.verify import VerifiedChunk
from registry.digest import Digest
from registry.errors import InvalidDigestError
from registry.images import ImageStore
from registry.manifest import Descriptor, Platform

MAX_DIFFERENCES: Final = 1000
_PIECE_BYTES: Final = 1 << 20
_MAX_LAYER_BYTES: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVerdict:
    """What was found out about a layer.

    Attributes:
        digest: of its blob.
        blob_bytes: its size.
        lazy: whether a TOC is annotated; without one only the digests of blob and content are checked.
        chunks: how many were verified.
        differences: what is wrong, at most ``MAX_DIFFERENCES``.
    """

    digest: Digest
    blob_bytes: int
    lazy: bool
    chunks: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What was found out about an image; each distinct layer occurs once."""

    digest: Digest
    layers: tuple[LayerVerdict, ...]

    @property
    def good(self) -> bool:
        """Whether nothing differs."""
        return not any(layer.differences for layer in self.layers)


OnVerdict = Callable[[LayerVerdict], None]


async def verify_image(
    source: ImageStore,
    *,
    platforms: Sequence[Platform] = (),
    work_directory: Path | None = None,
    on_verdict: OnVerdict,
) -> ImageVerdict:
    """Verifies an image, or all images of an index.

    Args:
        source: where it is.
        platforms: which images of an index; without any, all.
        work_directory: where temporary files go: one layer, packed and unpacked.
        on_verdict: told of each layer when it is done.

    Raises:
        EstargzError: it is no image, or has none for a platform.
        ContentError: the store failed.
        OSError: there is no room for temporary files.
    """
    image = await read_image(source, platforms=platforms)
    distinct = {layer.digest: (layer, descriptor) for layer, descriptor in _layers(image.manifests)}

    async def verify(pair: tuple[LayerSource, Descriptor]) -> LayerVerdict:
        with tempfile.TemporaryDirectory(prefix="pyestargz-", dir=work_directory) as directory:
            verdict = await _verify_layer(source, *pair, Path(directory))
        on_verdict(verdict)
        return verdict

    verdicts = await gather(verify, list(distinct.values()), at_once=1)
    return ImageVerdict(image.digest, tuple(verdicts))


def _layers(manifests: Sequence[SourceManifest]) -> Iterator[tuple[LayerSource, Descriptor]]:
    for manifest in manifests:
        for layer, descriptor in zip(manifest.layers, manifest.manifest.layers, strict=True):
            if not layer.foreign:
                yield layer, descriptor


async def _verify_layer(
    source: ImageStore, layer: LayerSource, descriptor: Descriptor, directory: Path
) -> LayerVerdict:
    blob, tar = directory / "blob", directory / "tar"
    text = descriptor.annotations.get(TOC_DIGEST_ANNOTATION)
    chunks = 0
    try:
        await _unpack(source, layer, blob, tar)
        differences: tuple[Difference, ...] = ()
        if text is not None:
            opened = await read_toc(source, layer.digest, expected=Digest.parse(text))
            compare = partial(_compare, opened, blob, tar)
            chunks, differences = await trio.to_thread.run_sync(compare)
    except ConversionError as error:
        differences = (Difference("", error.reason),)
    except (EstargzError, InvalidDigestError) as error:
        differences = (Difference("", str(error)),)
    return LayerVerdict(
        digest=layer.digest,
        blob_bytes=layer.blob_bytes,
        lazy=text is not None,
        chunks=chunks,
        differences=differences,
    )


async def _unpack(source: ImageStore, layer: LayerSource, blob: Path, tar: Path) -> None:
    with await trio.to_thread.run_sync(_create, blob) as output:
        async with source.stream_blob(layer.digest) as pieces:
            await copy_blob(pieces, layer, output, report=_ignore)
    async with contextlib.aclosing(_pieces_of(blob)) as again:
        with await trio.to_thread.run_sync(_create, tar) as output:
            await unpack_blob(
                again, layer, output, max_content_bytes=_MAX_LAYER_BYTES, report=_ignore
            )


async def _pieces_of(path: Path) -> AsyncGenerator[bytes, None]:
    async with await trio.open_file(path, "rb") as file:
        while piece := await file.read(_PIECE_BYTES):
            yield piece


def _compare(opened: OpenedLayer, blob: Path, tar: Path) -> tuple[int, tuple[Difference, ...]]:
    files = list(list_files(opened.toc, payload_bytes=opened.payload_bytes))
    content = _map(tar)
    entries = read_entries(content)

    def differences() -> Iterator[Difference]:
        yield from compare_toc(files, entries)
        yield from compare_content(files, content, entries)
        yield from _bad_chunks(files, _map(blob), opened)

    return sum(len(file.chunks) for file in files), tuple(islice(differences(), MAX_DIFFERENCES))


def _bad_chunks(
    files: Sequence[ListedFile], blob: memoryview, opened: OpenedLayer
) -> Iterator[Difference]:
    for file in files:
        for chunk in file.chunks:
            member = blob[chunk.blob_offset : opened.payload_bytes]
            span = InnerSpan(chunk.inner_offset, chunk.size)
            try:
                (content,) = decode_member(
                    member, [span], blob_offset=chunk.blob_offset, codec=opened.codec
                )
                VerifiedChunk(file.entry.name, chunk.digest.raw, content)
            except EstargzError as error:
                place = f"the chunk at {chunk.file_offset}, at {chunk.blob_offset} of the blob"
                what = (
                    "has another digest" if isinstance(error, DigestMismatchError) else str(error)
                )
                yield Difference(file.entry.name, f"{place}: {what}")


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _create(path: Path) -> BinaryIO:
    return path.open("wb")


def _ignore(_delta: int) -> None:
    pass
