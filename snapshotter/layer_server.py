"""What the snapshotter asks of whoever serves layers: the fs server, or a fake in tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fs.cache_usage import CacheStatistics
from fs.durations import Histogram
from fs.fetch_counters import FetchStatistics
from fs.layer_source import LayerSource
from registry.digest import Digest


@dataclass(frozen=True, slots=True)
class ServedLayer:
    """One layer that can be read, and what it cost; only the fs server tells more than the first two.

    Attributes:
        present_bytes: File content that is verified and on disk.
        content_bytes: All file content.
        blob_bytes: Compressed size.
        fetched_bytes: What was received, wrong bytes and the TOC included.
        requests: How many it took.
        verify_failures: How many chunks came with wrong content.
        last_error: What failed last; empty if nothing did.
        directory: Where it can be read.
        fetching: What fetching cost, and for whom.
    """

    layer_digest: Digest
    present_bytes: int
    content_bytes: int = 0
    blob_bytes: int = 0
    fetched_bytes: int = 0
    requests: int = 0
    verify_failures: int = 0
    last_error: str = ""
    directory: str = ""
    fetching: FetchStatistics = field(default_factory=FetchStatistics)


@dataclass(frozen=True, slots=True)
class FsStatus:
    """What an fs server serves, and what that cost.

    Attributes:
        version: Of the program that it runs; an older one after an upgrade.
        layers: What is attached.
        fetching: What fetching cost since it started, of layers that are gone, too.
        cache: What all content takes on disk.
        durations: How long its operations take.
    """

    version: str = ""
    layers: Mapping[Digest, ServedLayer] = field(default_factory=dict)
    fetching: FetchStatistics = field(default_factory=FetchStatistics)
    cache: CacheStatistics | None = None
    durations: Sequence[Histogram] = ()


class LayerServer(Protocol):
    """Makes layers readable as directories. May be called from many threads at once."""

    def attach(self, source: LayerSource) -> Path:
        """Makes a layer readable and tells where; costs no request if it was attached before.

        Raises:
            LayerUnavailableError: it cannot be served.
            FsServerError: there is no server, and none could be started.
        """
        ...

    def detach(self, layer: Digest) -> None:
        """Forgets a layer, and what was kept of it.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...

    def missing(self, layers: Collection[Digest]) -> set[Digest]:
        """Those that cannot be read now; never waits for the network.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...

    def missing_at_start(self, layers: Collection[Digest]) -> set[Digest]:
        """As ``missing``, for a container that starts: returns when it may, which settings can put off until a prefetch is done.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...

    def served(self) -> Mapping[Digest, ServedLayer]:
        """The layers that are attached; never waits for the network.

        Raises:
            FsServerError: there is no server, and none could be started.
        """
        ...
