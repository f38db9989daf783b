"""The wire of the emulated network: what it costs in time to carry bytes, and to open a connection."""

from dataclasses import dataclass

import trio

# A timer wakes up to a millisecond late; that much may be made up for, or the wire could never be full.
_CATCH_UP_SECONDS = 0.003
_PIECE_SECONDS = 0.002
_SMALLEST_PIECE_BYTES = 16 << 10
_LARGEST_PIECE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProfile:
    """What an emulated network is like.

    Attributes:
        name: what results call it.
        rtt_ms: the round-trip time, between a request and the first byte of its answer.
        mbit: the bandwidth in each direction, shared by all connections; infinite by default.
        setup_round_trips: what opening a connection costs: 1 for TCP, 2 with TLS 1.3.
        token_auth: the registry wants a bearer token, which anybody gets.
        redirects: blobs are not where the registry is, as behind a content delivery network.
    """

    name: str = "custom"
    rtt_ms: float = 0.0
    mbit: float = float("inf")
    setup_round_trips: int = 2
    token_auth: bool = False
    redirects: bool = False

    @property
    def rtt_seconds(self) -> float:
        """The round-trip time in seconds."""
        return self.rtt_ms / 1000

    @property
    def bytes_per_second(self) -> float:
        """The bandwidth in bytes."""
        return self.mbit * 1e6 / 8


PROFILES = {
    profile.name: profile
    for profile in (
        NetworkProfile(name="loopback"),
        NetworkProfile(
            name="1gbit-10ms", rtt_ms=10.0, mbit=1000.0, token_auth=True, redirects=True
        ),
        NetworkProfile(
            name="100mbit-50ms", rtt_ms=50.0, mbit=100.0, token_auth=True, redirects=True
        ),
    )
}


class Link:
    """One direction of the wire, shared by all connections: whose turn it is, and how long a piece takes."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._turn = trio.Lock()  # first come, first served: so connections share evenly
        self._free_at = 0.0
        self.bytes_carried = 0
        piece = min(bytes_per_second * _PIECE_SECONDS, _LARGEST_PIECE_BYTES)
        self.piece_bytes = max(_SMALLEST_PIECE_BYTES, int(piece))

    def __repr__(self) -> str:
        return f"<Link {self._bytes_per_second * 8 / 1e6:g} Mbit/s, {self.bytes_carried} bytes>"

    async def carry(self, size: int) -> None:
        """Returns when ``size`` bytes, at most ``piece_bytes``, have left."""
        async with self._turn:
            self.bytes_carried += size
            now = trio.current_time()
            self._free_at = max(self._free_at, now - _CATCH_UP_SECONDS)
            self._free_at += size / self._bytes_per_second
            if self._free_at > now:
                await trio.sleep_until(self._free_at)
