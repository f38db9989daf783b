"""The structures of an EROFS image that is written here, byte for byte.

Source: ``fs/erofs/erofs_fs.h`` of the Linux kernel; names in parentheses are its. All numbers are
little-endian. What is used: 4 KiB blocks, compact and extended inodes, one extra device that holds
all file content, chunk indexes; no compression, no fragments, no 48-bit layout.
"""

import struct
from dataclasses import dataclass

BLOCK_BYTES = 4096
BLOCK_BITS = 12
SLOT_BYTES = 32  # a node number counts these, from the image's begin
SUPERBLOCK_OFFSET = 1024
_MAGIC = 0xE0F5E1E2
_COMPAT_CHECKSUM, _COMPAT_MTIME = 0x1, 0x2
_INCOMPAT_CHUNKED_FILE, _INCOMPAT_DEVICE_TABLE = 0x4, 0x8
# erofs_super_block: from magic to meta_blkaddr; xattr_blkaddr to devt_slotoff; the rest is zero.
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIIIQQ16sIHHHBBIQ24x")
_CHECKSUM = struct.Struct("<I")
_CHECKSUM_OFFSET = SUPERBLOCK_OFFSET + 4
_DEVICE_SLOT = struct.Struct("<64sII56x")  # erofs_deviceslot
_DEVICE_SLOT_OFFSET = SUPERBLOCK_OFFSET + _SUPERBLOCK.size
INODES_OFFSET = 1280  # the first slot behind the device table
MAX_BLOCK = 0xFFFFFFFF  # this one means "no block" (EROFS_NULL_ADDR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """What an image tells of itself.

    Attributes:
        root_node: the root's node number.
        inodes: how many there are.
        epoch_seconds: the modification time of every compact inode; with ``epoch_nanoseconds``.
        blocks: of the image.
        xattr_block: where shared extended attributes begin.
        uuid: 16 bytes.
        device_blocks: of the extra device.
    """

    root_node: int
    inodes: int
    epoch_seconds: int
    epoch_nanoseconds: int
    blocks: int
    xattr_block: int
    uuid: bytes
    device_blocks: int


def dump_head(superblock: Superblock, first_block: bytes) -> bytes:
    """The first block of an image: superblock and device table in front of what ``first_block`` has behind them."""
    packed = _SUPERBLOCK.pack(
        _MAGIC,
        0,  # the checksum, below
        _COMPAT_CHECKSUM | _COMPAT_MTIME,
        BLOCK_BITS,
        0,
        superblock.root_node,
        superblock.inodes,
        superblock.epoch_seconds & 0xFFFFFFFFFFFFFFFF,
        superblock.epoch_nanoseconds,
        superblock.blocks,
        0,  # meta_blkaddr: node numbers count from the begin
        superblock.xattr_block,
        *struct.unpack("<QQ", superblock.uuid),
        b"",  # volume_name
        _INCOMPAT_CHUNKED_FILE | _INCOMPAT_DEVICE_TABLE,
        0,
        1,  # extra_devices
        _DEVICE_SLOT_OFFSET // _DEVICE_SLOT.size,
        0,
        0,
        0,
        0,
    )
    device = _DEVICE_SLOT.pack(b"", superblock.device_blocks, 0)
    head = bytearray(first_block.ljust(BLOCK_BYTES, b"\0"))
    head[:SUPERBLOCK_OFFSET] = bytes(SUPERBLOCK_OFFSET)
    head[SUPERBLOCK_OFFSET:_DEVICE_SLOT_OFFSET] = packed
    head[_DEVICE_SLOT_OFFSET : _DEVICE_SLOT_OFFSET + _DEVICE_SLOT.size] = device
    _CHECKSUM.pack_into(head, _CHECKSUM_OFFSET, crc32c(bytes(head[SUPERBLOCK_OFFSET:])))
    return bytes(head)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum as the kernel computes it here: from all ones, not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _CRC32C[(value ^ byte) & 0xFF] ^ value >> 8
    return value


def _crc32c_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC32C = [_crc32c_of_byte(byte) for byte in range(256)]


# Inodes

# i_format: bit 0 says extended, the next three how the data lies.
COMPACT, EXTENDED = 0, 1
FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED = 0 << 1, 2 << 1, 4 << 1
# Fields: i_format, i_xattr_icount, i_mode, i_nlink, i_size, none, i_u, i_ino, i_uid, i_gid, none.
COMPACT_INODE = struct.Struct("<HHHHIIIIHHI")
# Fields: i_format, i_xattr_icount, i_mode, none, i_size, i_u, i_ino, i_uid, i_gid, i_mtime, i_mtime_nsec, i_nlink
EXTENDED_INODE = struct.Struct("<HHHHQIIIIqII16x")
MAX_COMPACT_ID = MAX_COMPACT_NLINK = 0xFFFF
MAX_COMPACT_SIZE = 0xFFFFFFFF

CHUNK_INDEXES = 0x20  # EROFS_CHUNK_FORMAT_INDEXES; the bits below it: log2 of blocks a chunk
CHUNK_INDEX = struct.Struct("<HHI")  # erofs_inode_chunk_index: -, device_id, blkaddr
CONTENT_DEVICE = 1


def chunk_bits(size: int) -> int:
    """Log2 of how many blocks a chunk must have to hold a whole file."""
    return max(0, (size - 1).bit_length() - BLOCK_BITS)


def dump_device_number(major: int, minor: int) -> int:
    """A device number as inodes hold it (``new_encode_dev``)."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


# Directories

DIRENT = struct.Struct("<QHBB")  # erofs_dirent: nid, nameoff, file_type, -
# File types by the four type bits of a mode: FT_FIFO, FT_CHRDEV, FT_DIR, FT_BLKDEV, FT_REG_FILE, FT_SYMLINK.
FILE_TYPES = {0o1: 5, 0o2: 3, 0o4: 2, 0o6: 4, 0o10: 1, 0o12: 7}


# Extended attributes

XATTR_HEADER = struct.Struct("<IB7x")  # erofs_xattr_ibody_header: -, h_shared_count
XATTR_ENTRY = struct.Struct("<BBH")  # erofs_xattr_entry: e_name_len, e_name_index, e_value_size
SHARED_XATTR = struct.Struct("<I")  # an offset into the shared area, in units of 4 bytes
MAX_SHARED_XATTRS = 0xFF
MAX_XATTR_UNITS = 0xFFFF
XATTR_UNIT_BYTES = 4
# e_name_index: what a name begins with, or is; only the rest is kept.
XATTR_PREFIXES = {b"user.": 1, b"trusted.": 4, b"security.": 6}
XATTR_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
