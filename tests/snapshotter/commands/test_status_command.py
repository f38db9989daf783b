"""``pyestargz status`` over a state directory whose daemon and fs server are away."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshotter import cli
from snapshotter.commands.exit_codes import ExitCode
from tests.snapshotter.conftest import ROOTED, site_in
from tests.snapshotter.lazy_images import LAYER, lazy_labels, pulled


@pytest.fixture
def place() -> Iterator[list[str]]:
    """Options that name a state directory with one image: a lazy layer below one that is not."""
    with tempfile.TemporaryDirectory(prefix="sts-") as name:
        root = Path(name)
        with site_in(root) as site:
            base = pulled(site.snapshots)
            top = lazy_labels(LAYER, "sha256:top")
            site.layers.gone = True
            site.snapshots.prepare("extract", "", top)
            site.layers.gone = False
            site.snapshots.commit("sha256:top", "extract", top, parent=base)
            site.snapshots.prepare("container", "sha256:top", ROOTED)
        yield [f"--root={root}", f"--address={root}/grpc.sock"]


def test_people_see_what_is_lazy_and_why_not(
    place: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["status", *place]) == ExitCode.OK
    short = capsys.readouterr().out
    assert "fs server: " in short
    assert "registry.test/image:tag  1 of 2 layers" in short
    assert cli.run(["status", "image:tag", *place]) == ExitCode.OK
    detailed = capsys.readouterr().out
    assert "not served now" in detailed
    assert "not lazy: fs server: cannot be started: it is a fake" in detailed


def test_programs_get_json(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "--json", *place]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert document["fsServer"]["up"] is False
    (image,) = document["images"]
    assert (image["reference"], image["lazy"]) == ("registry.test/image:tag", False)
    assert image["containers"] == ["container"]
    assert [layer["lazy"] for layer in image["layers"]] == [True, False]


def test_an_image_that_is_not_there(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["status", "elsewhere", *place]) == ExitCode.NOT_FOUND
    assert "no image" in capsys.readouterr().out
    assert cli.run(["status", "--root=/does/not/exist"]) == ExitCode.OK
