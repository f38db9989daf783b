"""One lazy image, many containers, two namespaces: fetched once, and gone from the disk with the last of them."""

import gzip
import os
import select
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO, FileIO
from pathlib import Path

import pytest

from tests.e2e.conftest import Node
from tests.e2e.ctr import new_container_id
from tests.e2e.layered_tree import BuiltImage
from tests.e2e.leftovers import mounts_under, processes_under
from tests.e2e.oci_layout import read_blob, read_manifest
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import digest
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import disk_bytes
from tests.fs.fs_server import drop_page_cache

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_CONTAINERS = 50
_SECONDS = 180.0  # of the slowest: all of them compete for the machine
_EVERY = 8  # of the files of a layer, which has some 2000
_ANSWER_SECONDS = 60.0
_IDLE_CONNECTIONS = 10
_VERIFY = """\
read go < /gate/go
if sha256sum --check --status /gate/sums; then echo right; else echo wrong; fi > /gate/answers
sleep 1000
"""


class Gate:
    """A directory in every container, through which all of them are told to begin, and tell how it went.

    Args:
        directory: where it is.
        sums: the digest of each file that a container has to verify.
    """

    def __init__(self, directory: Path, sums: Mapping[str, str]) -> None:
        self._directory = directory
        directory.mkdir()
        lines = [f"{digest}  {path}\n" for path, digest in sums.items()]
        (directory / "sums").write_text("".join(lines))
        for name in ("go", "answers"):
            os.mkfifo(directory / name)

    @property
    def mount(self) -> str:
        """What ``ctr run --mount`` wants."""
        return f"type=bind,src={self._directory},dst=/gate,options=rbind:rw"

    def open(self, containers: int) -> list[str]:
        """Lets so many containers begin, and gives their answers."""
        answers: list[str] = []
        # Opened for both, a pipe waits for nobody and never ends.
        with ExitStack() as stack:
            go, answering = (self._open(name, stack) for name in ("go", "answers"))
            go.write(b"\n" * containers)
            while len(answers) < containers:
                ready, _, _ = select.select([answering], [], [], _ANSWER_SECONDS)
                assert ready, f"only {len(answers)} have answered"
                answers += answering.read(1 << 16).decode().split()
        return answers

    def _open(self, name: str, stack: ExitStack) -> FileIO:
        file = (self._directory / name).open("r+b", buffering=0)
        return stack.enter_context(file)


@pytest.fixture(scope="module")
def sums(image: BuiltImage) -> dict[str, str]:
    """Files of an image's second layer, and their digests."""
    blob = read_blob(image.layout, read_manifest(image.layout)["layers"][1]["digest"])
    with tarfile.open(fileobj=BytesIO(gzip.decompress(blob))) as tar:
        files = [member for member in tar if member.isreg() and member.size][::_EVERY]
        contents = {f"/{member.name}": tar.extractfile(member) for member in files}
        return {path: digest(file.read()) for path, file in contents.items() if file is not None}


def test_fifty_containers_read_one_lazy_image_at_once(
    node: Node,
    lazy_name: str,
    sums: dict[str, str],
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
    tmp_path: Path,
) -> None:
    ctr, image, gate = node.ctr, PublishedImage(lazy_name), Gate(tmp_path / "gate", sums)
    ctr.rpull(lazy_name)
    new_accesses()
    before = _held(node)
    names = [new_container_id("many") for _ in range(_CONTAINERS)]

    def start(name: str) -> None:
        options = ("--detach", "--snapshotter", "stargz", "--mount", gate.mount)
        words = ("run", *options, lazy_name, name, "sh", "-c", _VERIFY)
        ctr(*words, timeout_seconds=_SECONDS)

    _for_all(start, names)
    running = {line.split()[0] for line in ctr("tasks", "ls").splitlines() if "RUNNING" in line}
    assert running == set(names)
    fetched = sum(a.size for a in new_accesses() if a.is_blob_read)
    report(f"{_CONTAINERS} containers started from {fetched:,} bytes of {image.layer_bytes:,}")
    assert fetched < image.layer_bytes / 4
    # All of them share what one mount serves.
    assert _held(node)[1:] == before[1:]

    drop_page_cache()
    assert gate.open(_CONTAINERS) == ["right"] * _CONTAINERS
    read = [a for a in new_accesses() if a.is_blob_read and not a.is_containerd]
    report(f"they verified {len(sums)} files each, in {len(read)} requests together")
    assert sum(a.size for a in read) < image.layer_bytes  # nothing was fetched for each of them

    _for_all(lambda name: ctr("tasks", "rm", "--force", name, timeout_seconds=_SECONDS), names)
    ctr("containers", "rm", *names)
    after = _held(node)
    assert after[0] <= before[0] + _IDLE_CONNECTIONS
    assert after[1:] == before[1:]
    layers = node.snapshotter.root / "stargz" / "layers"
    assert disk_bytes(layers) > fetched / 2
    node.snapshotter.check_images()
    ctr("images", "rm", "--sync", lazy_name)
    assert ctr.snapshot_keys(snapshotter="stargz") == set()
    assert disk_bytes(layers) == 0
    assert mounts_under(node.snapshotter.root / "stargz" / "erofs") == []
    assert list((node.snapshotter.root / "snapshotter" / "snapshots").iterdir()) == []


def _for_all(act: Callable[[str], object], names: list[str]) -> None:
    """Does something with each container, all at once."""
    with ThreadPoolExecutor(_CONTAINERS) as threads:
        list(threads.map(act, names))


def _held(node: Node) -> tuple[int, int, int]:
    """How many descriptors the fs server has, how many mounts there are of it, and how many loop devices lead to its files."""
    root = node.snapshotter.root
    commands = processes_under(node.snapshotter.directory)
    (server,) = (pid for pid, command in commands.items() if "-m fs.server" in command)
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    loops = [file for file in files if str(root) in file.read_text()]
    descriptors = list(Path(f"/proc/{server}/fd").iterdir())
    return len(descriptors), len(mounts_under(root)), len(loops)


def test_two_namespaces_share_what_was_fetched(
    node: Node, lazy_name: str, new_accesses: Callable[[], list[Access]]
) -> None:
    first, second = node.ctr, node.containerd.ctr(namespace="other")
    run = ["sh", "-c", "echo 1"]
    first.rpull(lazy_name)
    assert first.run(lazy_name, run, snapshotter="stargz") == "1\n"
    node.snapshotter.check_images()
    new_accesses()
    second.rpull(lazy_name)
    assert second.run(lazy_name, run, snapshotter="stargz") == "1\n"
    assert [a for a in new_accesses() if a.is_blob_read and not a.is_containerd] == []
    first("images", "rm", "--sync", lazy_name)
    assert second.run(lazy_name, run, snapshotter="stargz") == "1\n"
    second("images", "rm", "--sync", lazy_name)
    assert second.snapshot_keys(snapshotter="stargz") == set()
