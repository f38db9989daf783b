"""Who asked a registry for what: its access log as values."""

import http.client
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.real_registry import RealRegistry

_ACCESS = re.compile(
    r'^\S+ \S+ \S+ \[[^]]*\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+) (?P<size>\d+) "[^"]*" "(?P<agent>[^"]*)"'
)
_SYNCHRONIZING = "pyestargz-tests-synchronize"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Access:
    """One request a registry answered."""

    method: str
    path: str
    status: int
    size: int
    user_agent: str

    @property
    def is_blob_read(self) -> bool:
        """Whether blob content was asked for."""
        return self.method == "GET" and "/blobs/sha256:" in self.path

    @property
    def is_containerd(self) -> bool:
        """Whether containerd itself asked, not a snapshotter."""
        return self.user_agent.startswith("containerd/")


def parse_accesses(lines: Iterable[str]) -> list[Access]:
    """Return the requests in a registry's log, skipping lines of other kinds."""
    matches = [
        match
        for line in lines
        if (match := _ACCESS.match(line)) and match["agent"] != _SYNCHRONIZING
    ]
    return [
        Access(
            match["method"], match["path"], int(match["status"]), int(match["size"]), match["agent"]
        )
        for match in matches
    ]


def synchronize(registry: RealRegistry) -> None:
    """Wait until the log holds every request that was answered before this call.

    Raises:
        ProcessFailedError: The registry does not log any more.
    """
    path = f"/v2/?{_SYNCHRONIZING}={next(_numbers)}"
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    try:
        connection.request("GET", path, headers={"User-Agent": _SYNCHRONIZING})
        connection.getresponse().read()
    finally:
        connection.close()
    assert registry._process is not None
    registry._process.wait_for_line(re.escape(f'"GET {path} '), deadline_seconds=10)
