from pathlib import Path

import pytest

from estargz.errors import CorruptMemberError, DigestMismatchError
from estargz.toc import Toc
from fs.chunk_store import ChunkStore
from fs.compiling import compile_layer
from fs.landing import Landing
from fs.layer_image import LayerImage
from registry.digest import Digest
from tests.fs.layers_by_hand import HandmadeBlob

CONTENT = b"content" * 1000


@pytest.fixture
def blob() -> HandmadeBlob:
    blob = HandmadeBlob()
    blob.add_file("file", CONTENT)
    return blob


@pytest.fixture
def image(blob: HandmadeBlob) -> LayerImage:
    return compile_layer(Toc(entries=blob.entries), payload_bytes=len(blob.data))


@pytest.fixture
def store(image: LayerImage, tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path, image.chunks, data_bytes=image.data_bytes)


@pytest.mark.parametrize("inline_bytes", [0, 1 << 20])
async def test_right_bytes_are_kept_and_count(
    blob: HandmadeBlob, image: LayerImage, store: ChunkStore, inline_bytes: int
) -> None:
    landing = Landing(Digest.of(b""), image, store, inline_bytes=inline_bytes)
    member = image.chunks.member(0)
    assert landing.is_quick(member) == bool(inline_bytes)
    assert await landing.put(member, bytes(blob.data[member.start : member.end])) == {}
    assert store.is_complete
    assert store.read(0, len(CONTENT)) == CONTENT


async def test_wrong_bytes_are_not_kept(
    blob: HandmadeBlob, image: LayerImage, store: ChunkStore
) -> None:
    landing = Landing(Digest.of(b""), image, store, inline_bytes=0)
    member = image.chunks.member(0)
    other = HandmadeBlob()
    other.add_file("file", CONTENT[::-1])
    with pytest.raises(DigestMismatchError):
        await landing.put(member, bytes(other.data[member.start :]))
    with pytest.raises(CorruptMemberError):
        await landing.put(member, bytes(100))
    assert store.is_empty
