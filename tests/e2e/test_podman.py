"""Debian's podman runs lazy images from our Additional Layer Store, and ordinary ones as ever."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import FETCH_WHAT_IS_READ
from tests.e2e.ctr import CommandFailedError
from tests.e2e.images import default_cache, pause_image
from tests.e2e.oci_layout import push
from tests.e2e.podman import Podman, Store
from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import run_cli
from tests.e2e.tree import compare_trees
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.podman,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

# No layer says anything about the root directory itself: podman has its own mind about its mode, and its time is that of the
# unpacking. Attributes that only the host's root may set are not believed, as by containerd, which drops them; podman sets them.
_AS_CONTAINERD = ("'.': m", "'specimens/xattrs/trusted': xattrs")
_PRINT = ("python3", "-c", "print(1)")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store(FETCH_WHAT_IS_READ) as store:
        yield store


@pytest.fixture(scope="module")
def podman(store: Store, registry: RealRegistry) -> Iterator[Podman]:
    with Podman(store, registry.host) as podman:
        yield podman


def _layer_reads(image: PublishedImage, accesses: list[Access]) -> list[Access]:
    layers = set(image.layer_digests)
    return [a for a in accesses if a.is_blob_read and a.path.rpartition("/")[2] in layers]


def test_a_lazy_image_runs_without_its_layers_and_goes_whole(
    podman: Podman,
    store: Store,
    lazy_name: str,
    new_accesses: Callable[[], list[Access]],
    report: Callable[[str], None],
) -> None:
    image = PublishedImage(lazy_name)
    digests = sorted(digest.removeprefix("sha256:") for digest in image.layer_digests)
    new_accesses()
    assert podman("run", "--rm", lazy_name, *_PRINT) == "1\n"
    reads = _layer_reads(image, new_accesses())
    assert [access for access in reads if access.user_agent.startswith("containers/")] == []
    sent = sum(access.size for access in reads)
    report(
        f"podman run python3 -c 'print(1)': {sent:,} bytes of {image.layer_bytes:,} in {len(reads)} requests"
    )
    assert sent < image.layer_bytes / 2
    assert podman.graph_bytes() < 1 << 20
    assert store.kept_layers() == digests
    assert podman("run", "--rm", lazy_name, *_PRINT) == "1\n"
    assert _layer_reads(image, new_accesses()) == []
    podman("rmi", lazy_name)
    for digest in digests:
        store.process.wait_for_line(f"layer released.*{digest}", deadline_seconds=20)
    assert store.kept_layers() == []


def test_the_lazy_tree_is_the_unpacked_tree_of_an_ordinary_pull(
    podman: Podman, store: Store, lazy_name: str, plain_name: str
) -> None:
    for name in (plain_name, lazy_name):
        podman("pull", "--quiet", name)
    store.process.wait_for_line(f"image is not lazy.*{plain_name}", deadline_seconds=5)
    plain, lazy = (Path(podman("image", "mount", name).strip()) for name in (plain_name, lazy_name))
    differences = compare_trees(plain, lazy)
    assert [line for line in differences if not line.startswith(_AS_CONTAINERD)] == []
    podman("image", "unmount", "--all")


def test_containers_do_not_notice_that_the_store_dies(
    podman: Podman, store: Store, lazy_name: str
) -> None:
    container = podman("run", "--detach", lazy_name, "sleep", "1000").strip()
    store.process.kill()
    # What nobody has read yet is fetched by the fs server.
    assert podman("exec", container, *_PRINT) == "1\n"
    with pytest.raises(CommandFailedError):
        podman("run", "--rm", lazy_name, "true")
    store.start()
    assert podman("exec", container, "python3", "-c", "import json; print(json.dumps(2))") == "2\n"
    assert podman("run", "--rm", lazy_name, *_PRINT) == "1\n"


def test_a_lazy_image_is_pushed_whole(podman: Podman, registry: RealRegistry) -> None:
    push(pause_image(default_cache()).layout, registry.host, "small", "plain")
    name, copy = f"{registry.host}/small:lazy", f"{registry.host}/small:copy"
    run_cli("convert", f"{registry.host}/small:plain", name)
    podman("pull", "--quiet", name)
    podman("push", "--quiet", name, copy)
    assert PublishedImage(copy).diff_ids == PublishedImage(name).diff_ids


def test_an_image_that_is_not_there_is_podmans_error(
    podman: Podman, registry: RealRegistry
) -> None:
    with pytest.raises(CommandFailedError, match="manifest unknown"):
        podman("pull", f"{registry.host}/debian:absent")
