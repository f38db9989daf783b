"""An emulated network in front of a registry: round-trip time, bandwidth, tokens, redirects; and what passed.

    python -m benchmarks.network --target HOST:PORT [--profile NAME] [--rtt-ms N] [--mbit N] ...

listens on a free loopback port, prints ``127.0.0.1:PORT``, and forwards until its stdin ends. For each line on
stdin it prints, as one line of JSON, what passed so far. No privileges are needed, and nothing of the
machine's own network is changed: ``EmulatedNetwork`` runs one as a child process.

TCP's slow start is not emulated: a connection has all of the bandwidth from its first byte.
"""

import argparse
import dataclasses
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

import trio

from benchmarks.network_link import PROFILES, NetworkProfile
from benchmarks.network_log import Request, RequestKind, Traffic
from benchmarks.network_proxy import EmulatedRegistry

__all__ = ["PROFILES", "EmulatedNetwork", "NetworkProfile", "Request", "RequestKind", "Traffic"]


class EmulatedNetwork:
    """An emulated network in front of a registry, in a process of its own; a context manager.

    Attributes:
        host: what to say instead of the registry's ``host:port``.
    """

    def __init__(self, target: str, profile: NetworkProfile) -> None:
        self._command = [sys.executable, "-m", "benchmarks.network", "--target", target]
        self._command += _options_of(profile)
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()
        self.host = ""

    def __repr__(self) -> str:
        return f"<EmulatedNetwork {self.host or 'not started'}>"

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        self.host = self._read_line()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    @property
    def pid(self) -> int:
        """The process that it is."""
        return self._running().pid

    def traffic(self) -> Traffic:
        """What passed so far; any thread may ask."""
        process = self._running()
        if process.stdin is None:
            raise RuntimeError("the emulated network has no input")
        with self._asking:
            process.stdin.write("\n")
            process.stdin.flush()
            line = self._read_line()
        return Traffic.parse(line)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the emulated network is not running")
        return self._process

    def _read_line(self) -> str:
        process = self._running()
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError(f"the emulated network ended with status {process.wait()}")
        return line.strip()


def _options_of(profile: NetworkProfile) -> list[str]:
    words = ["--profile", "loopback", "--rtt-ms", str(profile.rtt_ms), "--mbit", str(profile.mbit)]
    words += ["--setup-round-trips", str(profile.setup_round_trips)]
    words += ["--token-auth" if profile.token_auth else "--no-token-auth"]
    return [*words, "--redirects" if profile.redirects else "--no-redirects"]


def add_profile_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that ``chosen_profile`` understands."""
    flag = argparse.BooleanOptionalAction
    parser.add_argument("--profile", choices=PROFILES, default="loopback")
    parser.add_argument("--rtt-ms", type=float, help="round-trip time, instead of the profile's")
    parser.add_argument("--mbit", type=float, help="bandwidth, instead of the profile's")
    parser.add_argument("--setup-round-trips", type=int, help="cost of opening a connection")
    parser.add_argument("--token-auth", action=flag, help="ask for a token")
    parser.add_argument("--redirects", action=flag, help="blobs are somewhere else")


def chosen_profile(options: argparse.Namespace) -> NetworkProfile:
    """The profile that is named, with what other options change of it."""
    names = {field.name for field in dataclasses.fields(NetworkProfile)} - {"name"}
    changed = {name: value for name in names if (value := getattr(options, name)) is not None}
    profile = PROFILES[options.profile]
    return dataclasses.replace(profile, name="custom", **changed) if changed else profile


async def _run(registry: EmulatedRegistry) -> None:
    async with trio.open_nursery() as nursery:
        print(await nursery.start(registry.serve), flush=True)
        async for line in trio.wrap_file(sys.stdin):
            del line  # whatever it is, it is a question
            print(registry.traffic().dump(), flush=True)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="HOST:PORT to forward to")
    add_profile_options(parser)
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    trio.run(_run, EmulatedRegistry((host, int(port)), chosen_profile(options)))


if __name__ == "__main__":
    main()
