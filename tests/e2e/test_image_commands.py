"""The commands that look at images and make them, on real images: ours and stargz-snapshotter's."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.snapshotter_process import cli_argv, cli_environment

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


@pytest.fixture(params=["lazy_name", "go_lazy_name", "go_zstd_name"])
def image(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(request.param)
    return name


def test_a_lazy_image_is_the_same_when_pulled(image: str) -> None:
    document = json.loads(_run("verify", "--json", image))
    assert document["good"], document
    assert all(layer["chunks"] for layer in document["layers"])


def test_files_are_listed_and_printed(image: str) -> None:
    names = _run("ls", image, "/etc").splitlines()
    assert "passwd" in names
    assert _run("cat", image, "/etc/passwd").startswith("root:")


def test_all_layers_are_kept(image: str, tmp_path: Path) -> None:
    kind = ["--zstdchunked"] if "zst" in image else []
    words = ["convert", image, f"oci-archive:{tmp_path / 'kept.tar'}", "--json", *kind]
    (converted,) = json.loads(_run(*words))["images"]
    assert all(layer["kept"] for layer in converted["layers"])
