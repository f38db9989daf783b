"""What is built is what is read: random trees against a dictionary for each inode."""

import stat
from dataclasses import dataclass, field

from hypothesis import given, strategies as st

from fs.inode_building import InodeTableBuilder
from fs.inodes import ROOT, Attributes, InodeTable

NAMES = st.binary(min_size=1, max_size=3)
XATTRS = st.dictionaries(st.sampled_from([b"user.a", b"user.b"]), st.binary(max_size=4))
KINDS = st.sampled_from([stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR])


@dataclass
class Node:
    """An inode as a model: nothing packed."""

    mode: int
    mtime_ns: int
    content: int = 0
    target: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    children: dict[bytes, int] = field(default_factory=dict)


@st.composite
def trees(draw: st.DrawFn) -> tuple[InodeTableBuilder, list[Node]]:
    """A builder, and the same tree as a list of nodes."""
    builder = InodeTableBuilder(Attributes(mode=stat.S_IFDIR))
    nodes = [Node(stat.S_IFDIR, 0)]
    for _ in range(draw(st.integers(0, 12))):
        directories = [i for i, node in enumerate(nodes) if stat.S_ISDIR(node.mode)]
        node = Node(draw(KINDS) | 0o640, draw(st.integers(-(10**18), 10**18)))
        parent = draw(st.sampled_from(directories))
        index = builder.add(Attributes(mode=node.mode, mtime_ns=node.mtime_ns), parent=parent)
        nodes.append(node)
        node.xattrs = draw(XATTRS)
        builder.set_xattrs(index, node.xattrs)
        if stat.S_ISLNK(node.mode):
            node.target = draw(st.binary(min_size=1, max_size=9))
            builder.set_target(index, node.target)
        elif stat.S_ISREG(node.mode):
            node.content = draw(st.integers(0, 1 << 44))
            builder.set_data_offset(index, node.content)
        for _ in range(1 if stat.S_ISDIR(node.mode) else draw(st.integers(1, 2))):
            name = draw(NAMES)
            builder.link(parent, name, index)
            nodes[parent].children[name] = index
    return builder, nodes


@given(trees())
def test_a_table_is_what_was_built(tree: tuple[InodeTableBuilder, list[Node]]) -> None:
    builder, nodes = tree
    assert all(builder.xattrs(index) == node.xattrs for index, node in enumerate(nodes))
    table = InodeTable(builder.pack())
    assert len(table) == len(nodes)
    reachable = [ROOT]
    for index in reachable:
        node = nodes[index]
        assert table.modes[index] == node.mode
        assert table.mtimes_ns[index] == node.mtime_ns
        assert table.xattrs(index) == node.xattrs
        if stat.S_ISDIR(node.mode):
            assert table.children(index) == node.children
            assert all(table.lookup(index, name) == node.children[name] for name in node.children)
            reachable += node.children.values()
        elif stat.S_ISLNK(node.mode):
            assert table.target(index) == node.target
            assert table.attributes(index).size == len(node.target)
        elif stat.S_ISREG(node.mode):
            assert table.extent(index).offset == node.content
    names = {index: reachable.count(index) for index in range(1, len(nodes))}
    links = {i: table.nlinks[i] for i in names if not table.is_directory(i)}
    assert links == {index: names[index] for index in links}
    assert all((table.nlinks[i] == 0) == (names[i] == 0) for i in names)


def test_equal_attributes_are_kept_once() -> None:
    builder = InodeTableBuilder(Attributes(mode=stat.S_IFDIR))
    for _ in range(1000):
        index = builder.add(Attributes(mode=stat.S_IFREG), parent=ROOT)
        builder.set_xattrs(index, {b"security.selinux": b"system_u:object_r:usr_t:s0"})
    builder.set_xattrs(1, {})
    table = InodeTable(builder.pack())
    assert set(table.xattr_sets) == {0, 1}
    assert table.xattrs(1) == {}


def test_state_shows_in_repr() -> None:
    assert repr(InodeTableBuilder(Attributes(mode=0))) == "<InodeTableBuilder 1 inodes>"
