"""The data server's connection: taken over from a former process where it can be, mounted anew where not.

<root>/data     where it is mounted
<root>/keeper   the socket of the process that holds it (``fs.erofs.keeper``)
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fs.erofs import keeper
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


def connect(root: Path) -> DataConnection:
    """Takes the connection over, or makes one; it blocks. Whoever calls closes its descriptor.

    Raises:
        MountError: the kernel refuses.
        OSError: ``/dev/fuse`` cannot be opened.
    """
    mountpoint = data_mountpoint(root)
    kept = keeper.kept(_keeper_socket(root))
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
    """Gives a new connection to a keeper, so that the next process can take it over; it blocks.

    Raises:
        OSError: there can be no keeper.
        subprocess.CalledProcessError: idem.
    """
    path = _keeper_socket(root)
    keeper.start(path)
    keeper.keep(path, Kept(connection.descriptor, msgspec.json.encode(_State(negotiated))))


def disconnect(root: Path) -> None:
    """Unmounts, and lets go of what is kept: whoever still reads is told EIO; it blocks.

    Raises:
        MountError: the kernel does not let go.
    """
    unmount_lazily(data_mountpoint(root))
    keeper.end(_keeper_socket(root))


def data_mountpoint(root: Path) -> Path:
    """Where the data server's files are."""
    return root / "data"


def _serveable(kept_state: bytes) -> Negotiated | None:
    """What was agreed on; None if this program cannot go on with it."""
    try:
        state = msgspec.json.decode(kept_state, type=_State)
    except msgspec.MsgspecError:
        return None
    # Without a repetition, what the former process read and did not answer would wait for ever.
    serveable = state.negotiated.can_resend and state.layout == LAYOUT_VERSION
    return state.negotiated if serveable else None


def _keeper_socket(root: Path) -> Path:
    return root / "keeper"
