"""Inputs for laws: tars as hostile as tars may legally be, and TOCs."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from estargz.codec import Codec
from estargz.planning import BlobLayout, WriterOptions
from estargz.toc import TocEntry

_TYPES = {
    "reg": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
# The smallest chunk that the writer makes: files of a few chunks stay small.
CHUNK_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entry of a tar that is to be made."""

    name: str
    kind: str = "reg"
    content: bytes = b""
    link_name: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    user_name: str = ""
    group_name: str = ""
    mtime: float = 0
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    pax: Mapping[str, str] = field(default_factory=dict)


class Content(bytes):
    """Bytes whose picture in a failing test's report stays short."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes {bytes(self[:24])!r}>"


def build_tar(
    nodes: Sequence[Node],
    *,
    tar_format: int = tarfile.PAX_FORMAT,
    pax_headers: Mapping[str, str] | None = None,
) -> bytes:
    """A tar as Python writes it; ``pax_headers`` make a global header."""
    output = io.BytesIO()
    with tarfile.open(
        fileobj=output,
        mode="w",
        format=tar_format,
        encoding="utf-8",
        errors="surrogateescape",
        pax_headers=pax_headers,
    ) as tar:
        for node in nodes:
            tar.addfile(_tar_info(node), io.BytesIO(node.content))
    return output.getvalue()


def _tar_info(node: Node) -> tarfile.TarInfo:
    info = tarfile.TarInfo(node.name)
    info.type = _TYPES[node.kind]
    info.size = len(node.content)
    info.linkname = node.link_name
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    info.uname, info.gname, info.mtime = node.user_name, node.group_name, node.mtime
    info.devmajor, info.devminor = node.device
    info.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
        for name, value in node.xattrs.items()
    } | dict(node.pax)
    return info


_letters = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
_component = st.one_of(
    st.sampled_from(
        ["a", "b", "lib", ".wh.x", ".wh..wh..opq", "ä" * 60, "x" * 130, " ", "%", "\n"]
    ),
    st.text(_letters, min_size=1, max_size=12).filter(lambda text: text not in {".", ".."}),
)
paths = st.lists(_component, min_size=1, max_size=4).map("/".join)
_prefix = st.sampled_from(["", "./", "/", "a/../"])
_names = st.builds("{}{}".format, _prefix, paths)
_contents = st.one_of(
    st.binary(max_size=64),
    st.tuples(
        st.binary(min_size=1, max_size=40),
        st.sampled_from([511, 512, 513, 4095, 4096, 4097, 8192, 9000, 12288]),
    ).map(lambda seed: Content((seed[0] * seed[1])[: seed[1]])),
)
_ids = st.sampled_from([0, 1, 1000, 65534, 3_000_000])
_owners = st.sampled_from(["", "root", "daemon", "jürgen"])
_mtimes = st.one_of(
    st.sampled_from([0, 1, -1, 1_700_000_000, 1_700_000_000.75, 0x1_0000_0000]),
    st.integers(-(10**9), 10**10),
)
_xattrs = st.dictionaries(
    st.sampled_from(["user.a", "security.capability", "user.ü", "trusted.overlay.opaque"]),
    st.binary(max_size=24),
    max_size=2,
)
_meta = {
    "mode": st.integers(0, 0o7777),
    "uid": _ids,
    "gid": _ids,
    "user_name": _owners,
    "group_name": _owners,
    "mtime": _mtimes,
    "xattrs": _xattrs,
}
_devices = st.tuples(st.integers(0, 4095), st.integers(0, 255))

nodes = st.one_of(
    st.builds(Node, name=_names, kind=st.just("reg"), content=_contents, **_meta),
    st.builds(Node, name=_names, kind=st.just("dir"), **_meta),
    st.builds(Node, name=_names, kind=st.just("symlink"), link_name=paths, **_meta),
    st.builds(Node, name=_names, kind=st.just("hardlink"), link_name=paths, **_meta),
    st.builds(Node, name=_names, kind=st.sampled_from(["char", "block"]), device=_devices, **_meta),
    st.builds(Node, name=_names, kind=st.just("fifo"), **_meta),
)
trees = st.lists(nodes, max_size=12)
# tarfile takes a global header with nothing behind it for damage.
tars = st.tuples(trees, st.sampled_from([None, {"comment": "of git archive"}])).map(
    lambda made_of: Content(build_tar(made_of[0], pax_headers=made_of[1] if made_of[0] else None))
)

# Every way to write a blob that gives the tar's own tree.
writer_options = st.builds(
    WriterOptions,
    chunk_bytes=st.sampled_from([CHUNK_BYTES, 2 * CHUNK_BYTES, 4 << 20]),
    min_chunk_bytes=st.sampled_from([0, 500, 5000, 1 << 20]),
    codec=st.just(Codec.GZIP),
    compression_level=st.sampled_from([1, 6]),
    layout=st.sampled_from(BlobLayout),
) | st.builds(
    WriterOptions,
    chunk_bytes=st.sampled_from([CHUNK_BYTES, 2 * CHUNK_BYTES, 4 << 20]),
    min_chunk_bytes=st.sampled_from([0, 500, 5000, 1 << 20]),
    codec=st.just(Codec.ZSTD),
    compression_level=st.sampled_from([1, 3]),
    layout=st.sampled_from([BlobLayout.COMPLETE, BlobLayout.LOSSLESS]),
)

_int64 = st.integers(0, (1 << 63) - 1)
_text = st.text(max_size=20)
toc_entries = st.builds(
    TocEntry,
    name=_text,
    type=st.sampled_from([*_TYPES, "chunk"]),
    size=_int64,
    modtime=_text,
    link_name=_text,
    mode=st.integers(0, 0o177777),
    uid=_int64,
    gid=_int64,
    user_name=_text,
    group_name=_text,
    offset=_int64,
    dev_major=_int64,
    dev_minor=_int64,
    xattrs=st.dictionaries(_text, st.binary(max_size=40), max_size=3),
    digest=_text,
    chunk_offset=_int64,
    chunk_size=_int64,
    chunk_digest=_text,
    inner_offset=_int64,
)
