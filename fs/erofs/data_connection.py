"""The data server's connection: taken over from a former process where it can be, mounted anew where not.

<root>/data     where it is mounted
<root>/keeper   the socket of the process that holds it (``fs.erofs.keeper``); systemd may, too (``descriptor_store``)
"""

import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fs.erofs import descriptor_store, keeper
from fs.erofs.fuse_protocol import Negotiated
from fs.erofs.keeper import Kept
from fs.layer_image import LAYOUT_VERSION
from fs.mounting import mount_fuse, mounts_at, unmount_lazily

_log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    """What the keeper is told beside the descriptor; older and newer versions of this program read it.

    Attributes:
        negotiated: what the kernel agreed to.
        layout: how the files are laid out that mounts were made on.
    """

    negotiated: Negotiated
    layout: int = LAYOUT_VERSION


@dataclass(frozen=True, slots=True)
class DataConnection:
    """A connection to the kernel.

    Attributes:
        descriptor: ``/dev/fuse``, mounted.
        negotiated: what a former process agreed on; None if the connection is new.
    """

    descriptor: int
    negotiated: Negotiated | None


def connect(root: Path, held: Sequence[int] = ()) -> DataConnection:
    """Takes the connection over, or makes one; it blocks. Whoever calls closes its descriptor.

    Args:
        root: the fs server's.
        held: what the service manager held for a former process. They belong to this function from now on.

    Raises:
        MountError: the kernel refuses.
        OSError: ``/dev/fuse`` cannot be opened.
    """
    mountpoint = data_mountpoint(root)
    stored = descriptor_store.stored(held)
    kept = keeper.kept(keeper_socket(root))
    if kept is None:
        kept = stored
    elif stored is not None:
        os.close(stored.descriptor)
    if kept is not None:
        negotiated = _serveable(kept.state)
        if negotiated is not None and mounts_at(mountpoint):
            _log.info("connection of the data server taken over")
            return DataConnection(kept.descriptor, negotiated)
        _log.warning("connection of the data server cannot be taken over: readers fail")
        os.close(kept.descriptor)
    disconnect(root)
    mountpoint.mkdir(mode=0o700, exist_ok=True)
    return DataConnection(mount_fuse("stargz-data", mountpoint), None)


def let_keep(root: Path, connection: DataConnection, negotiated: Negotiated) -> None:
    """Gives a connection to a keeper, and to the service manager, so that the next process can take it over; it blocks.

    Raises:
        OSError: there can be no keeper.
        subprocess.CalledProcessError: idem.
    """
    kept = Kept(connection.descriptor, msgspec.json.encode(_State(negotiated)))
    path = keeper_socket(root)
    keeper.end(path)  # one of an older version, which nobody can watch
    keeper.start(path)
    keeper.keep(path, kept)
    try:
        if descriptor_store.store(kept):
            _log.info("the service manager holds the connection of the data server, too")
    except OSError as error:
        fields = {"error": str(error)}
        _log.warning("the service manager cannot be reached", extra={"fields": fields})


def disconnect(root: Path) -> None:
    """Unmounts, and lets go of what is kept: whoever still reads is told EIO; it blocks.

    Raises:
        MountError: the kernel does not let go.
    """
    unmount_lazily(data_mountpoint(root))
    keeper.end(keeper_socket(root))
    with contextlib.suppress(OSError):  # whoever manages this service is gone itself
        descriptor_store.drop()


def data_mountpoint(root: Path) -> Path:
    """Where the data server's files are."""
    return root / "data"


def keeper_socket(root: Path) -> Path:
    """Where the keeper listens."""
    return root / "keeper"


def _serveable(kept_state: bytes) -> Negotiated | None:
    """What was agreed on; None if this program cannot go on with it."""
    try:
        state = msgspec.json.decode(kept_state, type=_State)
    except msgspec.MsgspecError:
        return None
    # Without a repetition, what the former process read and did not answer would wait for ever.
    serveable = state.negotiated.can_resend and state.layout == LAYOUT_VERSION
    return state.negotiated if serveable else None
