"""Which containers must be started again, and what they are called: put together from the mount table, the records and containerd."""

from collections.abc import Iterable, Iterator, Mapping

from fs.mounting import mount_table
from snapshotter.commands.doctor_checks import Finding
from snapshotter.config import ServeSettings
from snapshotter.container_names import container_names
from snapshotter.cut_off import CutOff, cut_off_snapshots
from snapshotter.errors import FsServerError
from snapshotter.fs_client import FsClient
from snapshotter.records import Record, read_records

_ADVICE = "start it again: delete its pod, or stop and start it; new containers are not concerned"


def named_cut_off(
    settings: ServeSettings, records: Iterable[Record], containerd: str
) -> Mapping[str, CutOff]:
    """The containers that lost their layers, by what people call them; the fs server must be running.

    Args:
        settings: where the daemon is.
        records: all snapshots.
        containerd: its socket.
    """
    found = cut_off_snapshots(
        mount_table(),
        records,
        fs_root=settings.fs_root,
        snapshots=settings.snapshotter_root / "snapshots",
    )
    if not found:
        return {}
    names = container_names(containerd, [one.snapshot for one in found])
    return {names[one.snapshot]: one for one in found}


def check_containers(settings: ServeSettings, containerd: str) -> Iterator[Finding]:
    """Whether any container lost its layers; nothing while the fs server is away, which is told elsewhere."""
    try:
        with FsClient(settings.fs_socket, lambda: False) as client:
            client.served()
    except (FsServerError, PermissionError):
        return
    records = read_records(settings.records_file)
    lost = named_cut_off(settings, records, containerd)
    for name, one in lost.items():
        what = f"cannot read {len(one.layers)} of its layers: who served them was killed"
        yield Finding.problem("container", what, advice=_ADVICE, subject=name)
    if not lost:
        yield Finding.ok("container", "none has lost its layers")
