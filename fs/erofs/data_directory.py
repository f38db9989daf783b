"""The flat directory of the data server: one file per layer, which is the layer's data space.

Every answer is decided here, without I/O, but for the content of files. A file's node number is made of
its layer's digest, so that whoever takes over the connection knows what the kernel means by it.
"""

import errno
import logging
import stat
from dataclasses import dataclass

from fs.erofs.fuse_protocol import (
    PAGE_BYTES,
    ROOT_NODE,
    UNANSWERED,
    MalformedRequestError,
    NodeAttributes,
    Opcode,
    ReadRange,
    Request,
    dump_answer,
    dump_attributes,
    dump_entry,
    dump_error,
    dump_open,
    dump_statfs,
    parse_name,
    parse_read,
)
from registry.digest import Digest

_log = logging.getLogger(__name__)
_NODE_DIGITS = 15  # of a digest: 60 bits
_NODE_BIT = 1 << 60  # keeps clear of the root's number


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file: the data space of a layer, and its size."""

    digest: Digest
    data_bytes: int

    @property
    def node(self) -> int:
        """Its node number."""
        return node_of(self.digest)


@dataclass(frozen=True, slots=True)
class Read:
    """A request for content, which the directory does not have."""

    unique: int
    node: int
    range: ReadRange


def node_of(digest: Digest) -> int:
    """The node number of a layer's file."""
    return _NODE_BIT | int(digest.hex[:_NODE_DIGITS], 16)


class DataDirectory:
    """The files there are. It may be read in one thread and changed in another."""

    def __init__(self) -> None:
        self._files: dict[int, DataFile] = {}

    def __repr__(self) -> str:
        return f"<DataDirectory {len(self._files)} files>"

    def add(self, file: DataFile) -> None:
        """Shows a file; it takes the place of one of the same digest."""
        self._files[file.node] = file

    def remove(self, digest: Digest) -> None:
        """Shows a file no more."""
        self._files.pop(node_of(digest), None)

    def answer(self, request: Request) -> bytes | Read | None:
        """What to say to a request; a ``Read`` is for the caller to answer, None wants no answer."""
        if request.opcode in UNANSWERED:
            return None
        try:
            if request.opcode == Opcode.READ:
                return Read(request.unique, request.node, parse_read(request.body))
            body = self._body(request)
        except MalformedRequestError as error:
            fields = {"opcode": request.opcode, "error": str(error)}
            _log.warning("malformed FUSE request", extra={"fields": fields})
            return dump_error(request.unique, errno.EINVAL)
        if isinstance(body, int):
            return dump_error(request.unique, body)
        return dump_answer(request.unique, len(body)) + body

    def _body(self, request: Request) -> bytes | int:
        """The body of an answer, or an errno."""
        match request.opcode:
            case Opcode.LOOKUP:
                return self._lookup(request)
            case Opcode.GETATTR:
                attributes = self._attributes(request.node)
                return errno.ESTALE if attributes is None else dump_attributes(attributes)
            case Opcode.OPEN | Opcode.OPENDIR:
                return dump_open()
            case Opcode.READDIR | Opcode.RELEASE | Opcode.RELEASEDIR | Opcode.FLUSH:
                return b""  # nothing is listed: who needs a file knows its name
            case Opcode.STATFS:
                used = sum(file.data_bytes for file in list(self._files.values()))
                return dump_statfs(used // PAGE_BYTES)
            case _:
                return errno.ENOSYS

    def _lookup(self, request: Request) -> bytes | int:
        name = parse_name(request.body)
        for node, file in list(self._files.items()):
            if request.node == ROOT_NODE and file.digest.file_name.encode() == name:
                attributes = self._attributes(node)
                return errno.ENOENT if attributes is None else dump_entry(attributes)
        return errno.ENOENT

    def _attributes(self, node: int) -> NodeAttributes | None:
        if node == ROOT_NODE:
            return NodeAttributes(node=node, mode=stat.S_IFDIR | 0o500, size=0, nlink=2)
        file = self._files.get(node)
        if file is None:
            return None
        mode = stat.S_IFREG | 0o400
        return NodeAttributes(node=node, mode=mode, size=file.data_bytes, nlink=1)
