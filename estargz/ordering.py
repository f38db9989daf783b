"""Which entries of a layer come first: those that a container needs at once, so that they can be fetched in one go.

Nothing may be separated from what it needs when the tar is unpacked in order: a moved entry takes along the
directories above it, and a hard link its target. Everything else stays in the order of the tar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from estargz.errors import ConversionError
from estargz.tar_stream import TarEntry, clean_name

_NAMED_IN_ERRORS = 5


class Missing(Enum):
    """What becomes of paths that a layer does not have."""

    REFUSE = "refuse"
    COLLECT = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchList:
    """The paths that are needed first, in the order in which they are needed."""

    paths: tuple[str, ...]
    missing: Missing = Missing.REFUSE


@dataclass(frozen=True, slots=True)
class EntryOrder:
    """The entries of a layer in the order of its blob.

    Attributes:
        first: those that come before the landmark.
        rest: all others.
        missing: paths of the list that the layer does not have.
    """

    first: tuple[TarEntry, ...]
    rest: tuple[TarEntry, ...]
    missing: tuple[str, ...] = ()


def order_entries(entries: Sequence[TarEntry], wanted: PrefetchList) -> EntryOrder:
    """Moves the wanted entries, and what they need, to the front.

    Raises:
        ConversionError: paths are missing, and the list refuses that.
    """
    moving = _Moving({clean_name(entry.name): entry for entry in entries})
    missing = tuple(path for path in wanted.paths if not moving.move(clean_name(path)))
    if missing and wanted.missing is Missing.REFUSE:
        named = ", ".join(repr(path) for path in missing[:_NAMED_IN_ERRORS])
        more = len(missing) - _NAMED_IN_ERRORS
        reason = f"the layer has no {named}" + (f" and {more} more" if more > 0 else "")
        raise ConversionError("with this prefetch list", reason)
    rest = tuple(entry for entry in entries if clean_name(entry.name) not in moving.moved)
    return EntryOrder(tuple(moving.moved.values()), rest, missing)


@dataclass(slots=True)
class _Moving:
    entries: Mapping[str, TarEntry]
    moved: dict[str, TarEntry] = field(default_factory=dict)

    def move(self, path: str) -> bool:
        """Moves an entry behind those moved before, once; says whether there is one."""
        entry = self.entries.get(path)
        if entry is None:
            return False
        # Without recursion: links and paths are as deep as the image's author wanted.
        pending, seen = [path], {path}
        while pending:
            needed = [name for name in self._needs(pending[-1]) if name not in seen]
            if needed:
                seen.update(needed)
                pending.extend(reversed(needed))
                continue
            name = pending.pop()
            self.moved.setdefault(name, self.entries[name])
        return True

    def _needs(self, path: str) -> list[str]:
        """What must come before an entry: the root, the directories above it, and a hard link's target."""
        parts = path.split("/")
        needed = ["", *("/".join(parts[:depth]) for depth in range(1, len(parts)))]
        entry = self.entries[path]
        if entry.type == "hardlink":
            needed.append(clean_name(entry.link_name))
        return [
            name
            for name in needed
            if name != path and name in self.entries and name not in self.moved
        ]
