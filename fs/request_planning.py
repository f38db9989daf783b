"""Which members travel in one request. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fs.chunk_table import ChunkTable
from fs.read_ahead import ReadAheadSettings

_BDP_ROOM = 2
# Tables of contents of a distribution's layers have 50 to 200 KiB, compressed.
_LEAST_TAIL_BYTES, _USUAL_TAIL_BYTES, _MOST_TAIL_BYTES = 64 << 10, 256 << 10, 1 << 20
_OPENED_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How fetching trades requests against bytes, and how long it is patient.

    Attributes:
        read_ahead: how much comes along unasked.
        max_request_bytes: the largest request for what somebody waits for, unless a single member is larger.
        read_through_bytes: a gap this small always costs less than another request.
        max_read_through_bytes: a larger one never does, however fast and far away the registry is.
        join_bytes: what an open request will bring within so many bytes is waited for there.
        max_join_bytes: what lies further ahead never is, however fast and far away the registry is.
        stuck_seconds: after so long a silence, nobody new waits for what a request brings that was made for nobody.
        inline_decode_bytes: below, a thread costs more than the decoding.
        silence_seconds: how long a flight may go without a byte, all attempts of the client together, before it fails.
    """

    read_ahead: ReadAheadSettings = field(default_factory=ReadAheadSettings)
    max_request_bytes: int = 8 << 20
    read_through_bytes: int = 16 << 10
    max_read_through_bytes: int = 1 << 20
    join_bytes: int = 256 << 10
    max_join_bytes: int = 4 << 20
    stuck_seconds: float = 0.5
    inline_decode_bytes: int = 64 << 10
    silence_seconds: float = 60.0

    def gap_bytes(self, link_bytes: int) -> int:
        """The largest gap between two wanted members that is read through.

        Args:
            link_bytes: what the link carries in a round trip.
        """
        return max(self.read_through_bytes, min(link_bytes, self.max_read_through_bytes))

    def join_distance(self, link_bytes: int) -> int:
        """How far ahead of an open request a member may end so that waiting beats asking for it separately."""
        return max(self.join_bytes, min(_BDP_ROOM * link_bytes, self.max_join_bytes))


def tail_bytes(link_bytes: int) -> int:
    """How much of a blob's end is asked for so that the TOC is among it: less costs a second request, more delays others.

    The layers of an image are opened at the same time, so each takes a part of what the link carries.

    Args:
        link_bytes: what the link carries in a round trip; 0 while unknown.
    """
    share = link_bytes // _OPENED_AT_ONCE if link_bytes else _USUAL_TAIL_BYTES
    return min(max(share, _LEAST_TAIL_BYTES), _MOST_TAIL_BYTES)


def plan_requests(
    numbers: Sequence[int], chunks: ChunkTable, *, gap_bytes: int, max_bytes: int
) -> list[range]:
    """Groups members, given in blob order, into the requests that bring them: each a run of members, gaps included."""
    requests: list[range] = []
    for number in numbers:
        member = chunks.member(number)
        if requests:
            first, last = chunks.member(requests[-1][0]), chunks.member(requests[-1][-1])
            near = member.start - last.end <= gap_bytes
            if near and member.end - first.start <= max_bytes:
                requests[-1] = range(requests[-1].start, number + 1)
                continue
        requests.append(range(number, number + 1))
    return requests


def plan_following(
    last: int,
    chunks: ChunkTable,
    *,
    end: int,
    gap_bytes: int,
    is_missing: Callable[[int], bool],
) -> list[int]:
    """The members behind ``last`` that should come along with it.

    Args:
        last: the number of a request's last member.
        chunks: the members.
        end: the blob offset that the request should not exceed.
        gap_bytes: the largest gap, of members that are here already, that is read through.
        is_missing: whether a member is not here yet, and not on its way.
    """
    following: list[int] = []
    reached = chunks.member(last).end if last >= 0 else 0
    for number in range(last + 1, chunks.member_count):
        member = chunks.member(number)
        if member.end > end or member.start - reached > gap_bytes:
            break
        if is_missing(number):
            following.append(number)
            reached = member.end
    return following


def mark_position(numbers: Sequence[int], chunks: ChunkTable, *, window: int) -> int:
    """The member of a request behind whose beginning half a window is left: reading it means to go on."""
    end = chunks.member(numbers[-1]).end
    for number in reversed(numbers):
        if end - chunks.member(number).start >= window // 2:
            return number
    return numbers[0]
