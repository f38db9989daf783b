import json
from pathlib import Path

import pytest

from estargz.toc import Toc
from snapshotter.cli import run
from tests.estargz.lying_images import lazy_image
from tests.snapshotter.lazy_layouts import make_lazy_image
from tests.strategies import Node, build_tar

_TAR = build_tar([Node(name="a\x1b", content=b"a" * 9000), Node(name="b", content=b"b")])


def _lie(toc: Toc) -> None:
    toc.entries[-2].uid = 7


def test_a_good_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_lazy_image(tmp_path, [_TAR])
    capsys.readouterr()
    assert run(["verify", image, "--work-dir", str(tmp_path)]) == 0
    layer, result = capsys.readouterr().out.splitlines()
    assert layer.endswith("3 chunks: good")
    assert result == f"{image} is the same, lazily and pulled"


def test_an_image_that_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lazy_image(
        tmp_path,
        build_tar([Node(name="a\x1b", content=b"a"), Node(name="b", content=b"b")]),
        change_toc=_lie,
    )
    assert run(["verify", f"oci:{tmp_path}"]) == 1
    layer, difference, result = capsys.readouterr().out.splitlines()
    assert layer.endswith("1 differences")
    assert difference == "  a\\x1b: owner: 7 in the TOC, 0 in the tar"
    assert "1 of 1 layers" in result
    assert run(["verify", f"oci:{tmp_path}", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["good"] is False
    assert document["layers"][0]["differences"][0]["entry"] == "a\x1b"
