"""The harness itself, with containerd's own snapshotter: what fails here is not the snapshotter's fault."""

import errno
import hashlib
import http.client
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.ctr import CommandFailedError, Conversation, run_command
from tests.e2e.image_views import mounted_image
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import CHECKOUT
from tests.e2e.specimens import big_file
from tests.e2e.tree import compare_trees, read_tree
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


def test_containerd_starts_and_leaves_nothing_again_and_again() -> None:
    for _ in range(2):
        with Containerd() as containerd:
            assert "1." in containerd.ctr()("version")
        assert not containerd.directory.exists()


def test_the_image_runs_by_ctr(overlay_containerd: Containerd, plain_name: str) -> None:
    ctr = overlay_containerd.ctr()
    ctr.pull(plain_name)
    assert ctr.run(plain_name, ["python3", "-c", "print(1)"], snapshotter="overlayfs") == "1\n"


def test_the_image_runs_in_a_pod(overlay_containerd: Containerd, plain_name: str) -> None:
    with Cri(overlay_containerd.socket) as cri:
        assert cri.version().startswith("containerd")
        assert cri.image_bytes(plain_name) is None
        cri.pull(plain_name)
        pod = cri.run_pod()
        container = cri.run_container(pod, plain_name, ["sleep", "1000"])
        result = cri.exec(container, ["python3", "-c", "print(1)"])
        assert (result.stdout, result.exit_code) == ("1\n", 0)
        cri.remove_container(container)


def test_an_image_left_running_is_cleaned_up(plain_name: str, pause_name: str) -> None:
    with Containerd(sandbox_image=pause_name) as containerd:
        cri = Cri(containerd.socket)
        cri.pull(plain_name)
        cri.run_container(cri.run_pod(), plain_name, ["sleep", "1000"])
    assert not containerd.directory.exists()


def test_the_image_holds_what_its_layers_say(
    overlay_containerd: Containerd, plain_name: str, tmp_path: Path
) -> None:
    ctr = overlay_containerd.ctr()
    ctr.pull(plain_name)
    diff_ids = PublishedImage(plain_name).diff_ids
    with mounted_image(ctr, diff_ids, tmp_path / "view", snapshotter="overlayfs") as view:
        entries = read_tree(view / "specimens")
        assert compare_trees(view / "specimens", view / "specimens") == []
    assert "doomed-file" not in entries
    assert "doomed-dir/inside" not in entries
    assert sorted(name for name in entries if name.startswith("opaque/")) == [
        "opaque/fresh",
        "opaque/kept",
    ]
    assert entries["links/original"].linked_names == {
        "links/original",
        "links/second",
        "links/elsewhere/third",
    }
    assert entries["owners/large"].uid == 1 << 22
    assert entries["nodes/loop"].device == (7, 1234)
    assert entries["xattrs/binary"].xattrs == {("user.bytes", bytes(range(256)))}
    assert {key for key, _ in entries["xattrs/capable"].xattrs} == {"security.capability"}
    assert entries["modes/all"].mode == "0o7777"
    assert entries["times/far-future"].mtime_seconds == 9_000_000_000


def test_trees_that_differ_are_told_apart(tmp_path: Path) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    for root in (left, right):
        root.mkdir()
        (root / "same").write_text("same")
        (root / "content").write_text(root.name)
        (root / "link").symlink_to(root.name)
    (left / "only").touch()
    (right / "mode").touch(mode=0o600)
    (left / "mode").touch(mode=0o644)
    differences = compare_trees(left, right)
    assert "'only': missing" in differences
    assert "'mode': mode is '0o600', expected '0o644'" in differences
    assert "'link': link_target is 'right', expected 'left'" in differences
    assert any(line.startswith("'content': sha256") for line in differences)
    assert not any(line.startswith("'same'") for line in differences)


def test_the_proxy_spoils_blobs_and_only_when_told(registry: RealRegistry, plain_name: str) -> None:
    with FaultyProxy(registry.host) as proxy:
        image = PublishedImage(PublishedImage(plain_name).through(proxy.host))
        blob = image.layer_digests[3]
        sound = image.read_blob(blob)
        assert hashlib.sha256(sound).hexdigest() == blob.removeprefix("sha256:")
        proxy.set_fault(Fault.FLIPPED_BYTES)
        spoiled = image.read_blob(blob)
        assert len(spoiled) == len(sound)
        assert spoiled != sound
        proxy.set_fault(Fault.TRUNCATED)
        with pytest.raises(http.client.IncompleteRead):
            image.read_blob(blob)
        proxy.set_fault(Fault.REFUSED)
        with pytest.raises(http.client.RemoteDisconnected):
            image.read_blob(blob)
        assert PublishedImage(image.name).layer_digests == image.layer_digests
        proxy.set_fault(Fault.NONE)
        assert image.read_blob(blob) == sound
        assert proxy.faults_served == 3


def test_the_registry_log_tells_who_read_what(
    overlay_containerd: Containerd, plain_name: str, new_accesses: Callable[[], list[Access]]
) -> None:
    image = PublishedImage(plain_name)
    new_accesses()
    image.read_blob(image.layer_digests[3])
    mine = [access for access in new_accesses() if access.path.endswith(image.layer_digests[3])]
    assert [(access.status, access.is_containerd) for access in mine] == [(200, False)]
    overlay_containerd.ctr().pull(plain_name)
    reads = [access for access in new_accesses() if access.is_blob_read]
    assert all(access.is_containerd for access in reads)
    assert sum(access.size for access in reads) >= image.layer_bytes
    assert new_accesses() == []


def test_a_container_can_be_talked_to(overlay_containerd: Containerd, plain_name: str) -> None:
    ctr = overlay_containerd.ctr()
    ctr.pull(plain_name)
    with Conversation(ctr, plain_name, ARGV, snapshotter="overlayfs") as container:
        assert container.ask("/specimens/content/one-byte") == digest(b"x")
        assert container.ask("/specimens/content/big") == digest(big_file())
        assert container.ask("/no/such/file") == f"errno {errno.ENOENT}"


def test_a_required_marker_turns_a_skip_into_a_failure(tmp_path: Path) -> None:
    shutil.copyfile(CHECKOUT / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.registry\ndef test_it():\n    pytest.skip('a reason')\n"
    )
    options = [f"--config-file={CHECKOUT}/pyproject.toml", f"--rootdir={tmp_path}"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(tmp_path)]
    assert "SKIPPED" in run_command(command, cwd=tmp_path)
    assert "SKIPPED" in run_command([*command, "--require=fuse"], cwd=tmp_path)
    with pytest.raises(CommandFailedError, match=r"--require=registry, but: .*a reason"):
        run_command([*command, "--require=registry"], cwd=tmp_path)
    with pytest.raises(CommandFailedError, match="not one of"):
        run_command([*command, "--require=nonsense"], cwd=tmp_path)
