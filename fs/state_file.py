"""``/.stargz-snapshotter/<layer digest>.json``: users see in their container what was fetched."""

import msgspec

from fs.layer import LayerStatistics

STATE_DIRECTORY = b".stargz-snapshotter"


class _State(msgspec.Struct, rename="camel", omit_defaults=True):
    """Field names and order are an interface (eStargz snapshotter, "state directory")."""

    error: str = ""
    digest: str | None = None
    size: int | None = None
    fetched_size: int | None = None
    fetched_percent: float | None = None


def dump_state(statistics: LayerStatistics) -> bytes:
    """The file's content: one line of JSON; ``error`` only after a failure."""
    fetched, size = statistics.landed_bytes, statistics.blob_bytes
    state = _State(
        error=statistics.last_error,
        digest=str(statistics.layer),
        size=size,
        fetched_size=fetched,
        fetched_percent=100.0 * fetched / size,
    )
    return msgspec.json.encode(state) + b"\n"


def state_file_name(statistics: LayerStatistics) -> bytes:
    """The file's name in the state directory."""
    return f"{statistics.layer}.json".encode()
