import json
import os
from pathlib import Path

import pytest

from registry.digest import Digest
from registry.errors import LayoutError
from registry.layout import REF_NAME, OciLayout
from registry.manifest import OCI_INDEX, OCI_MANIFEST


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout.create(tmp_path / "deep" / "layout")


def _source(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "source"
    path.write_bytes(data)
    return path


def _files(layout: OciLayout) -> list[str]:
    return sorted(
        str(path.relative_to(layout.path)) for path in layout.path.rglob("*") if path.is_file()
    )


def test_a_new_layout_is_empty_and_valid(layout):
    assert json.loads((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout.path / "index.json").read_bytes())
    assert index == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    assert OciLayout.open(layout.path).index().manifests == ()
    assert OciLayout.create(layout.path).path == layout.path


def test_blobs_come_back(layout, tmp_path):
    data = os.urandom(3 << 20)
    digest = Digest.of(data)
    seen: list[int] = []
    assert layout.blob_bytes(digest) is None
    layout.add_blob(digest, _source(tmp_path, data), on_progress=seen.append)
    layout.add_blob(digest, tmp_path / "not read again", on_progress=seen.append)
    assert sum(seen) == 2 * len(data)
    assert layout.blob_bytes(digest) == len(data)
    assert layout.read_blob(digest, max_bytes=len(data)) == data
    assert layout.read_blob_range(digest, start=5, length=10) == data[5:15]
    assert (layout.blob_path(digest).stat().st_mode & 0o777) == 0o644


def test_a_blob_with_another_digest_leaves_nothing(layout, tmp_path):
    before = _files(layout)
    with pytest.raises(LayoutError, match="has another digest"):
        layout.add_blob(Digest.of(b"this"), _source(tmp_path, b"that"))
    assert _files(layout) == before


def test_an_interrupted_copy_leaves_nothing(layout, tmp_path):
    before = _files(layout)

    def interrupt(_delta: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layout.add_blob(Digest.of(b"x"), _source(tmp_path, b"x"), on_progress=interrupt)
    assert _files(layout) == before


def test_tags_name_the_newest(layout):
    layout.add_manifest(b"{}", OCI_MANIFEST, tag="1", listed=True)
    newest = layout.add_manifest(b"{ }", OCI_MANIFEST, tag="1", listed=True)
    entry = layout.find("1")
    assert (entry.digest, entry.size, entry.annotations) == (newest, 3, {REF_NAME: "1"})
    assert layout.find(None) == entry


def test_what_is_not_listed_is_not_found_by_name(layout):
    digest = layout.add_manifest(b"{}", OCI_MANIFEST, tag="1", listed=False)
    assert layout.read_blob(digest, max_bytes=10) == b"{}"
    with pytest.raises(LayoutError, match="no image"):
        layout.find(None)


def test_several_images_need_a_name(layout):
    layout.add_manifest(b"{}", OCI_MANIFEST, tag="1", listed=True)
    layout.add_manifest(b"{ }", OCI_MANIFEST, tag="2", listed=True)
    with pytest.raises(LayoutError, match="name one of: 1, 2"):
        layout.find(None)
    with pytest.raises(LayoutError, match="tagged 3"):
        layout.find("3")


def test_images_without_a_tag_do_not_replace_each_other(layout):
    for raw in (b"{}", b"{ }", b"{}"):
        layout.add_manifest(raw, OCI_MANIFEST, tag=None, listed=True)
    assert len(layout.index().manifests) == 2


def test_a_blob_that_was_changed_is_told(layout, tmp_path):
    digest = layout.add_manifest(b"{}", OCI_MANIFEST, tag=None, listed=True)
    layout.blob_path(digest).write_bytes(b"[]")
    with pytest.raises(LayoutError, match="has another digest"):
        layout.read_blob(digest, max_bytes=10)
    with pytest.raises(LayoutError, match="more than 1 bytes"):
        layout.read_blob(digest, max_bytes=1)
    with pytest.raises(LayoutError, match="ends before byte 5"):
        layout.read_blob_range(digest, start=0, length=5)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("oci-layout", None, "oci-layout cannot be read"),
        ("oci-layout", b"{}", "version"),
        ("oci-layout", b"garbage", "version"),
        ("oci-layout", b'{"imageLayoutVersion": "2.0.0"}', "version"),
        ("index.json", None, "index.json cannot be read"),
        ("index.json", b"garbage", "index.json"),
        ("index.json", b'{"schemaVersion": 2}', "index.json"),
        ("index.json", b" " * (5 << 20), "more than"),
    ],
)
def test_broken_layouts_say_what_is_wrong(layout, name, content, reason):
    path = layout.path / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(LayoutError, match=reason) as caught:
        OciLayout.open(layout.path).find(None)
    assert caught.value.path == layout.path


def test_other_directories_are_left_alone(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear diary")
    with pytest.raises(LayoutError, match="neither a layout nor empty"):
        OciLayout.create(home)
    with pytest.raises(LayoutError, match="cannot be written"):
        OciLayout.create(home / "letter" / "below")
    assert [path.name for path in home.iterdir()] == ["letter"]


def test_a_missing_source_is_told(layout, tmp_path):
    with pytest.raises(LayoutError, match="missing cannot be read"):
        layout.add_blob(Digest.of(b""), tmp_path / "missing")
