"""Remembering where blobs really are, so that a range costs one request and not two."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from registry.digest import Digest
from registry.endpoints import Endpoint
from registry.reference import Repository

MAX_REMEMBERED: Final = 4096
MAX_HOPS: Final = 5
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})


# A blob of a repository, as one endpoint has it.
BlobAt = tuple[Endpoint, Repository, Digest]


@dataclass(frozen=True, slots=True)
class _Target:
    url: str = field(repr=False)
    good_until: float


class RedirectMemory:
    """The last good redirect target of each blob; the least recently used ones are forgotten first.

    Targets are signed URLs and must not be printed.
    """

    def __init__(self, *, max_entries: int = MAX_REMEMBERED) -> None:
        self._max_entries = max_entries
        self._targets: OrderedDict[BlobAt, _Target] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RedirectMemory {len(self._targets)} targets>"

    def recall(self, blob: BlobAt, *, now: float) -> str | None:
        """Where the blob was found the last time, unless that is good no longer."""
        target = self._targets.get(blob)
        if target is None:
            return None
        if now >= target.good_until:
            del self._targets[blob]
            return None
        self._targets.move_to_end(blob)
        return target.url

    def remember(self, blob: BlobAt, url: str, *, good_until: float = math.inf) -> None:
        """Keeps where the blob was found."""
        self._targets[blob] = _Target(url, good_until)
        self._targets.move_to_end(blob)
        while len(self._targets) > self._max_entries:
            self._targets.popitem(last=False)

    def forget_blob(self, blob: BlobAt) -> None:
        """Drops whatever is known of a blob."""
        self._targets.pop(blob, None)

    def forget(self, blob: BlobAt, url: str) -> None:
        """Drops a target that failed, unless somebody has found a better one meanwhile."""
        known = self._targets.get(blob)
        if known is not None and known.url == url:
            del self._targets[blob]
