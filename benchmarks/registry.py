"""Ranges out of a registry: how fast this client reads them, against curl on the same ranges in the same run.

    python -m benchmarks.registry [--networks NAME,...] [--rounds N] [--seconds S] [--json FILE]

nginx serves one blob of random bytes; the emulated network is between it and both clients, except on the bare loopback. They take
turns, and the median of the rounds counts. The budgets: at ranges of 1 MiB at least 0.9 of curl's throughput on every
emulated network, and at least 0.5 on the bare loopback. The last table is curl alone, over TLS: HTTP/1.1 against HTTP/2.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.network import EmulatedNetwork, NetworkProfile
from benchmarks.registry_clients import Blob, Timing, read_by_curl, read_by_us
from benchmarks.registry_figures import Figures, Row
from fs.heap import keep_freed_memory
from tests.authority import Authority
from tests.nginx import Nginx

BLOB_MEBIBYTES = 128
SIZES = (4 << 10, 64 << 10, 1 << 20)
CONCURRENCIES = (1, 4, 16)
LOOPBACK = "loopback"
NETWORKS: dict[str, NetworkProfile | None] = {
    LOOPBACK: None,
    **{
        f"{speed}-{rtt}ms": NetworkProfile(rtt_ms=rtt, mbit=mbit)
        for speed, mbit in (("1gbit", 1000.0), ("100mbit", 100.0))
        for rtt in (0, 10, 50)
    },
}
_BUDGETED_BYTES = 1 << 20
_MAX_RANGES = 2000


def measure(network: str, host: str, blob: Blob, *, rounds: int, seconds: float) -> Iterator[Row]:
    """All sizes and concurrencies on one network."""
    profile = NETWORKS[network]
    for size in SIZES:
        for concurrency in CONCURRENCIES:
            count = _count_for(profile, size, concurrency, seconds)
            ours, curls = [], []
            for round_ in range(rounds):
                ranges = blob.choose_ranges(size, count, seed=round_)
                ours.append(read_by_us(host, blob.digest, ranges, concurrency))
                curls.append(read_by_curl(f"http://{host}{blob.path}", ranges, concurrency))
            yield _row(network, size, concurrency, ours, curls)


def _count_for(profile: NetworkProfile | None, size: int, concurrency: int, seconds: float) -> int:
    """How many ranges take about so many seconds."""
    per_second = 2000.0 if size < _BUDGETED_BYTES else 600.0
    if profile is not None:
        # The emulation's own work, the wire, and the round trips of each connection.
        by_rtt = concurrency / max(profile.rtt_seconds, 1e-3)
        per_second = min(800.0, profile.bytes_per_second / size, by_rtt)
    return max(2 * concurrency, min(_MAX_RANGES, int(per_second * seconds)))


def _row(network: str, size: int, concurrency: int, ours: list[Timing], curls: list[Timing]) -> Row:
    ours_rate, curl_rate = (
        statistics.median(timing.ranges / timing.seconds for timing in timings)
        for timings in (ours, curls)
    )
    ours_cpu, curl_cpu = (
        statistics.median(1000 * timing.cpu_seconds / timing.ranges for timing in timings)
        for timings in (ours, curls)
    )
    budget = None
    if size == _BUDGETED_BYTES:
        budget = 0.5 if network == LOOPBACK else 0.9
    # Neighbours in time share what else the machine does: the ratio is of pairs, not of medians.
    ratio = statistics.median(
        curl.seconds / our.seconds for our, curl in zip(ours, curls, strict=True)
    )
    return Row(network, size, concurrency, ours_rate, curl_rate, ours_cpu, curl_cpu, ratio, budget)


def compare_http_versions(
    directory: Path, blob: Blob, *, rounds: int, seconds: float
) -> list[dict[str, float]]:
    """HTTP/1.1 and HTTP/2 over TLS, both by curl: ranges per second."""
    certificate, key = Authority(directory).issue("127.0.0.1")
    server = f"root {directory}; ssl_certificate {certificate}; ssl_certificate_key {key};"
    rows = []
    with Nginx(directory / "nginx-tls", server, listen_options="ssl http2") as nginx:
        url = f"https://{nginx.host}{blob.path}"
        for size in SIZES:
            for concurrency in CONCURRENCIES:
                rates: dict[str, list[float]] = {"1.1": [], "2": []}
                for round_ in range(rounds):
                    ranges = blob.choose_ranges(
                        size, int(max(500, 5e7 / size) * seconds / 2), seed=round_
                    )
                    for version, option in (("1.1", "http1.1"), ("2", "http2")):
                        options = (option, "insecure")
                        timing = read_by_curl(url, ranges, concurrency, options=options)
                        rates[version].append(timing.ranges / timing.seconds)
                rows.append(
                    {
                        "range_bytes": size,
                        "concurrency": concurrency,
                        "http1_per_second": statistics.median(rates["1.1"]),
                        "http2_per_second": statistics.median(rates["2"]),
                    }
                )
    return rows


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="which, by name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="about, for each measurement")
    parser.add_argument("--json", type=Path, help="where to add the figures; the tables beside it")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    keep_freed_memory()  # as the fs server does
    figures = Figures.load(options.json)
    networks = options.networks.split(",")
    pace = {"rounds": options.rounds, "seconds": options.seconds}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        blob = Blob(directory, pieces=BLOB_MEBIBYTES)
        if LOOPBACK in networks:
            figures.http_versions = compare_http_versions(directory, blob, **pace)
        with Nginx(directory / "nginx", f"root {directory};") as nginx:
            for network in networks:
                with contextlib.ExitStack() as stack:
                    host, profile = nginx.host, NETWORKS[network]
                    if profile is not None:
                        host = stack.enter_context(EmulatedNetwork(nginx.host, profile)).host
                    figures.add(network, list(measure(network, host, blob, **pace)))
    figures.print()


if __name__ == "__main__":
    main()
