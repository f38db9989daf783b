import subprocess
import sys
from pathlib import Path

import pytest

from snapshotter.cli import run
from tests.snapshotter.lazy_layouts import make_lazy_image
from tests.strategies import Node, build_tar

_CONTENT = bytes(range(256)) * 40
_TAR = build_tar(
    [
        Node(name="d", kind="dir"),
        Node(name="d/file", content=_CONTENT),
        Node(name="link", kind="symlink", link_name="d/file"),
    ]
)


@pytest.mark.parametrize("path", ["d/file", "/link"])
def test_a_file(tmp_path: Path, path: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    image = make_lazy_image(tmp_path, [_TAR])
    capfdbinary.readouterr()
    assert run(["cat", image, path, "--layer", "0"]) == 0
    assert capfdbinary.readouterr().out == _CONTENT


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    large = build_tar([Node(name="large", content=bytes(8 << 20))])
    image = make_lazy_image(tmp_path, [large])
    words = [sys.executable, "-m", "snapshotter.cli", "cat", image, "large"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("path", ["d", "nowhere"])
def test_what_is_no_file(tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_lazy_image(tmp_path, [_TAR])
    assert run(["cat", image, path]) == 3
    error = capsys.readouterr().err
    assert path in error
    assert error.count("\n") == 1


def test_an_image_that_is_not_lazy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_lazy_image(tmp_path, [_TAR])
    assert run(["cat", f"oci:{tmp_path / 'plain'}", "d/file"]) == 1
    assert "convert the image first" in capsys.readouterr().err
