"""A registry with an image of one static program, as it was built and as our converter made it."""

from collections.abc import Iterator

import pytest

from benchmarks.publishing import Published
from tests.e2e.ctr import run_command
from tests.e2e.layered_tree import LayeredTree
from tests.e2e.oci_layout import push, write_image
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import run_cli
from tests.real_registry import RealRegistry

SOURCE = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def plain(registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory) -> Published:
    work = tmp_path_factory.mktemp("hello")
    tree = LayeredTree(work / "root", work / "layout")
    (work / "root/bench").mkdir(parents=True)
    (work / "hello.c").write_text(SOURCE)
    run_command(["gcc", "-static", "-o", tree.root / "hello", work / "hello.c"])
    tree.add_layer()
    write_image(work / "layout", tree.layers, {})
    name = push(work / "layout", registry.host, "hello", "plain")
    return Published(PublishedImage(name), registry.storage)


@pytest.fixture(scope="session")
def lazy(plain: Published) -> Published:
    name = f"{plain.host}/hello:lazy"
    run_cli("convert", plain.image.name, name)
    return Published(PublishedImage(name), plain.storage)
