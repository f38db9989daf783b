from pathlib import Path

import pytest

from estargz.access_record import Access, parse_access_record
from registry.digest import Digest
from snapshotter.sampling import access_log
from snapshotter.sampling.access_log import LARGE_FILE_BYTES, AccessLog, choose_files, dump_accesses
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
    assert list(log.files()) == [
        ("etc/passwd", True),
        ("usr/bin/python3.11", True),
        ("tmp/sampler", False),
    ]


def test_too_many_files_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_MAX_PATHS", 2)
    with pytest.raises(WatchError):
        _log(*((f"/{number}", Happened.OPENED) for number in range(3)))


def test_large_files_count_only_if_they_were_read() -> None:
    log = _log(
        ("/small", Happened.OPENED),
        ("/opened", Happened.OPENED),
        ("/read", Happened.OPENED | Happened.READ),
        ("/written by the container", Happened.OPENED),
        ("/not-utf8-\udcff", Happened.OPENED),
    )
    large = LARGE_FILE_BYTES + 1
    files = {
        "small": LayerFile(0, LARGE_FILE_BYTES),
        "opened": LayerFile(1, large),
        "read": LayerFile(2, large),
        "not-utf8-\udcff": LayerFile(0, 1),
    }
    chosen = choose_files(log, files.get, _MANIFEST)
    assert chosen.accesses == (Access("small", _MANIFEST, 0), Access("read", _MANIFEST, 2))
    assert chosen.left_out == ("opened",)
    assert chosen.content_bytes == LARGE_FILE_BYTES + large


def test_a_record_is_read_as_it_was_written() -> None:
    accesses = (Access("usr/bin/äöü", _MANIFEST, 3), Access('a "b"\n', _MANIFEST, 0))
    raw = dump_accesses(accesses)
    assert raw.splitlines()[0].decode() == (
        f'{{"path":"usr/bin/äöü","manifestDigest":"{_MANIFEST}","layerIndex":3}}'
    )
    assert parse_access_record(raw) == accesses
