"""Which members travel in one request. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fs.chunk_table import ChunkTable
from fs.read_ahead import ReadAheadSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How fetching trades requests against bytes."""

    read_ahead: ReadAheadSettings = field(default_factory=ReadAheadSettings)
    max_request_bytes: int = 8 << 20
    read_through_bytes: int = 16 << 10  # a gap this small costs less than another request
    inline_decode_bytes: int = 64 << 10  # below, a thread costs more than the decoding


def plan_requests(
    numbers: Sequence[int], chunks: ChunkTable, settings: FetchSettings
) -> list[list[int]]:
    """Groups members, given in blob order, into the requests that bring them."""
    requests: list[list[int]] = []
    for number in numbers:
        member = chunks.member(number)
        if requests:
            first, last = chunks.member(requests[-1][0]), chunks.member(requests[-1][-1])
            near = member.start - last.end <= settings.read_through_bytes
            if near and member.end - first.start <= settings.max_request_bytes:
                requests[-1].append(number)
                continue
        requests.append([number])
    return requests
