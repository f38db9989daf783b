"""Nothing wrong is ever served: a registry that lies or fails costs an error, and only while it does."""

import copy
import errno
import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Node
from tests.e2e.ctr import Conversation
from tests.e2e.published_image import PublishedImage
from tests.e2e.reader_program import ARGV, digest
from tests.e2e.specimens import big_file
from tests.fakes.faulty_proxy import Fault, FaultyProxy
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
_BIG, _SMALL = "/specimens/content/big", "/specimens/content/one-byte"
_EIO = f"errno {errno.EIO}"


@pytest.fixture
def proxy(registry: RealRegistry) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.host) as proxy:
        yield proxy


@pytest.mark.parametrize("fault", [Fault.FLIPPED_BYTES, Fault.TRUNCATED, Fault.REFUSED])
def test_a_read_that_cannot_be_right_fails(
    node: Node, proxy: FaultyProxy, lazy_name: str, fault: Fault
) -> None:
    image = PublishedImage(lazy_name)
    name = image.through(proxy.host)
    node.ctr.rpull(name)
    with Conversation(node.ctr, name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_SMALL) == digest(b"x")
        proxy.set_fault(fault)
        assert container.ask(_BIG) == _EIO
        assert proxy.faults_served > 0
        line = next(line for line in node.snapshotter.fs_log() if "chunk unavailable" in line)
        told = json.loads(line)
        assert told["layer"] == image.layer_digests[2]
        assert told["chunk"]
        assert told["error"]
        assert node.ctr.snapshot_keys(snapshotter="stargz")
        proxy.set_fault(Fault.NONE)
        assert container.ask(_BIG) == digest(big_file())
    with Conversation(node.ctr, name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_BIG) == digest(big_file())


def test_what_a_lying_registry_sent_is_not_kept(
    node: Node, proxy: FaultyProxy, lazy_name: str
) -> None:
    name = PublishedImage(lazy_name).through(proxy.host)
    node.ctr.rpull(name)
    with Conversation(node.ctr, name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_SMALL) == digest(b"x")
        proxy.set_fault(Fault.FLIPPED_BYTES)
        assert container.ask(_BIG) == _EIO
        proxy.set_fault(Fault.REFUSED)  # what is answered now can only come from the cache
        assert container.ask(_BIG) == _EIO
        assert container.ask(_SMALL) == digest(b"x")


def test_a_table_of_contents_that_is_not_the_pinned_one_is_refused(
    node: Node, lazy_name: str
) -> None:
    original = PublishedImage(lazy_name)
    manifest = copy.deepcopy(dict(original.manifest))
    manifest["layers"][2]["annotations"][_TOC_DIGEST] = f"sha256:{'0' * 64}"
    image = original.put_manifest("wrong-toc-digest", manifest)
    node.ctr.rpull(image.name)
    downloaded = set(image.layer_digests) & node.ctr.content_digests()
    assert image.layer_digests[2] in downloaded
    assert image.layer_digests[0] not in downloaded
    line = node.snapshotter.wait_for_log('"remote-snapshot-prepared": ?"false"')
    assert image.layer_digests[2] in line
    assert "0" * 64 in line
    with Conversation(node.ctr, image.name, ARGV, snapshotter="stargz") as container:
        assert container.ask(_BIG) == digest(big_file())
