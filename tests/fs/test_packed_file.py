from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from fs.errors import LayerStateError
from fs.packed_file import dump_packed, map_packed

MAGIC = b"testfile"
SOURCE = bytes(range(32))


def write(path: Path, sections: list[bytes], *, version: int = 1) -> None:
    path.write_bytes(dump_packed(sections, magic=MAGIC, version=version, source=SOURCE))


def read(path: Path, sections: int, *, magic: bytes = MAGIC, source: bytes = SOURCE) -> list[bytes]:
    mapped = map_packed(path, magic=magic, version=1, source=source, sections=sections)
    return [bytes(section) for section in mapped]


@given(sections=st.lists(st.binary(max_size=50), max_size=6))
def test_sections_come_back(
    sections: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("packed") / "file"
    write(path, sections)
    assert read(path, len(sections)) == sections


def test_numbers_lie_where_they_can_be_read_in_place(tmp_path: Path) -> None:
    write(tmp_path / "file", [b"odd", (7).to_bytes(8, "little")])
    _, numbers = map_packed(tmp_path / "file", magic=MAGIC, version=1, source=SOURCE, sections=2)
    assert numbers.cast("Q").tolist() == [7]


def test_what_is_mapped_outlives_its_name(tmp_path: Path) -> None:
    write(tmp_path / "file", [b"content"])
    (section,) = map_packed(tmp_path / "file", magic=MAGIC, version=1, source=SOURCE, sections=1)
    (tmp_path / "file").unlink()
    assert bytes(section) == b"content"


@pytest.mark.parametrize("position", range(0, 100, 7))
def test_every_flipped_bit_is_noticed(tmp_path: Path, position: int) -> None:
    path = tmp_path / "file"
    write(path, [b"some content", b"more"])
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(LayerStateError, match=str(path)):
        read(path, 2)


@pytest.mark.parametrize("length", [0, 10, 56, 60, 99])
def test_a_torn_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    write(path, [b"some content", b"more"])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(LayerStateError):
        read(path, 2)


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(LayerStateError, match="No such file"):
        read(path, 1)
    write(path, [b"x"])
    for unexpected in ({"magic": b"another1"}, {"source": bytes(32)}):
        with pytest.raises(LayerStateError, match="another kind"):
            read(path, 1, **unexpected)
    with pytest.raises(LayerStateError, match="another kind"):
        read(path, 2)
    write(path, [b"x"], version=2)
    with pytest.raises(LayerStateError, match=r"version \(2\)"):
        read(path, 1)
