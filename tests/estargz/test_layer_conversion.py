import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings

from estargz.errors import UnsupportedTarError
from estargz.layer_conversion import convert_layer
from estargz.planning import WriterOptions
from estargz.writer import FinishedBlob
from tests.estargz.blobs import SMALL_CHUNKS, write_blob
from tests.strategies import Node, build_tar, tars


class _StoppedError(Exception):
    pass


def _convert(
    directory: Path, tar: bytes, *, threads: int, options: WriterOptions = SMALL_CHUNKS
) -> tuple[bytes, FinishedBlob, list[int]]:
    (directory / "tar").write_bytes(tar)
    reports: list[int] = []
    with ThreadPoolExecutor(threads) as pool:
        finished = convert_layer(
            directory / "tar",
            directory / "blob",
            options,
            pool=pool,
            window=threads + 1,
            report=reports.append,
        )
    return (directory / "blob").read_bytes(), finished, reports


@settings(max_examples=40, deadline=None)
@given(tar=tars)
def test_threads_and_files_make_the_same_blob_as_one_thread_in_memory(
    tmp_path_factory: pytest.TempPathFactory, tar: bytes
) -> None:
    written = write_blob(tar)
    for threads in (1, 3):
        blob, finished, _ = _convert(tmp_path_factory.mktemp("layer"), tar, threads=threads)
        assert blob == written.data
        assert finished == written.finished


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_large_layer_with_many_batches(tmp_path: Path, threads: int) -> None:
    noise = random.Random(0)
    nodes = [Node(name="huge", content=noise.randbytes(3 << 20))]
    nodes += [Node(name=str(size), content=noise.randbytes(size)) for size in range(1500)]
    tar = build_tar(nodes)
    options = WriterOptions(chunk_bytes=1 << 20, compression_level=1)
    blob, finished, reports = _convert(tmp_path, tar, threads=threads, options=options)
    assert blob == write_blob(tar, options).data
    assert finished.blob_bytes == len(blob)
    assert len(reports) > 5
    assert 0 <= finished.uncompressed_bytes - sum(reports) <= finished.uncompressed_bytes // 3


def test_an_empty_file_is_an_empty_layer(tmp_path: Path) -> None:
    blob, _, _ = _convert(tmp_path, b"", threads=1)
    assert blob == write_blob(b"").data


def test_the_work_stops_when_its_reports_are_refused(tmp_path: Path) -> None:
    def refuse(_delta: int) -> None:
        raise _StoppedError

    (tmp_path / "tar").write_bytes(build_tar([Node(name="a", content=bytes(9 << 20))]))
    with ThreadPoolExecutor(2) as pool, pytest.raises(_StoppedError):
        convert_layer(
            tmp_path / "tar", tmp_path / "blob", WriterOptions(), pool=pool, window=2, report=refuse
        )


def test_a_damaged_tar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTarError):
        _convert(tmp_path, b"no tar" * 1000, threads=1)
