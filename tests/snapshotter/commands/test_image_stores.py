from pathlib import Path

import pytest

from registry.errors import InvalidReferenceError
from registry.image_names import ImageName, LayoutName
from registry.manifest import Platform
from registry.reference import Reference
from snapshotter.commands.image_stores import (
    ImageAccess,
    ImageStores,
    NamedImage,
    parse_image,
    usual_platforms,
)
from snapshotter.containerd_image import ContainerdName

HOST = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("oci:dir", ImageName(LayoutName(Path("dir")))),
        ("registry.test/a:1", ImageName(Reference("registry.test", "a", "1"))),
        ("containerd:a:1", ContainerdName(Reference("docker.io", "library/a", "1"))),
    ],
)
async def test_every_kind_of_name(text: str, name: NamedImage) -> None:
    assert parse_image(text) == name
    async with ImageStores(ImageAccess()) as stores:
        source = stores.open(name)
        assert parse_image(source.describe()) == name
        async with stores.target(name) as target:
            assert target.describe() == source.describe()


async def test_what_is_written_into_containerd_has_a_tag() -> None:
    digest = f"@sha256:{'0' * 64}"
    async with ImageStores(ImageAccess()) as stores:
        async with stores.target(parse_image(f"containerd:a.test/b:1{digest}")) as target:
            assert target.describe() == "containerd:a.test/b:1"
        with pytest.raises(InvalidReferenceError, match="tag"):
            async with stores.target(parse_image(f"containerd:a.test/b{digest}")):
                pass


def test_what_names_nothing() -> None:
    for text in ("containerd:", "containerd:oci:dir/A", ""):
        with pytest.raises(InvalidReferenceError):
            parse_image(text)


def test_of_containerds_images_that_for_this_machine_is_meant() -> None:
    assert usual_platforms(parse_image("containerd:a"), HOST) == (HOST,)
    assert usual_platforms(parse_image("a"), HOST) == ()
