"""What goes when room is needed. Pure.

Whole layers are looked at, the one that was used longest ago first; what somebody relies on, or used a moment ago, stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layer that might give up content.

    Attributes:
        layer: its digest.
        last_used: when it was last read or attached, in seconds since 1970.
        disk_bytes: how much it takes.
        is_pinned: whether somebody relies on what it has.
    """

    layer: Digest
    last_used: float
    disk_bytes: int
    is_pinned: bool


def plan_eviction(
    candidates: Iterable[Candidate], wanted_bytes: int, *, used_before: float
) -> list[tuple[Digest, int]]:
    """Which layers give up how much, in this order; together what is wanted, or all that can go.

    Args:
        candidates: all layers.
        wanted_bytes: how much room is needed.
        used_before: layers that were used later stay.
    """
    plan = []
    going = (c for c in candidates if c.disk_bytes and not c.is_pinned)
    for candidate in sorted(going, key=lambda c: c.last_used):
        if wanted_bytes <= 0 or candidate.last_used >= used_before:
            break
        size = min(candidate.disk_bytes, wanted_bytes)
        plan.append((candidate.layer, size))
        wanted_bytes -= size
    return plan
