"""What the registry benchmark found: kept as JSON, network by network, and shown as tables."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

_COLUMNS = (
    "network", "KiB", "at once", "ours/s", "curl/s", "ours MB/s", "of curl", "budget", "CPU ms", "curl CPU ms",
)  # fmt: skip
_VERSION_COLUMNS = ("KiB", "at once", "HTTP/1.1", "HTTP/2")
_INTRODUCTION = """\
# Ranges out of a registry

Made by `python -m benchmarks.registry`: this client and curl read the same ranges of a blob from nginx, in turns; *of curl* is our throughput
as a fraction of curl's, the median of the rounds. CPU is the client's own, for each range. Connections are opened anew in each round.
"""


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

    def cells(self) -> tuple[str, ...]:
        """What tables show of it."""
        met = (
            ""
            if self.budget is None
            else f"{self.budget} " + ("met" if self.ratio >= self.budget else "MISSED")
        )
        return (
            self.network, str(self.range_bytes >> 10), str(self.concurrency),
            f"{self.ours_per_second:.0f}", f"{self.curl_per_second:.0f}", f"{self.megabytes_per_second:.1f}",
            f"{self.ratio:.2f}", met, f"{self.ours_cpu_ms:.2f}", f"{self.curl_cpu_ms:.2f}",
        )  # fmt: skip


@dataclass
class Figures:
    """All rows, in a file that runs add to; in memory alone where there is no file."""

    path: Path | None
    machines: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    http_versions: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """What is in a file; nothing if there is none."""
        if path is None or not path.exists():
            return cls(path)
        found = json.loads(path.read_text())
        rows = [Row(**row) for row in found["ranges"]]
        return cls(path, found["machines"], rows, found["http_versions"])

    def add(self, network: str, rows: Iterable[Row]) -> None:
        """Keeps the figures of a network, in place of those before."""
        self.rows = [*(row for row in self.rows if row.network != network), *rows]
        self.machines[network] = describe()
        if self.path is not None:
            found = {
                "machines": self.machines,
                "ranges": [asdict(row) for row in self.rows],
                "http_versions": self.http_versions,
            }
            self.path.write_text(json.dumps(found, indent=1) + "\n")
            self.path.with_suffix(".md").write_text(self._page())

    def print(self) -> None:
        """Shows the tables on the terminal."""
        console = Console(width=120)
        for title, columns, rows in self._tables():
            table = Table(title=title)
            for column in columns:
                table.add_column(column, justify="left" if column == "network" else "right")
            for row in rows:
                table.add_row(*row)
            console.print(table)

    def _tables(self) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        yield "Ours and curl's", _COLUMNS, [row.cells() for row in self.rows]
        versions: list[tuple[str, ...]] = [
            (
                f"{row['range_bytes'] / 1024:.0f}",
                f"{row['concurrency']:.0f}",
                f"{row['http1_per_second']:.0f}",
                f"{row['http2_per_second']:.0f}",
            )
            for row in self.http_versions
        ]
        yield "curl over TLS on the loopback, ranges per second", _VERSION_COLUMNS, versions

    def _page(self) -> str:
        parts = [_INTRODUCTION]
        for title, columns, rows in self._tables():
            lines = [columns, ("---",) * len(columns), *rows]
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            parts.append(f"## {title}\n\n{table}\n")
        loads = ", ".join(
            f"{network} {machine['load_average']}" for network, machine in self.machines.items()
        )
        machine = next(iter(self.machines.values()))
        parts.append(
            f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}, "
            f"{machine['date']}. Load average at the end of each network: {loads}.\n"
        )
        return "\n".join(parts)
