import json
from pathlib import Path

import pytest

from snapshotter.cli import run
from tests.estargz.blobs import write_blob
from tests.estargz.layouts import Layer, Layout
from tests.strategies import Node, build_tar

_TAR = build_tar([Node(name="a", content=b"a" * 9000)])
_WRITTEN = write_blob(_TAR)
_TOC = "containerd.io/snapshot/stargz/toc.digest"
_ARM = {"os": "linux", "architecture": "arm64"}


def _make_image(directory: Path) -> str:
    layout = Layout(directory)
    annotations = {
        _TOC: str(_WRITTEN.finished.toc_digest),
        "io.containers.estargz.uncompressed-size": "20000000",
    }
    lazy = Layer(tar=b"", blob=_WRITTEN.data, extra={"annotations": annotations})
    wrong = Layer(tar=_TAR, extra={"annotations": {_TOC: "sha256:" + "0" * 64}})
    image = layout.add_image([lazy, Layer(tar=_TAR), wrong], platform=_ARM)
    layout.name(layout.add_index([image]))
    return f"oci:{directory}"


def test_a_table_of_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", _make_image(tmp_path)]) == 0
    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if "sha256:" in line and "│" in line]
    assert "linux/arm64" in output
    assert ["yes" in row for row in rows] == [True, False, False]
    assert "20.0 MB" in rows[0]
    assert "no TOC digest is annotated" in rows[1]
    assert "not an eStargz layer" in rows[2]
    assert "1 of 3 layers are lazy" in output


def test_without_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--no-check", _make_image(tmp_path)]) == 0
    assert "2 of 3 layers are lazy" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = _make_image(tmp_path)
    assert run(["inspect", "--json", name]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["image"] == name
    (manifest,) = document["manifests"]
    assert (manifest["platform"], manifest["lazy"]) == ("linux/arm64", False)
    lazy, plain, wrong = manifest["layers"]
    assert lazy["lazy"]
    assert lazy["notLazyBecause"] is None
    assert lazy["uncompressedSize"] == 20_000_000
    assert lazy["tocDigest"] == str(_WRITTEN.finished.toc_digest)
    assert lazy["size"] == len(_WRITTEN.data)
    assert lazy["toc"].items() >= {"entries": 4, "files": 2, "chunks": 4, "prefetch": False}.items()
    assert (plain["lazy"], plain["tocDigest"], plain["toc"]) == (False, None, None)
    assert "not an eStargz" in wrong["notLazyBecause"]


def test_an_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", f"oci:{tmp_path / 'missing'}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
