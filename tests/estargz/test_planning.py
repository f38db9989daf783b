import random
from typing import Any

import pytest
from hypothesis import given

from estargz.codec import Codec
from estargz.ordering import PrefetchList
from estargz.planning import BlobLayout, MemberPlan, WriterOptions, bare_header, padding, plan_layer
from estargz.tar_stream import read_entries
from estargz.writer import compress_members
from tests.strategies import CHUNK_BYTES, Node, build_tar, tars

_OPTIONS = WriterOptions(chunk_bytes=CHUNK_BYTES)


def _plan(tar: bytes) -> list[MemberPlan]:
    return list(plan_layer(memoryview(tar), _OPTIONS).members)


def _bytes(plan: MemberPlan) -> bytes:
    return b"".join(plan.pieces)


@given(tars)
def test_members_hold_the_landmark_and_then_the_kept_entries_byte_for_byte(tar: bytes) -> None:
    kept = b"".join(
        b"".join(tar[span.start : span.end] for span in entry.headers)
        + tar[entry.content.start : entry.padded_end]
        for entry in read_entries(memoryview(tar))
    )
    landmark = bare_header(".no.prefetch.landmark", size=1) + b"\x0f" + bytes(511)
    assert b"".join(_bytes(plan) for plan in _plan(tar)) == landmark + kept


@given(tars)
def test_every_member_but_the_first_begins_with_one_chunk(tar: bytes) -> None:
    first, *others = _plan(tar)
    assert first.chunks == ()
    assert first.toc == ()
    for plan in others:
        (chunk,) = plan.chunks
        assert chunk.toc_position == 0
        assert 1 <= chunk.content.nbytes <= CHUNK_BYTES
        assert plan.pieces[0][: chunk.content.nbytes] == chunk.content
        assert plan.toc[0].type in {"reg", "chunk"}
        assert all(entry.size == 0 and entry.type != "chunk" for entry in plan.toc[1:])


def test_members_are_cut_immediately_before_content() -> None:
    nodes = [
        Node(name="d", kind="dir"),
        Node(name="d/a", content=b"a" * (CHUNK_BYTES + 1)),
        Node(name="d/empty"),
        Node(name="d/l", kind="symlink", link_name="a"),
        Node(name="d/b", content=b"b"),
    ]
    plans = _plan(build_tar(nodes))
    names = [[entry.name for entry in plan.toc] for plan in plans]
    assert names == [
        [],
        [".no.prefetch.landmark", "d/"],
        ["d/a"],
        ["d/a", "d/empty", "d/l"],
        ["d/b"],
    ]
    assert [[chunk.content.nbytes for chunk in plan.chunks] for plan in plans] == [
        [],
        [1],
        [CHUNK_BYTES],
        [1],
        [1],
    ]
    assert _bytes(plans[2]) == b"a" * CHUNK_BYTES
    assert _bytes(plans[3])[:512] == b"a" + bytes(511)


def test_what_lies_together_in_the_tar_is_one_slice() -> None:
    nodes = [Node(name=str(number), content=b"x" * 600) for number in range(4)]
    assert [len(plan.pieces) for plan in _plan(build_tar(nodes))] == [1, 3, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"chunk_bytes": 4095},
        {"chunk_bytes": (256 << 20) + 1},
        {"compression_level": 0},
        {"compression_level": 13},
        {"compression_level": 23, "codec": Codec.ZSTD},
        {"min_chunk_bytes": -1},
        {"min_chunk_bytes": (32 << 20) + 1},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not in"):
        WriterOptions(**options)


@pytest.mark.parametrize(("size", "zeros"), [(0, 0), (1, 511), (512, 0), (513, 511)])
def test_padding(size: int, zeros: int) -> None:
    assert padding(size) == bytes(zeros)


@pytest.mark.parametrize(
    "options",
    [
        {"codec": Codec.ZSTD, "layout": BlobLayout.EXTERNAL_TOC},
        {"layout": BlobLayout.LOSSLESS, "prefetch": PrefetchList(paths=())},
    ],
    ids=["zstd", "lossless"],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be|always"):
        WriterOptions(**options)


_NOISE = random.Random(5)
_SMALL_FILES = [Node(name=f"f{n}", content=_NOISE.randbytes(100 * n)) for n in range(1, 90)]


@pytest.mark.parametrize("min_chunk_bytes", [1, 5_000, 50_000, 1 << 20])
def test_members_are_filled_up_to_about_the_minimal_size(min_chunk_bytes: int) -> None:
    options = WriterOptions(chunk_bytes=CHUNK_BYTES, min_chunk_bytes=min_chunk_bytes)
    _, *members = plan_layer(memoryview(build_tar(_SMALL_FILES)), options).members
    sizes = [len(member.data) for member in compress_members(members, options)]
    assert all(0.8 * min_chunk_bytes <= size for size in sizes[:-1])
    assert all(size <= 1.2 * min_chunk_bytes + CHUNK_BYTES + 200 for size in sizes)
    chunks = [-(-len(node.content) // CHUNK_BYTES) for node in _SMALL_FILES]
    assert sum(len(plan.chunks) for plan in members) == 1 + sum(chunks)


def test_content_that_compresses_well_does_not_pile_up() -> None:
    options = WriterOptions(chunk_bytes=CHUNK_BYTES, min_chunk_bytes=10_000)
    tar = build_tar([Node(name=f"f{n}", content=bytes(4000)) for n in range(100)])
    plans = list(plan_layer(memoryview(tar), options).members)
    assert max(plan.content_bytes for plan in plans) < 8 * 10_000 + 2 * 4608


def test_landmarks_begin_a_member_whatever_the_minimal_size() -> None:
    wanted = PrefetchList(paths=("f3", "f1"))
    options = WriterOptions(min_chunk_bytes=1 << 20, prefetch=wanted)
    plans = list(plan_layer(memoryview(build_tar(_SMALL_FILES)), options).members)
    assert [plan.toc[0].name for plan in plans[1:]] == ["f3", ".prefetch.landmark"]
    assert [entry.name for entry in plans[1].toc] == ["f3", "f1"]


@given(tars)
def test_a_lossless_plan_is_the_tar(tar: bytes) -> None:
    options = WriterOptions(chunk_bytes=CHUNK_BYTES, layout=BlobLayout.LOSSLESS)
    tar += b"whatever follows" * 40
    assert b"".join(_bytes(plan) for plan in plan_layer(memoryview(tar), options).members) == tar
