"""Labels that say which users of the machine the users of a container are (containerd's ``WithUserNSRemapperLabels``).

containerd sends them only to a snapshotter that its configuration gives the capability ``remap-ids``; otherwise it changes
the owners of files itself.
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
        mount_options: what tells mount(2)'s caller to show the layers below with mapped owners.
    """

    owner: Owner
    mount_options: tuple[str, str]


def parse_id_mapping(labels: Mapping[str, str]) -> IdMapping | None:
    """The mapping that labels ask for, if they do.

    Raises:
        InvalidLabelError: they make no sense.
    """
    if UID_MAPPING not in labels and GID_MAPPING not in labels:
        return None
    owner = Owner(_root_in(labels, UID_MAPPING), _root_in(labels, GID_MAPPING))
    return IdMapping(owner, (f"uidmap={labels[UID_MAPPING]}", f"gidmap={labels[GID_MAPPING]}"))


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
