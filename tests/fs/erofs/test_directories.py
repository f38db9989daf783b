from hypothesis import given, strategies as st

from fs.erofs.directories import DirectoryEntry, directory_bytes, dump_directory
from fs.erofs.on_disk_format import BLOCK_BYTES, DIRENT

names = st.sets(st.binary(min_size=1, max_size=255).filter(lambda n: 0 not in n), max_size=60)


def parse(directory: bytes) -> list[DirectoryEntry]:
    """Reads a directory as the kernel does."""
    entries = []
    for start in range(0, len(directory), BLOCK_BYTES):
        block = directory[start : start + BLOCK_BYTES]
        count = DIRENT.unpack_from(block)[1] // DIRENT.size
        rows = [DIRENT.unpack_from(block, DIRENT.size * number) for number in range(count)]
        ends = [row[1] for row in rows[1:]] + [len(block)]
        for (node, offset, file_type, _), end in zip(rows, ends, strict=True):
            name = block[offset:end].split(b"\0")[0]
            entries.append(DirectoryEntry(name, node, file_type))
    return entries


@given(names)
def test_entries_come_back_in_order(names: set[bytes]) -> None:
    names |= {b".", b".."}
    entries = [DirectoryEntry(name, number, 1) for number, name in enumerate(names)]
    dumped = dump_directory(entries)
    assert parse(dumped) == sorted(entries, key=lambda entry: entry.name)
    assert len(dumped) == directory_bytes(names)
