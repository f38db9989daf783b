from estargz.toc import TocLimits
from fs.content_layout import ContentLayout
from tests.fs.layers_by_hand import HandmadeBlob


def place_all(blob: HandmadeBlob) -> tuple[ContentLayout, dict[str, int]]:
    layout = ContentLayout(len(blob.data), TocLimits())
    offsets = {}
    heads = [number for number, entry in enumerate(blob.entries) if entry.type == "reg"]
    for head, following in zip(heads, [*heads[1:], len(blob.entries)], strict=True):
        entry = blob.entries[head]
        offsets[entry.name] = layout.place(entry, blob.entries[head:following])
    return layout, offsets


def test_equal_files_share_one_place() -> None:
    blob = HandmadeBlob()
    for name in ("one", "two", "three"):
        blob.add_file(name, b"same" * 5000, chunk_bytes=4096)
    blob.add_file("other", b"different")
    layout, offsets = place_all(blob)
    assert offsets["one"] == offsets["two"] == offsets["three"] == 0
    assert len(layout.chunks) == 6
    assert layout.data_bytes == 5 * 4096 + 4096


def test_equal_content_in_other_chunks_is_kept_apart() -> None:
    blob = HandmadeBlob()
    blob.add_file("one", b"a" * 8192, chunk_bytes=4096)
    blob.add_file("two", b"a" * 8192, chunk_bytes=8192)
    _, offsets = place_all(blob)
    assert offsets["one"] != offsets["two"]


def test_the_start_of_a_longer_file_is_no_equal_file() -> None:
    blob = HandmadeBlob()
    blob.add_file("long", b"a" * 100 + b"b" * 100, chunk_bytes=100)
    blob.add_file("short", b"a" * 100)
    blob.add_file("longer", b"a" * 100 + b"b" * 100 + b"c", chunk_bytes=100)
    _, offsets = place_all(blob)
    assert len(set(offsets.values())) == 3


def test_digests_of_whole_files_are_not_believed() -> None:
    blob = HandmadeBlob()
    blob.add_file("right", b"r" * 10)
    blob.add_file("wrong", b"w" * 10)
    blob.entries[1].digest = blob.entries[0].digest
    _, offsets = place_all(blob)
    assert offsets["right"] != offsets["wrong"]


def test_digests_that_begin_alike_are_told_apart() -> None:
    blob = HandmadeBlob()
    blob.add_file("one", b"1" * 10)
    blob.add_file("two", b"2" * 10)
    first = blob.entries[0].chunk_digest
    blob.entries[1].chunk_digest = first[:-1] + ("0" if first[-1] != "0" else "1")
    _, offsets = place_all(blob)
    assert offsets["one"] != offsets["two"]
