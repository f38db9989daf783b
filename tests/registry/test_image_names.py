from pathlib import Path

import pytest

from registry.errors import InvalidReferenceError
from registry.image_names import ArchiveFormat, ArchiveName, ImageName
from registry.reference import Reference


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("oci-archive:a.tar", ArchiveName(ArchiveFormat.OCI, Path("a.tar"))),
        ("oci-archive:/x/a.tar:1.0", ArchiveName(ArchiveFormat.OCI, Path("/x/a.tar"), "1.0")),
        ("docker-archive:a.tar", ArchiveName(ArchiveFormat.DOCKER, Path("a.tar"))),
        (
            "docker-archive:/x/a.tar:h:5000/b:1",
            ArchiveName(ArchiveFormat.DOCKER, Path("/x/a.tar"), "h:5000/b:1"),
        ),
        ("python", Reference("docker.io", "library/python", "latest")),
    ],
)
def test_names(text: str, location: object) -> None:
    name = ImageName.parse(text)
    assert name.location == location
    assert ImageName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    ["oci-archive:", "oci-archive::1", "oci-archive:a:b c", "docker-archive:", "docker-archive:a:"],
)
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        ImageName.parse(text)
