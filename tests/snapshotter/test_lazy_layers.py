"""Lazy layers: served instead of downloaded, or unpacked for a reason that is told; over a fake server."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from registry.digest import Digest
from snapshotter.labels import REMOTE, TOC_DIGEST
from snapshotter.mounts import Kind
from snapshotter.snapshots import Snapshots
from tests.snapshotter.conftest import ROOTED, Site, committed, names
from tests.snapshotter.lazy_images import CHAIN, LAYER, lazy_labels, pulled
from tests.snapshotter.mounting import mounted
from tests.snapshotter.remote_snapshots import RemoteSnapshots, refused

type_of_snapshots = Snapshots | RemoteSnapshots
Code = grpc.StatusCode


@pytest.mark.fuse
def test_a_lazy_layer_needs_no_download(
    snapshots: type_of_snapshots, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    upper = Digest.of(b"upper layer")
    site.layers.put(LAYER, {"lower": "from below"})
    site.layers.put(upper, {"upper": "from above"})
    lower_chain = pulled(snapshots, 1)
    chain = pulled(snapshots, 2, lower_chain, upper)
    assert prepared_values(caplog) == ["true", "true"]
    with mounted(snapshots.prepare("container", chain, ROOTED), site.work / "c") as top:
        assert (top / "lower").read_text() == "from below"
        assert (top / "upper").read_text() == "from above"
        (top / "lower").unlink()
    with mounted(snapshots.view("view", lower_chain, ROOTED), site.work / "v") as top:
        assert [path.name for path in top.iterdir()] == ["lower"]
    assert len(site.layers.attached) == 2
    assert snapshots.usage(chain).size_bytes == len("from above")


def prepared_values(caplog: pytest.LogCaptureFixture) -> list[str]:
    fields: list[dict[str, str]] = [getattr(record, "fields", {}) for record in caplog.records]
    key = "remote-snapshot-prepared"
    return [field[key] for field in fields if key in field]


def test_a_second_pull_finds_the_target_at_once(snapshots: type_of_snapshots, site: Site) -> None:
    chain = pulled(snapshots, 1)
    before = site.records.ids()
    labels = lazy_labels(chain=chain) | {TOC_DIGEST: "not looked at"}
    with refused(Code.ALREADY_EXISTS, "target snapshot"):
        snapshots.prepare("other-namespace/1/extract", "", labels)
    assert site.records.ids() == before
    assert len(site.layers.attached) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({TOC_DIGEST: ""}, "not a digest"),
        ({"containerd.io/snapshot/cri.layer-digest": "sha256:short"}, "sha256:short"),
        ({"containerd.io/snapshot/cri.image-ref": "registry.test/UPPER"}, "cri.image-ref"),
    ],
)
def test_a_layer_that_labels_do_not_tell_of_is_unpacked(
    snapshots: type_of_snapshots,
    site: Site,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, str],
    reason: str,
) -> None:
    caplog.set_level("INFO")
    mounts = snapshots.prepare("extract", "", lazy_labels() | change)
    assert [mount.type for mount in mounts] == ["bind"]
    assert site.layers.attached == []
    assert prepared_values(caplog) == ["false"]
    assert reason in caplog.records[-1].__dict__["fields"]["error"]


@pytest.mark.parametrize("failure", ["layer", "server"])
def test_a_layer_that_cannot_be_attached_is_unpacked(
    snapshots: type_of_snapshots, site: Site, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    if failure == "layer":
        site.layers.unavailable.add(LAYER)
    else:
        site.layers.gone = True
    snapshots.prepare("extract", "", lazy_labels())
    own = site.directories.of(site.records.get("extract").id)
    assert not own.fs.is_symlink()
    assert list(own.fs.iterdir()) == []
    assert prepared_values(caplog) == ["false"]
    assert caplog.records[-1].levelname == "WARNING"
    snapshots.commit("unpacked", "extract", ROOTED)
    assert REMOTE not in snapshots.stat("unpacked").labels


def test_a_target_over_another_parent_is_not_offered(
    snapshots: type_of_snapshots, site: Site
) -> None:
    first = committed(snapshots, "namespace-1/chain")
    second = committed(snapshots, "namespace-2/chain")
    chain = pulled(snapshots, 1, first)
    assert snapshots.prepare("extract", second, lazy_labels(chain=chain))[0].type == "overlay"
    assert snapshots.stat("extract").parent == second


def test_a_name_that_only_looks_like_a_target(snapshots: type_of_snapshots) -> None:
    committed(snapshots, CHAIN)
    assert snapshots.prepare("extract", "", lazy_labels())[0].type == "bind"


def test_racing_pulls_share_one_attempt(snapshots: type_of_snapshots, site: Site) -> None:
    site.layers.gate = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        pulls = [
            threads.submit(snapshots.prepare, f"extract-{number}", "", lazy_labels())
            for number in range(4)
        ]
        assert site.layers.waiting.wait(timeout=20)
        site.layers.gate.set()
        for pull in pulls:
            with refused(Code.ALREADY_EXISTS, "target snapshot"):
                pull.result()
    assert len(site.layers.attached) == 1
    assert names(snapshots) == {CHAIN}


def test_other_calls_do_not_wait_for_an_attach(snapshots: type_of_snapshots, site: Site) -> None:
    site.layers.gate = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        pull = threads.submit(snapshots.prepare, "extract", "", lazy_labels())
        assert site.layers.waiting.wait(timeout=20)
        assert snapshots.stat("extract").kind is Kind.ACTIVE
        snapshots.prepare("other", "", {})
        snapshots.cleanup()
        site.layers.gate.set()
        with refused(Code.ALREADY_EXISTS):
            pull.result()
    assert names(snapshots) == {CHAIN, "other"}


def test_layers_lost_by_the_server_are_attached_again(
    snapshots: type_of_snapshots, site: Site
) -> None:
    chain = pulled(snapshots, 1)
    mounts = snapshots.prepare("container", chain, {})
    site.layers.forget_attachments()
    assert snapshots.mounts("container") == mounts
    assert len(site.layers.attached) == 2


def test_a_container_starts_when_its_layers_are_ready(
    snapshots: type_of_snapshots, site: Site
) -> None:
    chain = pulled(snapshots, 1)
    pulled(snapshots, 1)
    assert site.layers.started == []  # a pull waits for no prefetch
    snapshots.prepare("container", chain, {})
    snapshots.view("view", chain, {})
    snapshots.mounts("container")
    assert site.layers.started == [{LAYER}] * 3
    site.layers.forget_attachments()
    snapshots.mounts("container")
    assert site.layers.started[3:] == [set(), {LAYER}]


def test_mounts_need_every_lazy_layer(snapshots: type_of_snapshots, site: Site) -> None:
    chain = pulled(snapshots, 1)
    snapshots.prepare("container", chain, {})
    site.layers.forget_attachments()
    site.layers.unavailable.add(LAYER)
    with refused(Code.UNAVAILABLE, str(LAYER)):
        snapshots.mounts("container")
    with refused(Code.UNAVAILABLE, str(LAYER)):
        snapshots.prepare("other", chain, {})
    site.layers.gone = True
    with refused(Code.UNAVAILABLE, "fs server"):
        snapshots.mounts("container")
    assert names(snapshots) == {chain, "container"}


def test_a_lazy_layer_is_detached_when_nobody_needs_it(
    snapshots: type_of_snapshots, site: Site
) -> None:
    first, second = pulled(snapshots, 1), pulled(snapshots, 2)
    served = site.layers.root / LAYER.file_name
    snapshots.remove(first)
    snapshots.cleanup()
    assert served.exists()
    snapshots.remove(second)
    snapshots.cleanup()
    assert not served.exists()
    assert site.directories.present() == []


def test_cleanup_goes_on_without_the_server(
    snapshots: type_of_snapshots, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    chain = pulled(snapshots, 1)
    snapshots.remove(chain)
    site.layers.gone = True
    snapshots.cleanup()
    assert site.directories.present() == []
    assert (site.layers.root / LAYER.file_name).exists()
    assert "fs server" in caplog.records[-1].__dict__["fields"]["error"]


def test_deleting_a_lazy_snapshot_leaves_the_layer_alone(site: Site) -> None:
    site.layers.put(LAYER, {"file": "content"})
    first, second = pulled(site.snapshots, 1), pulled(site.snapshots, 2)
    site.snapshots.remove(first)
    site.snapshots.cleanup()
    content = site.directories.of(site.records.get(second).id).fs
    assert (content / "file").read_text() == "content"


def test_a_lazy_layer_keeps_the_labels_that_tell_its_source(
    snapshots: type_of_snapshots, site: Site
) -> None:
    chain = pulled(snapshots, 1)
    source = snapshots.stat(chain).labels
    assert snapshots.update(chain, {"mine": "x"}).labels == {**source, "mine": "x"}
    removed = snapshots.update(chain, {}, [f"labels.{TOC_DIGEST}", "labels.mine"])
    assert removed.labels == source


def test_usage_of_a_lazy_layer_without_the_server(
    snapshots: type_of_snapshots, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    chain = pulled(snapshots, 1)
    site.layers.gone = True
    assert snapshots.usage(chain).size_bytes == 0
    assert caplog.records[-1].levelname == "WARNING"
