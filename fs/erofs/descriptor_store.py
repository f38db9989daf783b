"""The service manager's descriptor store as a second keeper: it outlives the death of all our processes at once.

It holds two descriptors of one name: the connection, and a file in memory with the state that belongs to it. The
next life of the service is started with both.
"""

import os
import select
import stat
from collections.abc import Sequence

from fs import service_manager
from fs.erofs.keeper import MAX_STATE_BYTES, Kept

STORED_NAME = "stargz-data"


def store(kept: Kept) -> bool:
    """Lets the service manager hold a descriptor too, in place of what it held; tells whether there is one to ask.

    It does not answer: one without room says so in its own log.

    Raises:
        OSError: it cannot be reached.
    """
    if not service_manager.is_there():
        return False
    state = os.memfd_create(STORED_NAME)
    try:
        os.write(state, kept.state)
        drop()
        service_manager.tell(f"FDSTORE=1\nFDNAME={STORED_NAME}", [kept.descriptor, state])
    finally:
        os.close(state)
    return True


def drop() -> None:
    """Lets the service manager let go of what it holds for us.

    Raises:
        OSError: it cannot be reached.
    """
    service_manager.tell(f"FDSTOREREMOVE=1\nFDNAME={STORED_NAME}")


def stored(descriptors: Sequence[int]) -> Kept | None:
    """What the service manager held, made of the descriptors it gave; those of no use are closed.

    None if they do not belong together, or the kernel has closed the connection.
    """
    devices = [number for number in descriptors if stat.S_ISCHR(os.fstat(number).st_mode)]
    files = [number for number in descriptors if stat.S_ISREG(os.fstat(number).st_mode)]
    kept = None
    if len(devices) == len(files) == 1 and _is_connected(devices[0]):
        os.set_inheritable(devices[0], False)  # noqa: FBT003 - as the library has it
        kept = Kept(devices[0], os.pread(files[0], MAX_STATE_BYTES, 0))
    for number in descriptors:
        if kept is None or number != kept.descriptor:
            os.close(number)
    return kept


def _is_connected(descriptor: int) -> bool:
    """Whether the file system is still mounted somewhere, or open (``fuse_dev_poll`` in the kernel)."""
    poller = select.poll()
    poller.register(descriptor, 0)
    return not poller.poll(0)
