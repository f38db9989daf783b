import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from registry import tar_files
from registry.errors import LayoutError
from registry.tar_files import TarFiles
from tests.registry.archives import write_tar


def test_files_are_found_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {"./a": b"first", "d/b": b"second", "d/../a": b"last"})
    tar = TarFiles.open(path)
    assert tar.read("a", max_bytes=4) == b"last"
    assert tar.read("./d/b", max_bytes=100) == b"second"
    assert tar.read_range(tar.find("d/b"), start=3, length=3) == b"ond"
    for failing in (
        lambda: tar.read("a", max_bytes=3),
        lambda: tar.find("c"),
        lambda: tar.read_range(tar.find("d/b"), start=3, length=4),
    ):
        with pytest.raises(LayoutError):
            failing()


def test_links_are_followed_inside_the_tar_and_not_far(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    chain = {f"l{i}": f"l{i + 1}" for i in range(20)} | {"l20": "f", "circle": "circle"}
    outside = {"d/up": "../../../../f", "host": "/etc/passwd"}
    write_tar(path, {"f": b"x"}, links=chain | outside)
    files = TarFiles.open(path).files
    assert set(files) == {"f", "d/up", *(f"l{i}" for i in range(13, 21))}


def test_hard_links_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("f")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
        info = tarfile.TarInfo("l")
        info.type, info.linkname = tarfile.LNKTYPE, "f"
        tar.addfile(info)
    assert TarFiles.open(path).read("l", max_bytes=1) == b"x"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (gzip.compress(b"x", mtime=0), "compressed with gzip"),
        (b"x" * 1024, "no tar"),
        (b"", "no tar"),
    ],
)
def test_what_is_no_tar(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(LayoutError, match=text):
        TarFiles.open(tmp_path / "a.tar")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_files, "MAX_FILES", 2)
    write_tar(tmp_path / "a.tar", {"a": b"", "b": b"", "c": b""})
    with pytest.raises(LayoutError, match="more than 2"):
        TarFiles.open(tmp_path / "a.tar")


def test_a_header_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(2048))
    with pytest.raises(LayoutError, match="header"):
        TarFiles.open(tmp_path / "a.tar")


def test_a_tar_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {"a": b"a", "b": bytes(10_000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(LayoutError, match="damaged"):
        TarFiles.open(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 3 * 1024 - 1), value=st.integers(0, 255))
def test_whatever_the_bytes_only_the_known_error_comes(
    tmp_path: Path, position: int, value: int
) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {"a": b"a" * 600, "b": b"b"}, links={"c": "b"})
    data = bytearray(path.read_bytes())
    data[position] = value
    path.write_bytes(data)
    try:
        tar = TarFiles.open(path)
        for name in tar.files:
            tar.read(name, max_bytes=1 << 20)
    except LayoutError:
        pass
