import pytest

from fs.erofs.on_disk_format import Superblock, chunk_bits, crc32c, dump_device_number, dump_head

SUPERBLOCK = Superblock(
    root_node=40,
    inodes=7,
    epoch_seconds=-5,
    epoch_nanoseconds=9,
    blocks=3,
    xattr_block=2,
    uuid=bytes(range(16)),
    device_blocks=0x01020304,
)


def test_the_head_has_its_fields_where_the_kernel_looks_for_them() -> None:
    head = dump_head(SUPERBLOCK, bytes(1280) + b"an inode")
    assert len(head) == 4096
    assert head[:1024] == bytes(1024)
    assert head[1024:1028] == (0xE0F5E1E2).to_bytes(4, "little")
    assert head[1036] == 12  # blkszbits
    assert head[1038:1040] == b"\x28\0"  # root_nid
    assert head[1048:1056] == (-5).to_bytes(8, "little", signed=True)  # epoch
    assert head[1072:1088] == bytes(range(16))  # uuid
    assert head[1104:1108] == (0x4 | 0x8).to_bytes(4, "little")  # feature_incompat
    assert head[1110:1114] == b"\x01\0\x09\0"  # extra_devices, devt_slotoff
    assert head[9 * 128 + 64 : 9 * 128 + 68] == b"\x04\x03\x02\x01"
    assert head[1280:1288] == b"an inode"


def test_the_checksum_covers_the_first_block_behind_the_boot_sector() -> None:
    head = dump_head(SUPERBLOCK, b"")
    without = head[1024:1028] + bytes(4) + head[1032:]
    assert head[1028:1032] == crc32c(without).to_bytes(4, "little")


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283


@pytest.mark.parametrize(
    ("size", "bits"), [(1, 0), (4096, 0), (4097, 1), (8192, 1), (8193, 2), (1 << 43, 31)]
)
def test_a_chunk_holds_the_whole_file(size: int, bits: int) -> None:
    assert chunk_bits(size) == bits


def test_device_numbers_are_split_as_the_kernel_does() -> None:
    assert dump_device_number(8, 0x12345) == 0x12345 & 0xFF | 8 << 8 | 0x12300 << 12
