import io
import random
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from estargz.errors import UnsupportedTarError
from estargz.planning import BlobLayout, WriterOptions, plan_layer
from estargz.tar_stream import Span, read_content, read_entries
from tests.estargz.blobs import read_written, write_blob
from tests.strategies import CHUNK_BYTES

_FORMATS = {
    "gnu": ["--format=gnu"],
    "pax-0.0": ["--format=posix", "--sparse-version=0.0"],
    "pax-0.1": ["--format=posix", "--sparse-version=0.1"],
    "pax-1.0": ["--format=posix", "--sparse-version=1.0"],
}
# Data and holes by turns; the last of them ends the file.
_LAYOUTS = {
    "hole-first": [("hole", 1 << 20), ("data", 5000), ("hole", 1 << 20)],
    "data-first": [("data", 4096), ("hole", 100_000), ("data", 1)],
    "only-a-hole": [("hole", 50_000)],
    "many": [("data", 4096), ("hole", 8192)] * 40,
}


def _write(path: Path, layout: Sequence[tuple[str, int]]) -> bytes:
    noise = random.Random(1)
    content = b"".join(
        noise.randbytes(size) if kind == "data" else bytes(size) for kind, size in layout
    )
    position = 0
    with path.open("wb") as file:
        for kind, size in layout:
            if kind == "data":
                file.seek(position)
                file.write(content[position : position + size])
            position += size
        file.truncate(position)
    return content


def _sparse_tar(directory: Path, options: Sequence[str]) -> bytes:
    names = sorted(path.name for path in directory.iterdir())
    command = ["tar", "-S", *options, "-C", str(directory), "-cf", "-", *names]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("tar_format", _FORMATS)
def test_sparse_files_are_stored_in_full(tmp_path: Path, tar_format: str, layout: str) -> None:
    content = _write(tmp_path / "m", _LAYOUTS[layout])
    (tmp_path / "a").write_bytes(b"before")
    (tmp_path / "z").write_bytes(b"behind")
    tar = _sparse_tar(tmp_path, _FORMATS[tar_format])
    assert len(tar) < len(content) + 20_000
    written = write_blob(tar)
    _, files = read_written(written)
    assert files == {
        ".no.prefetch.landmark": b"\x0f",
        "a": b"before",
        "m": content,
        "z": b"behind",
    }


def _members(tar: bytes) -> bytes:
    plan = plan_layer(memoryview(tar), WriterOptions(chunk_bytes=CHUNK_BYTES))
    return b"".join(piece for member in plan.members for piece in member.pieces)


@pytest.mark.parametrize("tar_format", _FORMATS)
def test_the_new_header_says_all_that_the_old_one_said(tmp_path: Path, tar_format: str) -> None:
    name = "n" * 150
    content = _write(tmp_path / name, _LAYOUTS["many"])
    (tmp_path / name).chmod(0o4751)
    options = [*_FORMATS[tar_format], "--owner=jo:1234", "--mtime=2024-05-01 00:00:00.5"]
    if "posix" in options[0]:
        options.append("--pax-option=SCHILY.xattr.user.a:=x")
    tar = _sparse_tar(tmp_path, options)
    with tarfile.open(fileobj=io.BytesIO(_members(tar))) as archive:
        landmark, info = archive.getmembers()
        file = archive.extractfile(info)
        assert file is not None
        assert file.read() == content
    assert landmark.name == ".no.prefetch.landmark"
    assert (info.name, info.mode, info.uid, info.uname) == (name, 0o4751, 1234, "jo")
    assert not info.issparse()
    assert not any(keyword.startswith("GNU.sparse") for keyword in info.pax_headers)
    if tar_format != "gnu":
        assert info.mtime == 1714521600.5
        assert info.pax_headers["SCHILY.xattr.user.a"] == "x"


@given(st.data())
def test_any_part_can_be_read(data: st.DataObject) -> None:
    tar, content = _SAMPLE
    (entry,) = read_entries(memoryview(tar))
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    assert bytes(read_content(memoryview(tar), entry, Span(start, end))) == content[start:end]


def _handmade(pairs: Sequence[tuple[int, int]], *, size: int, stored: int) -> bytes:
    """A sparse file of PAX format 0.1, with any map."""
    info = tarfile.TarInfo("sparse")
    info.size = stored
    info.pax_headers = {
        "GNU.sparse.size": str(size),
        "GNU.sparse.map": ",".join(f"{offset},{length}" for offset, length in pairs),
    }
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(random.Random(2).randbytes(stored)))
    return output.getvalue()


def _sample() -> tuple[bytes, bytes]:
    stored = random.Random(2).randbytes(1000)
    content = bytes(100) + stored[:600] + bytes(300) + stored[600:] + bytes(50)
    return _handmade([(100, 600), (1000, 400)], size=1450, stored=1000), content


_SAMPLE = _sample()


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        ([(100, 600), (600, 400)], 2000),
        ([(1200, 400), (0, 600)], 2000),
        ([(0, 600), (1700, 400)], 2000),
        ([(0, -5)], 2000),
        ([(0, 2000)], 2000),
        ([(0, 100)], 2000),
        ([(0, 1000)], 1 << 40),
    ],
    ids=["overlap", "order", "behind", "negative", "not-stored", "not-mapped", "huge"],
)
def test_maps_that_make_no_sense_are_refused(pairs: list[tuple[int, int]], size: int) -> None:
    with pytest.raises(UnsupportedTarError, match="sparse"):
        read_entries(memoryview(_handmade(pairs, size=size, stored=1000)))


def test_what_must_not_change_cannot_be_sparse() -> None:
    options = WriterOptions(layout=BlobLayout.LOSSLESS)
    with pytest.raises(UnsupportedTarError, match="holes"):
        plan_layer(memoryview(_SAMPLE[0]), options)
