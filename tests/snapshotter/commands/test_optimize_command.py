"""What needs no containerd; the rest is tested end to end."""

import json
from pathlib import Path

import pytest

from snapshotter.cli import run
from tests.estargz.layouts import Layer, Layout
from tests.strategies import Node, build_tar


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    layout = Layout(tmp_path / "in")
    tar = build_tar([Node(name="a", content=b"a"), Node(name="b", content=b"b")])
    layout.name(layout.add_image([Layer(tar=tar)]))
    return [f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}"]


def test_without_optimizing_it_converts(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["optimize", *names, "--no-optimize", "--json"]) == 0
    optimized = json.loads(capsys.readouterr().out)
    assert run(["convert", names[0], f"oci:{tmp_path / 'converted'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == optimized["digest"]
    assert "sample" not in optimized


def test_a_list_is_put_first_without_running_anything(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("b\n")
    assert run(["optimize", *names, "--prefetch-list", str(tmp_path / "list")]) == 0
    assert run(["optimize", *names, "--no-optimize", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{names[0]} -> {names[1]}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--no-optimize", "--", "x"], "nothing is run"),
        (["--no-optimize", "--record-out", "r"], "nothing is run"),
        (["--no-optimize", "--prefetch-list", "{list}"], "exclude each other"),
        (["--estargz-external-toc", "--estargz-keep-diff-id"], "leaves files where they are"),
    ],
)
def test_contradictions(
    names: list[str],
    tmp_path: Path,
    words: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "list").write_text("b\n")
    given = [word.format(list=tmp_path / "list") for word in words]
    assert run(["optimize", *names, *given]) == 2
    assert reason in capsys.readouterr().err


def test_a_containerd_that_is_not_there(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["optimize", *names, "--containerd-address", str(tmp_path / "missing.sock")]) == 1
    assert "ctr" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
