"""An emulated network: a TCP proxy with a round-trip time and a bandwidth.

``python -m benchmarks.network --target HOST:PORT [--rtt-ms N] [--mbit N]`` listens on a free loopback
port, prints it in one line, and forwards until it is terminated; then it prints, as JSON, what passed.

Half the round-trip time is added in each direction, a whole one to each new connection (TCP's
handshake). The bandwidth is shared by all connections in the direction from the target.
"""

import argparse
import json
import signal
from dataclasses import asdict, dataclass

import trio

_PIECE_BYTES = 64 << 10
_QUEUED_PIECES = 256


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed."""

    connections: int
    bytes_up: int
    bytes_down: int


class Link:
    """One direction of the wire: when a piece that is sent now arrives."""

    def __init__(self, *, delay_seconds: float, bytes_per_second: float) -> None:
        self._delay_seconds = delay_seconds
        self._bytes_per_second = bytes_per_second
        self._free_at = 0.0
        self.bytes_carried = 0

    def arrival(self, size: int) -> float:
        """Books the wire for ``size`` bytes; the time, on trio's clock, when the last one arrives."""
        self.bytes_carried += size
        start = max(trio.current_time(), self._free_at)
        self._free_at = start + size / self._bytes_per_second
        return self._free_at + self._delay_seconds


async def _carry(source: trio.SocketStream, sink: trio.SocketStream, link: Link) -> None:
    """Moves bytes until the source ends."""
    send, receive = trio.open_memory_channel[tuple[float, bytes]](_QUEUED_PIECES)

    async def deliver() -> None:
        async for arrival, data in receive:
            await trio.sleep_until(arrival)
            await sink.send_all(data)
        await sink.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver)
        async with send:
            while data := await source.receive_some(_PIECE_BYTES):
                await send.send((link.arrival(len(data)), data))


async def forward(
    target: tuple[str, int], *, rtt_seconds: float, bytes_per_second: float
) -> Traffic:
    """Listens, forwards until SIGTERM or SIGINT, and tells what passed."""
    connections = 0
    up = Link(delay_seconds=rtt_seconds / 2, bytes_per_second=float("inf"))
    down = Link(delay_seconds=rtt_seconds / 2, bytes_per_second=bytes_per_second)

    async def connect(client: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await trio.sleep(rtt_seconds)
        try:
            async with await trio.open_tcp_stream(*target) as server, trio.open_nursery() as both:
                both.start_soon(_carry, client, server, up)
                await _carry(server, client, down)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # either end may hang up when it likes

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        print(listeners[0].socket.getsockname()[1], flush=True)
        nursery.start_soon(trio.serve_listeners, connect, listeners)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                nursery.cancel_scope.cancel()
    return Traffic(connections, up.bytes_carried, down.bytes_carried)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="HOST:PORT to forward to")
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--mbit", type=float, default=float("inf"))
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")

    async def run() -> Traffic:
        return await forward(
            (host, int(port)),
            rtt_seconds=options.rtt_ms / 1000,
            bytes_per_second=options.mbit * 1e6 / 8,
        )

    print(json.dumps(asdict(trio.run(run))), flush=True)


if __name__ == "__main__":
    main()
