"""Where the time of one cold start goes: a waterfall of containerd, Prepare, opening, and fetches with the files they are for.

    python -m benchmarks.profile WORKLOAD [--mode NAME] [--profile NAME] [--chart FILE.svg]

Nothing in what is measured is changed: calls are seen by a tap on the snapshotter's socket, requests by the emulated network,
and CPU time in /proc. Which files a range holds is read off the layer's table of contents.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from rich.console import Console

from benchmarks.cpu_watch import CpuWatch
from benchmarks.images import recipes
from benchmarks.modes import OUR_MODES, EmptyNode, empty_page_cache
from benchmarks.network import PROFILES, EmulatedNetwork, NetworkProfile, Request, RequestKind
from benchmarks.publishing import Published, Publisher
from benchmarks.rpc_tap import RpcTap
from benchmarks.starts import Start
from benchmarks.startup import DEFAULT_CACHE
from benchmarks.waterfall import Span, covered_seconds, draw, text_rows
from benchmarks.workloads import WORKLOADS, Workload
from estargz.toc import Toc, parse_toc
from tests.e2e.containerd import Containerd
from tests.e2e.snapshotter_process import Snapshotter

_LAZY_MODES = ("unoptimized", "optimized")
_NAMES_SHOWN = 3
_LARGEST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Traced:
    """One start, all its spans, and the CPU time of our processes in each step."""

    start: Start
    spans: Sequence[Span]
    cpu_seconds: dict[str, float]


class LayerFiles:
    """Which files the ranges of a layer's blob hold."""

    def __init__(self, toc: Toc) -> None:
        found: dict[int, list[str]] = {}
        for entry in toc.entries:
            if entry.offset and entry.type in ("reg", "chunk"):
                found.setdefault(entry.offset, []).append(entry.name)
        self._starts = sorted(found)
        self._names = found

    def in_range(self, first: int, last: int) -> list[str]:
        """The files that begin in these bytes, or of which a chunk does."""
        inside = (start for start in self._starts if first <= start <= last)
        return list(dict.fromkeys(name for start in inside for name in self._names[start]))


def layer_files(root: Path) -> dict[str, LayerFiles]:
    """The files of all layers that a snapshotter keeps below its root, by layer digest."""
    found = {}
    for path in root.rglob("toc.json.zst"):
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
        found[f"sha256:{path.parent.name}"] = LayerFiles(parse_toc(raw))
    return found


def trace(workload: Workload, published: Published, profile: NetworkProfile) -> Traced:
    """Starts a workload on an empty node with all taps in place."""
    with (
        EmulatedNetwork(published.host, profile) as network,
        Snapshotter() as ours,
        RpcTap(ours.socket, ours.directory / "tap.sock") as tap,
        Containerd(snapshotters={"stargz": tap.socket}) as containerd,
    ):
        node = EmptyNode(ctr=containerd.ctr(), network=network, snapshotter="stargz", ours=ours)
        empty_page_cache(published)
        with (
            CpuWatch(ours.directory) as cpu,
            node.start(published.image.through(network.host), workload) as start,
        ):
            files = layer_files(ours.root)
        node.require_lazy(start, published)
    steps = list(_steps(start))
    calls = [
        Span(
            "rpc", call.began - start.began, call.ended - start.began, f"{call.method} {call.code}"
        )
        for call in tap.calls
        if start.began <= call.began < start.began + start.total_seconds
    ]
    requests = [_request_span(request, start.began, files) for request in start.traffic.requests]
    used = {
        step.label: cpu.cpu_seconds(start.began + step.began, start.began + step.ended)
        for step in steps
    }
    return Traced(start, [*steps, *calls, *requests], used)


def _steps(start: Start) -> Iterator[Span]:
    end = 0.0
    for name in ("pull", "create", "run"):
        seconds: float = getattr(start, f"{name}_seconds")
        yield Span("step", end, end + seconds, name)
        end += seconds


def _request_span(request: Request, start: float, files: dict[str, LayerFiles]) -> Span:
    kind, what = "containerd", request.kind.value
    if request.range and request.kind in (RequestKind.BLOB, RequestKind.REDIRECT):
        kind = "opening" if request.range.startswith("bytes=-") else "fetch"
        what = f"{request.kind.value} {request.digest[7:15]} {request.range}"
        first, _, last = request.range.removeprefix("bytes=").partition("-")
        if kind == "fetch" and last and request.digest in files:
            names = files[request.digest].in_range(int(first), int(last))
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            what += f" {', '.join(names[:_NAMES_SHOWN])}{more}"
    label = f"{what}, {request.body_bytes} bytes"
    return Span(kind, request.began - start, request.ended - start, label)


def summary_rows(traced: Traced) -> Iterator[str]:
    """For each step: how much of it each kind of span covers, and what CPU time our processes used."""
    kinds = list(dict.fromkeys(span.kind for span in traced.spans if span.kind != "step"))
    for step in (span for span in traced.spans if span.kind == "step"):
        covered = {
            kind: covered_seconds(
                (span for span in traced.spans if span.kind == kind), step.began, step.ended
            )
            for kind in kinds
        }
        other = step.seconds - covered_seconds(
            (span for span in traced.spans if span.kind != "step"), step.began, step.ended
        )
        parts = [f"{kind} {seconds * 1000:.0f}" for kind, seconds in covered.items() if seconds]
        yield (
            f"{step.label:7}{step.seconds * 1000:6.0f} ms: {', '.join(parts) or 'none of these'}; "
            f"nothing of all that {other * 1000:.0f}; our CPU {traced.cpu_seconds[step.label] * 1000:.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--mode", choices=_LAZY_MODES, default="unoptimized")
    parser.add_argument("--profile", choices=PROFILES, default="1gbit-10ms")
    parser.add_argument("--chart", type=Path, help="also draw it, as SVG or PNG")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="built images")
    options = parser.parse_args()
    workload, console = WORKLOADS[options.workload], Console(width=200, highlight=False)
    with Publisher(options.cache, recipes(), console.print) as publisher:
        published = publisher.publish(workload, OUR_MODES[options.mode].variant)
        traced = trace(workload, published, PROFILES[options.profile])
    title = (
        f"{workload.name}, {options.mode}, {options.profile}: {traced.start.total_seconds:.2f} s"
    )
    console.print(title)
    for row in (*summary_rows(traced), "", *text_rows(traced.spans, traced.start.total_seconds)):
        console.print(row, markup=False, soft_wrap=True)
    waits = [span for span in traced.spans if span.kind != "step"]
    console.print("\nlongest:")
    for span in sorted(waits, key=lambda span: -span.seconds)[:_LARGEST_SHOWN]:
        console.print(f"{span.seconds * 1000:7.0f} ms {span.kind} {span.label}", markup=False)
    if options.chart:
        draw(traced.spans, title, options.chart)


if __name__ == "__main__":
    main()
