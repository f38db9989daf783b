"""What the C library does with memory that was freed: by default it gives buffers back to the kernel at once.

A process that takes in megabyte after megabyte then gets the same pages again and again, cleared, at a page fault each:
measured, 230 faults and half of the CPU for each MiB of a range request.
"""

import ctypes
from typing import Final

# Buffers up to this size are taken from the heap, where those freed before are.
HEAP_BUFFER_BYTES: Final = 8 << 20
# So much of it may stay with us when nothing is under way.
KEPT_BYTES: Final = 16 << 20

# malloc.h; of glibc alone.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> bool:
    """Lets this process keep some of the memory that it frees; says whether the C library knows how to."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in (
            (_M_MMAP_THRESHOLD, HEAP_BUFFER_BYTES),
            (_M_TRIM_THRESHOLD, KEPT_BYTES),
        )
    )
