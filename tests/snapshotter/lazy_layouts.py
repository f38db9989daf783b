"""Small lazy images in layout directories, made by the command line itself."""

from collections.abc import Sequence
from pathlib import Path

from snapshotter.cli import run
from tests.estargz.layouts import Layer, Layout


def make_lazy_image(directory: Path, tars: Sequence[bytes]) -> str:
    """Converts an image with these layers; gives its name."""
    layout = Layout(directory / "plain")
    layout.name(layout.add_image([Layer(tar=tar) for tar in tars]))
    target = f"oci:{directory / 'lazy'}"
    assert run(["convert", f"oci:{directory / 'plain'}", target, "--json"]) == 0
    return target
