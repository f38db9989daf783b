"""The commands that look at images and make them, on real images: ours and stargz-snapshotter's."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.published_image import PublishedImage
from tests.e2e.registry_log import Access
from tests.e2e.snapshotter_process import cli_argv, cli_environment
from tests.real_registry import RealRegistry

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]


def _run(*words: str) -> str:
    return subprocess.run(
        cli_argv(words),
        env=dict(cli_environment()),
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    ).stdout


@pytest.fixture(params=["lazy_name", "go_lazy_name", "go_zstd_name", "go_optimized_name"])
def any_image(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(request.param)
    return name


def test_a_lazy_image_is_the_same_when_pulled(any_image: str) -> None:
    document = json.loads(_run("verify", "--json", any_image))
    assert document["good"], document
    assert all(layer["chunks"] for layer in document["layers"])


def test_files_are_listed_and_printed(any_image: str) -> None:
    names = _run("ls", any_image, "/etc").splitlines()
    assert "passwd" in names
    assert _run("cat", any_image, "/etc/passwd").startswith("root:")


def test_kept_layers_are_mounted_inside_a_registry(
    lazy_name: str, registry: RealRegistry, new_accesses: Callable[[], list[Access]]
) -> None:
    layers = PublishedImage(lazy_name).layer_digests
    new_accesses()
    name = f"{registry.host}/team/mounted:1"
    _run("convert", lazy_name, name)
    accesses = new_accesses()
    assert PublishedImage(name).layer_digests == layers
    mounted = [access for access in accesses if "mount=sha256" in access.path]
    assert [access.status for access in mounted] == [201] * len(layers)
    # Of layers, only their tables of contents were read, to see that they are lazy.
    assert sum(access.size for access in accesses if access.is_blob_read) < 2 << 20


def test_all_layers_are_kept(any_image: str, tmp_path: Path) -> None:
    kind = ["--zstdchunked"] if "zst" in any_image else []
    words = ["convert", any_image, f"oci-archive:{tmp_path / 'kept.tar'}", "--json", *kind]
    (converted,) = json.loads(_run(*words))["images"]
    assert all(layer["kept"] for layer in converted["layers"])
