"""Who asked a registry for what: its access log as values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ACCESS = re.compile(
    r'^\S+ \S+ \S+ \[[^]]*\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+) (?P<size>\d+) "[^"]*" "(?P<agent>[^"]*)"'
)


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
    matches = [match for line in lines if (match := _ACCESS.match(line))]
    return [
        Access(
            match["method"], match["path"], int(match["status"]), int(match["size"]), match["agent"]
        )
        for match in matches
    ]
