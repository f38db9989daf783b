import pytest
from hypothesis import given

from estargz.errors import NoSuchFileError, TocError
from estargz.file_chunks import list_files
from estargz.image_tree import ImageTree, walk
from estargz.tar_stream import clean_name
from estargz.toc import Toc, TocEntry
from tests.estargz.blobs import read_toc, write_blob
from tests.strategies import tars


def _entry(name: str, **fields: str) -> TocEntry:
    kind = "dir" if name.endswith("/") else "reg"
    return TocEntry(name=name, type=fields.pop("type", kind), link_name=fields.pop("to", ""))


def _tree(*layers: list[TocEntry]) -> ImageTree:
    tree = ImageTree()
    for position, entries in enumerate(layers):
        files = list(list_files(Toc(entries=entries), payload_bytes=1))
        tree.add_layer(files, position=position)
    return tree


def _names(tree: ImageTree) -> list[str]:
    return [path for path, _node in walk(tree.root, "")]


def _link(name: str, to: str) -> TocEntry:
    return _entry(name, type="symlink", to=to)


def _hard(name: str, to: str) -> TocEntry:
    return _entry(name, type="hardlink", to=to)


def test_higher_layers_win_and_directories_merge() -> None:
    tree = _tree(
        [_entry("d/"), _entry("d/a"), _entry("d/b"), _entry("x/"), _entry("x/y"), _entry("z")],
        [_entry("d/"), _entry("d/b"), _entry("x"), _entry("z/"), _entry("implied/f")],
    )
    assert _names(tree) == ["d", "d/a", "d/b", "implied", "implied/f", "x", "z"]
    assert [tree.find(path).layer for path in ("d", "d/a", "d/b", "x")] == [1, 0, 1, 1]
    assert tree.find("implied").entry.mode == 0o755


def test_whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() -> None:
    lower = [_entry("d/"), _entry("d/a"), _entry("d/b"), _entry("o/"), _entry("o/old")]
    tree = _tree(
        lower,
        [
            _entry("d/a"),
            _entry("d/.wh.a"),
            _entry("d/.wh.b"),
            _entry("o/new"),
            _entry("o/.wh..wh..opq"),
            _entry(".wh..wh.plnk"),
            _entry("none/.wh.x"),
        ],
    )
    assert _names(tree) == ["d", "d/a", "o", "o/new"]
    assert tree.find("d/a").layer == 1


def test_landmarks_are_hidden() -> None:
    assert _names(_tree([_entry(".no.prefetch.landmark"), _entry("d/.prefetch.landmark")])) == [
        "d",
        "d/.prefetch.landmark",
    ]


def test_hard_links_share_a_file() -> None:
    tree = _tree([_hard("c", "b"), _hard("b", "./a"), _entry("a")])
    assert tree.find("c") is tree.find("a")
    assert tree.find("b") is tree.find("a")


@pytest.mark.parametrize(
    "entries",
    [
        [_hard("a", "b")],
        [_hard("a", "a")],
        [_hard("a", "b"), _hard("b", "a")],
        [_hard("a", "d"), _entry("d/")],
    ],
)
def test_hard_links_to_nothing_are_refused(entries: list[TocEntry]) -> None:
    with pytest.raises(TocError):
        _tree(entries)


def test_a_hard_link_reaches_no_other_layer() -> None:
    with pytest.raises(TocError):
        _tree([_entry("a")], [_hard("b", "a")])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/usr/bin/sh", "usr/bin/dash"),
        ("bin/sh", "usr/bin/dash"),
        ("usr/../bin/./sh", "usr/bin/dash"),
        ("../../bin/sh", "usr/bin/dash"),
        ("up/bin/sh", "usr/bin/dash"),
        ("/", ""),
    ],
)
def test_symbolic_links_stay_in_the_image(path: str, found: str) -> None:
    tree = _tree(
        [
            _entry("usr/bin/"),
            _entry("usr/bin/dash"),
            _link("usr/bin/sh", "dash"),
            _link("bin", "/usr/bin"),
            _link("up", "../../../usr"),
        ]
    )
    node = tree.find(path)
    assert clean_name(node.entry.name) == found


@pytest.mark.parametrize("path", ["missing", "circle", "a/b", "dangling"])
def test_what_is_not_there(path: str) -> None:
    tree = _tree([_entry("a"), _link("circle", "circle"), _link("dangling", "nowhere")])
    with pytest.raises(NoSuchFileError) as caught:
        tree.find(path)
    assert caught.value.path == path


@given(tar=tars)
def test_every_file_of_one_layer_is_found_under_its_name(tar: bytes) -> None:
    written = write_blob(tar)
    toc = read_toc(written.data, written.finished.toc_digest)
    files = list(list_files(toc, payload_bytes=len(written.data)))
    tree = ImageTree()
    try:
        tree.add_layer(files, position=0)
    except TocError:
        return  # a hard link to what is not there
    for path, node in walk(tree.root, ""):
        if node.entry.type not in {"symlink", "hardlink"} and node.entry.name:
            assert node is tree.find(path)
