import contextlib
import struct

import pytest
from hypothesis import given, strategies as st

from fs.erofs import fuse_protocol as fuse
from fs.erofs.fuse_protocol import (
    MalformedRequestError,
    Negotiated,
    NodeAttributes,
    ReadRange,
    Request,
    parse_interrupt,
    parse_name,
    parse_read,
    parse_request,
)


def message(opcode: int, body: bytes = b"", *, unique: int = 7, node: int = 1) -> bytes:
    """A request as the kernel writes it."""
    return struct.pack("=IIQQIIII", 40 + len(body), opcode, unique, node, 0, 0, 99, 0) + body


def test_requests_are_taken_apart() -> None:
    assert parse_request(message(15, b"body", node=5)) == Request(15, 7, 5, b"body")
    assert parse_name(b"a name\0") == b"a name"
    read = struct.pack("=QQIIQII", 1, 4096, 131072, 0, 0, 0, 0)
    assert parse_read(read) == ReadRange(4096, 131072)
    assert parse_interrupt(struct.pack("=Q", 12)) == 12


@given(st.binary(max_size=80))
def test_nothing_else_escapes_whatever_comes(data: bytes) -> None:
    for parse in (parse_request, parse_name, parse_read, parse_interrupt, fuse.negotiate):
        with contextlib.suppress(MalformedRequestError):
            parse(data)


@pytest.mark.parametrize("cut", [0, 39, 41])
def test_a_message_has_the_length_that_it_says(cut: int) -> None:
    with pytest.raises(MalformedRequestError):
        parse_request(message(15, b"body")[:cut])


def test_only_features_that_both_have_are_agreed_on() -> None:
    offered = fuse.ASYNC_READ | fuse.MAX_PAGES | fuse.INIT_EXT | 1 << 3
    body = struct.pack("=IIIIII", 7, 45, 131072, offered, 1 << 7 | 1, 0)
    negotiated = fuse.negotiate(body)
    assert negotiated == Negotiated(
        fuse.MINOR_VERSION, fuse.ASYNC_READ | fuse.MAX_PAGES | fuse.INIT_EXT | fuse.HAS_RESEND
    )
    assert negotiated.can_resend
    old = fuse.negotiate(struct.pack("=IIII", 7, 31, 131072, fuse.ASYNC_READ))
    assert old == Negotiated(31, fuse.ASYNC_READ)
    assert not old.can_resend


@pytest.mark.parametrize("version", [(6, 45), (8, 0), (7, 27)])
def test_other_protocols_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(MalformedRequestError, match="too old"):
        fuse.negotiate(struct.pack("=IIII", *version, 0, 0))


def test_answers_have_the_sizes_of_the_kernels_structures() -> None:
    attributes = NodeAttributes(node=5, mode=0o100400, size=5000, nlink=1)
    negotiated = Negotiated(38, fuse.HAS_RESEND)
    accepted = fuse.dump_init(negotiated, max_read_bytes=1 << 20, max_background=4096)
    assert len(accepted) == 64
    assert struct.unpack_from("=IIIIHHIIHHI", accepted) == (
        *(7, 38, 1 << 20, 0, 4096, 4096, fuse.MAX_WRITE_BYTES, 1, 256, 0),
        1 << 7,
    )
    assert len(fuse.dump_entry(attributes)) == 128
    assert len(fuse.dump_attributes(attributes)) == 104
    assert len(fuse.dump_open()) == 16
    assert len(fuse.dump_statfs(9)) == 80


def test_attributes_stand_where_the_kernel_reads_them() -> None:
    packed = fuse.dump_attributes(NodeAttributes(node=5, mode=0o100400, size=5000, nlink=2))[16:]
    assert struct.unpack_from("=QQQ", packed) == (5, 5000, 10)
    assert struct.unpack_from("=II", packed, 60) == (0o100400, 2)


def test_answers_name_the_request() -> None:
    assert fuse.dump_answer(7, 100) == struct.pack("=IiQ", 116, 0, 7)
    assert fuse.dump_error(7, 5) == struct.pack("=IiQ", 16, -5, 7)
    assert fuse.dump_resend() == struct.pack("=IiQ", 16, 7, 0)
