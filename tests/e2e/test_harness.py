"""The harness itself, with containerd's own snapshotter: what fails here is not the snapshotter's fault."""

from pathlib import Path

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.image_views import mounted_image
from tests.e2e.tree import compare_trees, read_tree

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
    with mounted_image(ctr, plain_name, tmp_path / "view", snapshotter="overlayfs") as view:
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
