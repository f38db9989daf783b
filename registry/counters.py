"""What a client has done so far, in numbers."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """A record of one moment.

    Attributes:
        connections: connections opened.
        requests: requests sent, those for tokens and those redirected included.
        bytes_received: bytes of bodies received, useless ones included.
        bytes_sent: bytes of bodies sent.
        tokens_fetched: tokens received.
        retries: attempts after the first one.
    """

    connections: int = 0
    requests: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    tokens_fetched: int = 0
    retries: int = 0


@dataclass(slots=True)
class Counters:
    """The running numbers behind ``ClientStatistics``; belongs to one client."""

    connections: int = 0
    requests: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    tokens_fetched: int = 0
    retries: int = 0

    def snapshot(self) -> ClientStatistics:
        """The numbers of now."""
        return ClientStatistics(**asdict(self))
