import json
from pathlib import Path

import pytest

from snapshotter.cli import run
from tests.snapshotter.lazy_layouts import make_lazy_image
from tests.strategies import Node, build_tar

_LOWER = build_tar(
    [
        Node(name="etc", kind="dir", mode=0o755),
        Node(name="etc/motd", content=b"hello", mode=0o640, uid=5, gid=6, mtime=86400),
        Node(name="etc/gone", content=b"x"),
        Node(name="link", kind="symlink", link_name="etc"),
        Node(name="null", kind="char", device=(1, 3)),
        Node(name="bad\x1b[31mname"),
    ]
)
_UPPER = build_tar([Node(name="etc/.wh.gone")])


@pytest.fixture
def image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    name = make_lazy_image(tmp_path, [_LOWER, _UPPER])
    capsys.readouterr()
    return name


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["bad\\x1b[31mname", "etc", "link", "null"]),
        (["etc"], ["motd"]),
        (["link"], ["motd"]),
        (["etc/motd"], ["etc/motd"]),
        (["-R"], ["bad\\x1b[31mname", "etc", "etc/motd", "link", "null"]),
        (["etc", "--layer", "0"], ["gone", "motd"]),
        (["--layer", "1"], []),
        (["-l", "etc"], ["-rw-r-----     5     6          5 1970-01-02T00:00:00Z motd"]),
    ],
)
def test_lists(
    image: str, words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ls", image, *words]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_long_lines_of_links_and_devices(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "-l", image]) == 0
    _bad, _etc, link, null = capsys.readouterr().out.splitlines()
    assert link.endswith(" link -> etc")
    assert null.startswith("crw-r--r--")
    assert " 1,3 " in null


def test_json(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", image, "etc", "--json"]) == 0
    (motd,) = json.loads(capsys.readouterr().out)
    assert motd.items() >= {"path": "motd", "type": "reg", "size": 5, "mode": 0o640}.items()


def test_what_is_not_there(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", image, "nowhere"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
