import json
from pathlib import Path

import pytest

from registry.digest import Digest
from snapshotter.cli import run
from tests.estargz.layouts import Layer, Layout
from tests.registry.archives import docker_archive
from tests.strategies import Node, build_tar

_TAR = build_tar([Node(name="a", content=b"a" * 9000)])


def _make_image(directory: Path) -> str:
    layout = Layout(directory)
    layout.name(layout.add_image([Layer(tar=_TAR)]))
    return f"oci:{directory}"


def test_a_directory_is_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = _make_image(tmp_path / "in"), f"oci:{tmp_path / 'out'}:tag"
    assert run(["convert", source, target]) == 0
    layer, names, sizes, digest = capsys.readouterr().out.splitlines()
    assert layer.count("sha256:") == 2
    assert names == f"{source} -> {target}"
    assert sizes.startswith("1 layers")
    manifest = tmp_path / "out" / "blobs" / digest.replace(":", "/")
    assert json.loads(manifest.read_bytes())["layers"][0]["annotations"]


@pytest.mark.parametrize(
    "options",
    [
        ["--zstdchunked", "--zstdchunked-compression-level", "1"],
        ["--estargz-min-chunk-size", "50000"],
        ["--estargz-external-toc"],
        ["--estargz-external-toc", "--estargz-keep-diff-id"],
    ],
    ids=" ".join,
)
def test_all_kinds_of_layers_are_lazy(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = _make_image(tmp_path / "in"), f"oci-archive:{tmp_path / 'out'}:tag"
    assert run(["convert", source, target, "--json", *options]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["images"][0]["layers"]
    kept = "--estargz-keep-diff-id" in options
    assert (layer["diffId"] == str(Digest.of(_TAR))) == kept
    assert run(["inspect", target]) == 0
    assert "1 of 1 layers are lazy" in capsys.readouterr().out


def test_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docker_archive(tmp_path / "saved.tar", [_TAR])
    source, target = f"docker-archive:{tmp_path}/saved.tar", f"oci-archive:{tmp_path}/out.tar:1"
    assert run(["convert", source, target]) == 0
    digest = capsys.readouterr().out.splitlines()[-1]
    assert run(["inspect", target]) == 0
    output = capsys.readouterr().out
    assert digest in output
    assert "1 of 1 layers are lazy" in output
    assert run(["convert", source, target]) == 1
    assert "exists already" in capsys.readouterr().err


def test_json_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = _make_image(tmp_path / "in"), f"oci:{tmp_path / 'out'}"
    options = ["--json", "--chunk-size", "4KiB", "--compression-level", "1", "--threads", "1"]
    assert run(["convert", source, target, *options, "--work-dir", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["source"], document["target"]) == (source, target)
    # The landmark, and three chunks of one file.
    assert document["images"][0]["layers"][0]["tocEntries"] == 4


def test_the_names_that_other_tools_give_to_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _make_image(tmp_path / "in")
    digests = []
    for name, options in {
        "ours": ["--chunk-size", "4KiB", "--compression-level", "1"],
        "theirs": ["--estargz-chunk-size", "4096", "--estargz-compression-level", "1"],
    }.items():
        more = ["--estargz", "--oci", "--all-platforms", "--json"]
        assert run(["convert", source, f"oci:{tmp_path / name}", *options, *more]) == 0
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert digests[0] == digests[1]
    assert run(["convert", source, f"oci:{tmp_path / 'zero'}", "--estargz-chunk-size", "0"]) == 0


def test_a_platform_that_the_image_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", _make_image(tmp_path / "in"), f"oci:{tmp_path / 'out'}"]
    assert run([*words, "--platform", "linux/s390x"]) == 1
    assert "only linux/amd64" in capsys.readouterr().err
    assert run([*words, "--platform", "linux/x86_64"]) == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--estargz-chunk-size", "4095"],
        ["--chunk-size", "4095"],
        ["--platform", "linux"],
        ["--all-platforms", "--platform", "linux/amd64"],
        ["--chunk-size", "1GiB"],
        ["--chunk-size", "big"],
        ["--compression-level", "0"],
        ["--compression-level", "13"],
        ["--threads", "0"],
        ["--work-dir", "/nonexistent"],
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_usage_errors(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "oci:a", "oci:b", *options]) == 2
    error = capsys.readouterr().err
    assert options[0].removeprefix("--estargz-").removeprefix("--") in error
    assert error.count("\n") == 1


def test_an_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", f"oci:{tmp_path}", f"oci:{tmp_path / 'out'}"]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1
