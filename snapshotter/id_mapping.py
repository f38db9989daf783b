"""Labels that say which users of the machine the users of a container are (containerd's ``WithUserNSRemapperLabels``).

containerd sends them only to a snapshotter that its configuration gives the capability ``remap-ids``; otherwise it changes
the owners of files itself, which it must copy for that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from snapshotter.errors import InvalidLabelError

UID_MAPPING: Final = "containerd.io/snapshot/uidmapping"
GID_MAPPING: Final = "containerd.io/snapshot/gidmapping"
# Of the container, of the machine, and how many.
_RANGE: Final = re.compile(r"(\d{1,10}):(\d{1,10}):(\d{1,10})")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a file belongs to, by the machine's numbers."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class IdMapping:
    """What two labels say.

    Attributes:
        owner: who the container's root is.
        uid_map: which users are which, as ``/proc/PID/uid_map`` has it.
        gid_map: likewise, of groups.
    """

    owner: Owner
    uid_map: str
    gid_map: str


def parse_id_mapping(labels: Mapping[str, str]) -> IdMapping | None:
    """The mapping that labels ask for, if they do.

    Raises:
        InvalidLabelError: they make no sense.
    """
    if UID_MAPPING not in labels and GID_MAPPING not in labels:
        return None
    owner = Owner(_root_in(labels, UID_MAPPING), _root_in(labels, GID_MAPPING))
    return IdMapping(owner, _lines(labels[UID_MAPPING]), _lines(labels[GID_MAPPING]))


def _lines(label: str) -> str:
    return "".join(f"{part.replace(':', ' ')}\n" for part in label.split(","))


def _root_in(labels: Mapping[str, str], name: str) -> int:
    """What the container's number 0 is on this machine."""
    ranges = [_RANGE.fullmatch(part) for part in labels.get(name, "").split(",")]
    for found in ranges:
        if found is None:
            raise InvalidLabelError(name, f"{labels.get(name, '')!r} is not container:host:count")
        inside, outside, _ = map(int, found.groups())
        if inside == 0:
            return outside
    raise InvalidLabelError(name, f"{labels[name]!r} does not map root")
