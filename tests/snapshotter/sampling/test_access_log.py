from pathlib import Path

import pytest

from estargz.access_record import Access, parse_access_record
from registry.digest import Digest
from snapshotter.sampling import access_log
from snapshotter.sampling.access_log import (
    LARGE_FILE_BYTES,
    AccessLog,
    LeftOut,
    choose_files,
    dump_accesses,
)
from snapshotter.sampling.fanotify import FileEvent, Happened, WatchError
from snapshotter.sampling.lower_layers import LayerFile

_MANIFEST = Digest.of(b"manifest")


def _log(*events: tuple[str, Happened]) -> AccessLog:
    log = AccessLog(Path("/tmp/sample"))
    for path, happened in events:
        log.add(FileEvent(path, happened))
    return log


def test_the_order_is_that_of_the_first_time() -> None:
    log = _log(
        ("/tmp/sample/etc/passwd", Happened.OPENED),
        ("/usr/bin/python3.11", Happened.OPENED | Happened.EXECUTED),
        ("/etc/passwd", Happened.READ),
        ("/etc/new (deleted)", Happened.OPENED),
        ("/", Happened.OPENED),
        ("/tmp/sampler", Happened.OPENED),
    )
    assert list(log.paths()) == ["etc/passwd", "usr/bin/python3.11", "tmp/sampler"]


def test_too_many_files_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_MAX_PATHS", 2)
    with pytest.raises(WatchError):
        _log(*((f"/{number}", Happened.OPENED) for number in range(3)))


def test_large_files_count_only_if_half_of_them_was_read() -> None:
    log = _log(
        ("/small", Happened.OPENED),
        ("/hardly read", Happened.OPENED | Happened.READ),
        ("/read", Happened.OPENED),
        ("/written by the container", Happened.OPENED),
        ("/not-utf8-\udcff", Happened.OPENED),
    )
    large, half = LARGE_FILE_BYTES, LARGE_FILE_BYTES // 2
    files = {
        "small": LayerFile(0, large - 1, Path("/0/small")),
        "hardly read": LayerFile(1, large, Path("/1/hardly read")),
        "read": LayerFile(2, large, Path("/2/read")),
        "not-utf8-\udcff": LayerFile(0, 1, Path("/0/not-utf8")),
    }
    read = {Path("/1/hardly read"): half - 1, Path("/2/read"): half}
    chosen = choose_files(log, files.get, read.__getitem__, _MANIFEST)
    assert chosen.accesses == (Access("small", _MANIFEST, 0), Access("read", _MANIFEST, 2))
    assert chosen.left_out == (LeftOut("hardly read", large, half - 1),)
    assert chosen.content_bytes == large - 1 + large


def test_a_record_is_read_as_it_was_written() -> None:
    accesses = (Access("usr/bin/äöü", _MANIFEST, 3), Access('a "b"\n', _MANIFEST, 0))
    raw = dump_accesses(accesses)
    assert raw.splitlines()[0].decode() == (
        f'{{"path":"usr/bin/äöü","manifestDigest":"{_MANIFEST}","layerIndex":3}}'
    )
    assert parse_access_record(raw) == accesses
