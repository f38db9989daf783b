"""What an image opens in a sample run comes first in its layers; it is then ready after fewer requests; nothing is left."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from estargz.toc import PREFETCH_LANDMARK, TOC_DIGEST_ANNOTATION
from registry.digest import Digest
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import CommandFailedError, Ctr, run_command
from tests.e2e.image_views import mounted_image
from tests.e2e.leftovers import mounts_under
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import CHECKOUT, Snapshotter, cli_argv
from tests.e2e.specimens import BIG_FILE_BYTES, DIRECTORY
from tests.estargz.blobs import read_toc
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_IMPORT = ["python3", "-c", "import json; print(1)"]
_PYTHON = "usr/bin/python3.11"
_MODULES = "usr/lib/python3.11/json/"
_BIG_FILE = f"{DIRECTORY}/content/big"


@dataclass(frozen=True, slots=True)
class _State:
    """What a containerd has, and what lies in a directory for temporary files."""

    snapshots: set[str]
    containers: str
    images: str
    content: set[str]
    temporary: list[str]
    mounts: list[Path]


def _state(ctr: Ctr, directory: Path) -> _State:
    return _State(
        snapshots=ctr.snapshot_keys(snapshotter="overlayfs"),
        containers=ctr("containers", "ls"),
        images=ctr("images", "ls"),
        content=ctr.content_digests(),
        temporary=sorted(path.name for path in directory.iterdir()),
        mounts=mounts_under(directory),
    )


def _argv(ctr: Ctr, directory: Path, *words: str | Path) -> list[str]:
    address = ("--containerd-address", os.fspath(ctr.socket))
    first, *rest = cli_argv(["optimize", *address, *words])
    return ["env", f"TMPDIR={directory}", first, *rest]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    return directory


def _first_names(name: str) -> list[list[str]]:
    """What comes before the landmark in each layer, the lowest first."""
    image = PublishedImage(name)
    layers = []
    for layer in image.manifest["layers"]:
        expected = Digest.parse(layer["annotations"][TOC_DIGEST_ANNOTATION])
        toc = read_toc(image.read_blob(layer["digest"]), expected=expected)
        names = [entry.name for entry in toc.entries if entry.type != "chunk"]
        has_landmark = PREFETCH_LANDMARK in names
        layers.append(names[: names.index(PREFETCH_LANDMARK)] if has_landmark else [])
    return layers


@pytest.fixture(scope="session")
def optimized(
    plain_name: str, registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The name of the Debian image optimized for an import, and the record of what that opened."""
    name, directory = f"{registry.host}/debian:optimized", tmp_path_factory.mktemp("optimized")
    record = directory / "record"
    with Containerd() as containerd:
        words = [plain_name, name, "--record-out", str(record), "--", *_IMPORT]
        run_command(_argv(containerd.ctr(), directory, *words), cwd=CHECKOUT, timeout_seconds=120)
    return name, record


def test_what_is_opened_comes_first(optimized: tuple[str, Path], plain_name: str) -> None:
    name, record = optimized
    first = _first_names(name)
    together = {path for layer in first for path in layer}
    assert _PYTHON in together
    assert any(path.startswith(_MODULES) and ".py" in path for path in together)
    assert len(together) < 200
    manifest = json.loads(record.read_text().splitlines()[0])["manifestDigest"]
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert {line["manifestDigest"] for line in lines} == {manifest}
    for index, layer in enumerate(first):
        opened = [line["path"] for line in lines if line["layerIndex"] == index]
        # Besides them, there are the directories and link targets that they need.
        assert [path for path in layer if path in set(opened)] == opened


def test_their_converter_reads_our_record(
    overlay_containerd: Containerd,
    optimized: tuple[str, Path],
    plain_name: str,
    registry: RealRegistry,
) -> None:
    name, ctr = f"{registry.host}/debian-go:recorded", overlay_containerd.ctr()
    ctr.pull(plain_name)
    record = ("--estargz-record-in", optimized[1])
    ctr.remote("images", "convert", "--estargz", "--oci", *record, plain_name, name)
    ctr.push(name)
    assert _PYTHON in {path for layer in _first_names(name) for path in layer}


@dataclass(frozen=True, slots=True)
class _Node:
    ctr: Ctr
    snapshotter: Snapshotter


@pytest.fixture
def prefetching_node() -> Iterator[_Node]:
    with (
        Snapshotter("no_background_fetch = true\n") as snapshotter,
        Containerd(snapshotters={"stargz": snapshotter.socket}) as containerd,
    ):
        yield _Node(containerd.ctr(), snapshotter)


def test_it_is_ready_after_fewer_requests(
    prefetching_node: _Node,
    optimized: tuple[str, Path],
    lazy_name: str,
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
) -> None:
    ctr = prefetching_node.ctr
    counts = {}
    for kind, name in {"plain": lazy_name, "optimized": optimized[0]}.items():
        new_accesses()
        ctr.rpull(name)
        assert ctr.run(name, _IMPORT, snapshotter="stargz") == "1\n"
        accesses = [one for one in new_accesses() if one.is_blob_read and not one.is_containerd]
        counts[kind] = len(accesses)
        sent = sum(access.size for access in accesses)
        report(f"{kind}, import json: {len(accesses)} requests, {sent:,} bytes until ready")
    assert counts["optimized"] < counts["plain"]


def test_nothing_is_left(
    overlay_containerd: Containerd, plain_name: str, registry: RealRegistry, temporary: Path
) -> None:
    ctr, target = overlay_containerd.ctr(), f"{registry.host}/debian:once"
    before = _state(ctr, temporary)
    words = (plain_name, target, "--period", "0.5", "--json", "--", "sleep", "1000")
    answer = run_command(_argv(ctr, temporary, *words), cwd=CHECKOUT, timeout_seconds=120)
    assert json.loads(answer)["sample"]["endedBecause"] == "period"
    assert _state(ctr, temporary) == before


def test_images_and_snapshots_of_others_stay(
    overlay_containerd: Containerd, plain_name: str, registry: RealRegistry, temporary: Path
) -> None:
    ctr, target = overlay_containerd.ctr(), f"{registry.host}/debian:twice"
    ctr.pull(plain_name)
    before = _state(ctr, temporary)
    assert len(before.snapshots) == 4
    words = (plain_name, target, "--wait-on-line", "ready", "--json", "--", "sh", "-c")
    script = "touch /new; rm /etc/passwd; echo already; sleep 1000"
    answer = run_command(_argv(ctr, temporary, *words, script), cwd=CHECKOUT, timeout_seconds=120)
    assert json.loads(answer)["sample"]["endedBecause"] == "line"
    assert _state(ctr, temporary) == before
    diff_ids = PublishedImage(plain_name).diff_ids
    with mounted_image(ctr, diff_ids, temporary / "view", snapshotter="overlayfs") as root:
        assert (root / "etc" / "passwd").exists()
        assert not (root / "new").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["--", "/missing/program"], "did not run", id="it does not start"),
        pytest.param(["--user", "nobody-at-all"], "no user 'nobody-at-all'", id="no such user"),
        pytest.param(["--snapshotter", "native"], "overlayfs", id="another snapshotter"),
        pytest.param(["--snapshotter", "none"], "none", id="no snapshotter"),
    ],
)
def test_nothing_is_left_after_a_failure(
    overlay_containerd: Containerd,
    plain_name: str,
    registry: RealRegistry,
    temporary: Path,
    words: list[str],
    reason: str,
) -> None:
    ctr, target = overlay_containerd.ctr(), f"{registry.host}/debian:never"
    before = _state(ctr, temporary)
    with pytest.raises(CommandFailedError, match=reason):
        run_command(_argv(ctr, temporary, plain_name, target, *words), cwd=CHECKOUT)
    assert _state(ctr, temporary) == before
    with pytest.raises(CommandFailedError, match="404"):
        _ = PublishedImage(target).manifest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_the_record_counts(
    overlay_containerd: Containerd,
    plain_name: str,
    registry: RealRegistry,
    temporary: Path,
    number: signal.Signals,
) -> None:
    ctr, target = overlay_containerd.ctr(), f"{registry.host}/debian:interrupted"
    before = _state(ctr, temporary)
    words = ("--period", "1000", "--json", "--", "sh", "-c", "echo running; sleep 1000")
    argv = _argv(ctr, temporary, plain_name, target, *words)
    with subprocess.Popen(
        argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as popen:
        try:
            assert popen.stderr is not None
            assert popen.stderr.readline() == "running\n"
            popen.send_signal(number)
            answer, _ = popen.communicate(timeout=60)
        finally:
            popen.kill()
    assert popen.returncode == 0
    assert json.loads(answer)["sample"]["endedBecause"] == "signal"
    assert {"usr/bin/bash", "usr/bin/sleep"} <= {
        path for layer in _first_names(target) for path in layer
    }
    assert _state(ctr, temporary) == before


def test_a_large_file_comes_first_only_if_half_of_it_is_read(
    overlay_containerd: Containerd, plain_name: str, registry: RealRegistry, temporary: Path
) -> None:
    ctr, target = overlay_containerd.ctr(), f"{registry.host}/debian:large"
    ctr.pull(plain_name)
    left_out = []
    for size in (1, BIG_FILE_BYTES):
        program = f"open({'/' + _BIG_FILE!r}, 'rb', buffering=0).read({size})"
        words = (plain_name, target, "--json", "--", "python3", "-c", program)
        answer = run_command(_argv(ctr, temporary, *words), cwd=CHECKOUT, timeout_seconds=120)
        left_out.append(json.loads(answer)["sample"]["leftOut"])
    # One of three chunks was read.
    assert left_out == [[{"path": _BIG_FILE, "size": BIG_FILE_BYTES, "read": 4 << 20}], []]
    assert _BIG_FILE in {path for layer in _first_names(target) for path in layer}
