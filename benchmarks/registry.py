"""Ranges out of a registry: how fast this client reads them, against curl on the same ranges in the same run.

    python -m benchmarks.registry [--networks NAME,...] [--rounds N] [--seconds S] [--json FILE]

nginx serves one blob of random bytes; the emulated network is between it and both clients, except on the bare loopback. They take
turns, and the median of the rounds counts. The budgets: at ranges of 1 MiB at least 0.9 of curl's throughput on every
emulated network, and at least 0.5 on the bare loopback. The last table is curl alone, over TLS: HTTP/1.1 against HTTP/2.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.network import EmulatedNetwork, NetworkProfile
from benchmarks.registry_clients import Blob, Timing, read_by_curl, read_by_us
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


@dataclass(frozen=True, slots=True)
class Row:
    """Both clients on the same ranges: medians.

    Attributes:
        ratio: our throughput as a fraction of curl's.
        budget: what the ratio should at least be; None where nobody promises anything.
    """

    network: str
    range_bytes: int
    concurrency: int
    ours_per_second: float
    curl_per_second: float
    ours_cpu_ms: float
    curl_cpu_ms: float
    ratio: float
    budget: float | None

    @property
    def megabytes_per_second(self) -> float:
        """Our throughput."""
        return self.ours_per_second * self.range_bytes / 1e6


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
    """HTTP/1.1 and HTTP/2 over TLS on the loopback, both by curl: ranges per second."""
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


def print_tables(rows: Sequence[Row], versions: Sequence[dict[str, float]]) -> None:
    console = Console(width=120)
    table = Table(title="ranges: ours and curl's")
    for name in ("network", "KiB", "at once", "ours/s", "curl/s", "ours MB/s", "of curl", "budget",
                 "CPU ms", "curl CPU ms"):  # fmt: skip
        table.add_column(name, justify="left" if name == "network" else "right")
    for row in rows:
        met = (
            ""
            if row.budget is None
            else f"{row.budget} {'met' if row.ratio >= row.budget else 'MISSED'}"
        )
        table.add_row(
            row.network, str(row.range_bytes >> 10), str(row.concurrency),
            f"{row.ours_per_second:.0f}", f"{row.curl_per_second:.0f}",
            f"{row.megabytes_per_second:.1f}", f"{row.ratio:.2f}", met,
            f"{row.ours_cpu_ms:.2f}", f"{row.curl_cpu_ms:.2f}",
        )  # fmt: skip
    console.print(table)
    table = Table(title="curl over TLS on the loopback: ranges per second")
    for name in ("KiB", "at once", "HTTP/1.1", "HTTP/2"):
        table.add_column(name, justify="right")
    for version in versions:
        table.add_row(
            f"{version['range_bytes'] / 1024:.0f}", f"{version['concurrency']:.0f}",
            f"{version['http1_per_second']:.0f}", f"{version['http2_per_second']:.0f}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="which, by name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="about, for each measurement")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    keep_freed_memory()  # as the fs server does
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        blob = Blob(directory, pieces=BLOB_MEBIBYTES)
        pace = {"rounds": options.rounds, "seconds": options.seconds}
        with Nginx(directory / "nginx", f"root {directory};") as nginx:
            for network in options.networks.split(","):
                with contextlib.ExitStack() as stack:
                    host, profile = nginx.host, NETWORKS[network]
                    if profile is not None:
                        host = stack.enter_context(EmulatedNetwork(nginx.host, profile)).host
                    rows += measure(network, host, blob, **pace)
        versions = compare_http_versions(directory, blob, **pace)
    print_tables(rows, versions)
    if options.json:
        found = {
            "machine": describe(),
            "ranges": [asdict(row) for row in rows],
            "http_versions": versions,
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
