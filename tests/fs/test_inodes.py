import stat

import pytest

from fs.errors import NoSuchEntryError, WrongKindError
from fs.inodes import ROOT, Attributes, Extent, InodeTable

FILE = stat.S_IFREG | 0o644


@pytest.fixture
def table() -> InodeTable:
    table = InodeTable()
    table.add(Attributes(mode=stat.S_IFDIR | 0o755), name=b"", parent=ROOT)
    directory = table.add(Attributes(mode=stat.S_IFDIR), name=b"etc", parent=ROOT)
    table.link(ROOT, b"etc", directory)
    file = table.add(Attributes(mode=FILE, size=5000), name=b"\xffname", parent=directory)
    table.link(directory, b"\xffname", file)
    table.set_data_offset(file, 8192)
    return table


def test_attributes_come_back_as_they_went_in(table: InodeTable) -> None:
    given = Attributes(
        mode=FILE, uid=2**32 - 1, gid=5, size=2**40, mtime_ns=-(10**9), rdev=2**40, nlink=3
    )
    assert table.attributes(table.add(given, name=b"x", parent=ROOT)) == given


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
