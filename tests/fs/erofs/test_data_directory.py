import errno
import struct

import pytest
from hypothesis import given, strategies as st

from fs.erofs.data_directory import DataDirectory, DataFile, Read, node_of
from fs.erofs.fuse_protocol import ROOT_NODE, UNANSWERED, Opcode, ReadRange, Request, dump_error
from registry.digest import Digest

DIGEST = Digest.of(b"layer")
FILE = DataFile(DIGEST, 8192)
NAME = DIGEST.file_name.encode() + b"\0"


@pytest.fixture
def directory() -> DataDirectory:
    directory = DataDirectory()
    directory.add(FILE)
    return directory


def ask(directory: DataDirectory, opcode: int, body: bytes = b"", node: int = ROOT_NODE) -> bytes:
    answer = directory.answer(Request(opcode, 7, node, body))
    assert isinstance(answer, bytes)
    return answer


def test_files_are_found_by_their_layers_name(directory: DataDirectory) -> None:
    entry = ask(directory, Opcode.LOOKUP, NAME)[16:]
    assert struct.unpack_from("=Q", entry) == (node_of(DIGEST),)
    assert struct.unpack_from("=QQ", entry, 40) == (node_of(DIGEST), 8192)


def test_node_numbers_are_the_same_in_every_process() -> None:
    assert node_of(Digest.parse("sha256:" + "0123456789abcdef" * 4)) == 0x10123456789ABCDE
    assert node_of(Digest.parse("sha256:" + "0" * 64)) != ROOT_NODE


def test_reads_are_left_to_others(directory: DataDirectory) -> None:
    body = struct.pack("=QQIIQII", 0, 4096, 512, 0, 0, 0, 0)
    request = Request(Opcode.READ, 7, FILE.node, body)
    assert directory.answer(request) == Read(7, FILE.node, ReadRange(4096, 512))


@pytest.mark.parametrize(
    ("opcode", "body", "number"),
    [
        (Opcode.LOOKUP, b"absent\0", errno.ENOENT),
        (Opcode.LOOKUP, b"no end", errno.EINVAL),
        (Opcode.READ, b"short", errno.EINVAL),
        (16, b"a write", errno.ENOSYS),
        (4096, b"", errno.ENOSYS),
    ],
)
def test_everything_else_is_answered(
    directory: DataDirectory, opcode: int, body: bytes, number: int
) -> None:
    assert ask(directory, opcode, body) == dump_error(7, number)


def test_a_file_that_is_gone_is_stale(directory: DataDirectory) -> None:
    assert len(ask(directory, Opcode.GETATTR, node=FILE.node)) == 16 + 104
    directory.remove(DIGEST)
    assert ask(directory, Opcode.GETATTR, node=FILE.node) == dump_error(7, errno.ESTALE)
    assert ask(directory, Opcode.LOOKUP, NAME) == dump_error(7, errno.ENOENT)
    directory.remove(DIGEST)
    assert repr(directory) == "<DataDirectory 0 files>"


def test_a_file_has_no_files(directory: DataDirectory) -> None:
    assert ask(directory, Opcode.LOOKUP, NAME, node=FILE.node) == dump_error(7, errno.ENOENT)


@given(st.integers(0, 60), st.binary(max_size=64), st.sampled_from([1, FILE.node, 99]))
def test_whatever_is_asked_there_is_an_answer(opcode: int, body: bytes, node: int) -> None:
    directory = DataDirectory()
    directory.add(FILE)
    answer = directory.answer(Request(opcode, 7, node, body))
    assert (answer is None) == (opcode in UNANSWERED)
    if isinstance(answer, bytes):
        assert struct.unpack_from("=I", answer) == (len(answer),)
