"""What ``test_rootless`` runs as root of a user namespace: a daemon, two lazy layers, a container's mount of both.

Reads a description of the layers as JSON from the command line, and prints what the mount shows as JSON.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

import grpc

from snapshotter.mounts import Mount
from tests.snapshotter.daemon_home import home_in
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused


def main() -> None:
    directory, layers = Path(sys.argv[1]), json.loads(sys.argv[2])
    with home_in(directory) as home, home.serving(), home.snapshots() as snapshots:
        parent = ""
        for labels in layers:
            parent = _pull(snapshots, labels, parent)
        (mount,) = snapshots.prepare("container", parent, {})
        target = directory / "target"
        target.mkdir()
        _mount(mount, target)
        try:
            (target / "etc" / "new").write_text("new")
            (target / "etc" / "hello").chmod(0o600)
            shown = {
                str(path.relative_to(target)): path.read_text() if path.is_file() else ""
                for path in sorted(target.rglob("*"))
            }
            print(json.dumps({"options": mount.options, "shown": shown}))  # noqa: T201 - its answer
        finally:
            ctypes.CDLL(None).umount2(os.fsencode(target), 2)
            home.stop()


def _pull(snapshots: RemoteSnapshots, labels: dict[str, str], parent: str) -> str:
    chain = labels["containerd.io/snapshot.ref"]
    with refused(grpc.StatusCode.ALREADY_EXISTS):
        snapshots.prepare(f"extract {chain}", parent, labels)
    return chain


def _mount(mount: Mount, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = ",".join(mount.options).encode()
    if libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), mount.options)


if __name__ == "__main__":
    main()
