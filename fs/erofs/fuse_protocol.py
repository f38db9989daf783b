"""The messages of ``/dev/fuse``, as bytes: what the kernel asks, and how it is answered.

Source: ``include/uapi/linux/fuse.h`` of the Linux kernel; names in parentheses are its. All numbers are
in the machine's own order. Only what a read-only directory of files needs is here. A message is one
``read``, an answer one ``write``; an answer names the request by its *unique* number.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

KERNEL_VERSION = 7
MINOR_VERSION = 38  # what is spoken here; the kernel speaks the lesser of its own and ours
MIN_KERNEL_MINOR = 28  # with max_pages
ROOT_NODE = 1
PAGE_BYTES = 4096
# What is never written needs no room, but the kernel wants some (FUSE_MIN_READ_BUFFER).
MAX_WRITE_BYTES = 4096
REQUEST_BUFFER_BYTES = 64 << 10
_FOR_EVER_SECONDS = 10 * 365 * 86_400


class Opcode(IntEnum):
    """What the kernel asks for (``fuse_opcode``); others are answered with ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


UNANSWERED = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.DESTROY}

# Flags of INIT, the second word's shifted by 32.
ASYNC_READ = 1 << 0
ASYNC_DIRECT_READ = 1 << 15  # FUSE_ASYNC_DIO
MAX_PAGES = 1 << 22
INIT_EXT = 1 << 30
HAS_RESEND = 1 << 39
_WANTED = ASYNC_READ | ASYNC_DIRECT_READ | MAX_PAGES | INIT_EXT | HAS_RESEND

_IN_HEADER = struct.Struct("=IIQQIIII")  # fuse_in_header
_OUT_HEADER = struct.Struct("=IiQ")  # fuse_out_header
_INIT_IN = struct.Struct("=IIII")  # fuse_init_in, up to flags
_INIT_IN_FLAGS2 = struct.Struct("=I")
_INIT_OUT = struct.Struct("=IIIIHHIIHHI28x")  # fuse_init_out
_ATTR = struct.Struct("=QQQQQQIIIIIIIIII")  # fuse_attr
_ENTRY_OUT = struct.Struct("=QQQQII")  # fuse_entry_out, in front of its fuse_attr
_ATTR_OUT = struct.Struct("=QII")  # fuse_attr_out, idem
_OPEN_OUT = struct.Struct("=QII")  # fuse_open_out
_READ_IN = struct.Struct("=QQIIQII")  # fuse_read_in
_STATFS_OUT = struct.Struct("=QQQQQIIII24x")  # fuse_statfs_out
_INTERRUPT_IN = struct.Struct("=Q")  # fuse_interrupt_in
_NOTIFY_RESEND = 7  # fuse_notify_code
HEADER_BYTES = _IN_HEADER.size


class MalformedRequestError(Exception):
    """A message is not what the protocol says it is."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message of the kernel: its header, and what follows it."""

    opcode: int
    unique: int
    node: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What ``INIT`` agreed on: whoever takes over the descriptor must know it.

    Attributes:
        minor: the protocol's minor version.
        flags: the features that both sides have.
    """

    minor: int
    flags: int

    @property
    def can_resend(self) -> bool:
        """Whether the kernel repeats, on demand, what was asked and not answered (Linux 6.9)."""
        return bool(self.flags & HAS_RESEND)


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Which bytes of a file are asked for."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttributes:
    """What ``stat`` tells of a file or directory."""

    node: int
    mode: int
    size: int
    nlink: int


def parse_request(message: bytes) -> Request:
    """The request in a message.

    Raises:
        MalformedRequestError: it is cut off; nobody can be answered.
    """
    if len(message) < HEADER_BYTES:
        raise MalformedRequestError(f"{len(message)} bytes, a header has {HEADER_BYTES}")
    length, opcode, unique, node, *_ = _IN_HEADER.unpack_from(message)
    if length != len(message):
        raise MalformedRequestError(f"{len(message)} bytes, its header says {length}")
    return Request(opcode, unique, node, message[HEADER_BYTES:])


def parse_name(body: bytes) -> bytes:
    """The name that a ``LOOKUP`` asks for.

    Raises:
        MalformedRequestError: there is none.
    """
    name, end, _ = body.partition(b"\0")
    if not name or not end:
        raise MalformedRequestError("a name without an end")
    return name


def parse_read(body: bytes) -> ReadRange:
    """What a ``READ`` asks for.

    Raises:
        MalformedRequestError: it is cut off.
    """
    if len(body) < _READ_IN.size:
        raise MalformedRequestError(f"a read of {len(body)} bytes")
    _, offset, size, *_ = _READ_IN.unpack_from(body)
    return ReadRange(offset, size)


def parse_interrupt(body: bytes) -> int:
    """The unique number of the request that nobody waits for any more.

    Raises:
        MalformedRequestError: it is cut off.
    """
    if len(body) < _INTERRUPT_IN.size:
        raise MalformedRequestError(f"an interrupt of {len(body)} bytes")
    (unique,) = _INTERRUPT_IN.unpack_from(body)
    return int(unique)


def negotiate(body: bytes) -> Negotiated:
    """What is agreed on, given what the kernel offers in ``INIT``.

    Raises:
        MalformedRequestError: it is cut off, or the kernel is too old.
    """
    if len(body) < _INIT_IN.size:
        raise MalformedRequestError(f"an INIT of {len(body)} bytes")
    major, minor, _, flags = _INIT_IN.unpack_from(body)
    if major != KERNEL_VERSION or minor < MIN_KERNEL_MINOR:
        raise MalformedRequestError(f"FUSE {major}.{minor} is too old")
    if flags & INIT_EXT and len(body) >= _INIT_IN.size + _INIT_IN_FLAGS2.size:
        flags |= _INIT_IN_FLAGS2.unpack_from(body, _INIT_IN.size)[0] << 32
    return Negotiated(min(minor, MINOR_VERSION), flags & _WANTED)


# Answers


def dump_answer(unique: int, body_bytes: int) -> bytes:
    """The head of the answer to a request that succeeded; its body of that size must follow."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + body_bytes, 0, unique)


def dump_error(unique: int, number: int) -> bytes:
    """The answer to a request that failed, with a positive errno."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, -number, unique)


def dump_resend() -> bytes:
    """Asks the kernel to repeat every request that was read and not answered (``FUSE_NOTIFY_RESEND``)."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, _NOTIFY_RESEND, 0)


def dump_init(negotiated: Negotiated, *, max_read_bytes: int, max_background: int) -> bytes:
    """The body that accepts what was negotiated.

    Args:
        negotiated: what ``negotiate`` gave.
        max_read_bytes: the largest read that is wanted.
        max_background: how many reads may be under way that no process waits for.
    """
    return _INIT_OUT.pack(
        KERNEL_VERSION,
        negotiated.minor,
        max_read_bytes,  # max_readahead
        negotiated.flags & 0xFFFFFFFF,
        max_background,
        max_background,  # congestion_threshold
        MAX_WRITE_BYTES,
        1,  # time_gran
        max_read_bytes // PAGE_BYTES,
        0,
        negotiated.flags >> 32,
    )


def dump_entry(attributes: NodeAttributes) -> bytes:
    """The body that answers a ``LOOKUP``; the kernel asks again each time, for files come and go."""
    head = _ENTRY_OUT.pack(attributes.node, 0, 0, _FOR_EVER_SECONDS, 0, 0)
    return head + _dump_attributes(attributes)


def dump_attributes(attributes: NodeAttributes) -> bytes:
    """The body that answers a ``GETATTR``."""
    return _ATTR_OUT.pack(_FOR_EVER_SECONDS, 0, 0) + _dump_attributes(attributes)


def dump_open() -> bytes:
    """The body that answers an ``OPEN``: no handle, no flags."""
    return _OPEN_OUT.pack(0, 0, 0)


def dump_statfs(blocks: int) -> bytes:
    """The body that answers a ``STATFS``: so many blocks, all of them used."""
    return _STATFS_OUT.pack(blocks, 0, 0, 0, 0, PAGE_BYTES, 255, PAGE_BYTES, 0)


def _dump_attributes(attributes: NodeAttributes) -> bytes:
    blocks = -(-attributes.size // 512)
    times = (0,) * 6
    return _ATTR.pack(
        attributes.node,
        attributes.size,
        blocks,
        *times,
        attributes.mode,
        attributes.nlink,
        0,
        0,
        0,
        PAGE_BYTES,
        0,
    )
