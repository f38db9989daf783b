import stat

import pytest

from fs.errors import NoSuchEntryError, WrongKindError
from fs.inode_building import InodeTableBuilder
from fs.inodes import ROOT, Attributes, Extent, InodeTable

FILE = stat.S_IFREG | 0o644


@pytest.fixture
def table() -> InodeTable:
    builder = InodeTableBuilder(Attributes(mode=stat.S_IFDIR | 0o755))
    directory = builder.add(Attributes(mode=stat.S_IFDIR), parent=ROOT)
    builder.link(ROOT, b"etc", directory)
    file = builder.add(Attributes(mode=FILE, size=5000), parent=directory)
    builder.link(directory, b"\xffname", file)
    builder.set_data_offset(file, 8192)
    return InodeTable(builder.pack())


def test_entries_come_sorted_from_any_position(table: InodeTable) -> None:
    builder = InodeTableBuilder(Attributes(mode=stat.S_IFDIR))
    names = [b"%d" % number for number in range(100)]
    for name in names:
        builder.link(ROOT, name, builder.add(Attributes(mode=FILE), parent=ROOT))
    table = InodeTable(builder.pack())
    expected = [(name, int(name) + 1) for name in sorted(names)]
    for first in (0, 1, 50, 99, 100, 101):
        assert list(table.entries(ROOT, first)) == expected[first:]
    assert [table.lookup(ROOT, name) for name in names] == list(range(1, 101))
    for absent in (b"", b"100", b"0a", b"\xff"):
        with pytest.raises(NoSuchEntryError):
            table.lookup(ROOT, absent)


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 8), (4096, 8), (4097, 16)])
def test_blocks_count_512_bytes_in_whole_pages(size: int, blocks: int) -> None:
    assert Attributes(mode=FILE, size=size).blocks == blocks


def test_a_file_is_found_by_its_content(table: InodeTable) -> None:
    assert table.extent(2) == Extent(8192, 5000)
    assert table.file_at(8192 + 4999) == "/etc/�name"
    assert table.file_at(0) == "(no file)"


def test_absent_things_are_named(table: InodeTable) -> None:
    with pytest.raises(NoSuchEntryError, match="missing"):
        table.lookup(ROOT, b"missing")
    assert table.xattrs(ROOT) == {}


def test_kinds_are_not_mixed_up(table: InodeTable) -> None:
    with pytest.raises(WrongKindError, match="/etc is not a regular file"):
        table.extent(1)
    with pytest.raises(WrongKindError, match="not a directory"):
        table.children(2)
    with pytest.raises(WrongKindError, match="not a symbolic link"):
        table.target(2)


def test_state_shows_in_repr(table: InodeTable) -> None:
    assert repr(table) == "<InodeTable 3 inodes>"
