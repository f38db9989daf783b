import dataclasses
import re
from collections.abc import Iterable

import pytest

from estargz.convert import ConversionResult, ConvertedImage
from estargz.image_rewriting import ConvertedLayer
from estargz.progress import Event, LayerAdvanced, LayerFinished, LayerPushed, LayerStarted, Phase
from registry.digest import Digest
from snapshotter.commands.convert_report import progress_report, result_document, summary_lines

_OLD, _NEW, _TOC = (Digest.of(text) for text in (b"old", b"new", b"toc"))
_LAYER = ConvertedLayer(
    source_digest=_OLD,
    source_bytes=15_000_000,
    digest=_NEW,
    blob_bytes=16_000_000,
    diff_id=_NEW,
    uncompressed_bytes=50_000_000,
    toc_digest=_TOC,
    toc_entries=3,
)


def _events(*, was_there: bool) -> list[Event]:
    return [
        LayerStarted(_OLD, 100),
        LayerAdvanced(_OLD, Phase.FETCH, 100, 100),
        LayerAdvanced(_OLD, Phase.COMPRESS, 300, 600),
        LayerAdvanced(_OLD, Phase.COMPRESS, 300, 600),
        LayerFinished(_OLD, _LAYER),
        LayerAdvanced(_OLD, Phase.PUSH, 50, 120),
        LayerAdvanced(_OLD, Phase.PUSH, -50, 120),
        LayerPushed(_OLD, was_there),
    ]


def _result(images: int, left_out: Iterable[Digest] = ()) -> ConversionResult:
    image = ConvertedImage(
        platform="linux/amd64", source_digest=_OLD, digest=_NEW, layers=(_LAYER, _LAYER)
    )
    return ConversionResult(
        source_digest=_OLD,
        digest=_NEW,
        media_type="application/vnd.oci.image.index.v1+json",
        images=(image,) * images,
        left_out=tuple(left_out),
        seconds=2.5,
    )


def _show(events: Iterable[Event], *, lines: bool) -> None:
    with progress_report(lines=lines) as on_event:
        for event in events:
            on_event(event)


def test_a_kept_layer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    kept = dataclasses.replace(_LAYER, digest=_OLD, blob_bytes=15_000_000, kept=True)
    _show([LayerFinished(_OLD, kept), LayerPushed(_OLD, was_there=True)], lines=True)
    assert capsys.readouterr().out == f"{_OLD} kept 15.0 MB (was there)\n"


@pytest.mark.parametrize(("was_there", "end"), [(False, ""), (True, " (was there)")])
def test_a_pipe_gets_one_line_for_each_finished_layer(
    capsys: pytest.CaptureFixture[str], *, was_there: bool, end: str
) -> None:
    _show(_events(was_there=was_there), lines=True)
    output = capsys.readouterr()
    assert output.out == f"{_OLD} -> {_NEW} 15.0 MB -> 16.0 MB{end}\n"
    assert output.err == ""


def test_a_script_gets_nothing_but_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    _show(_events(was_there=False), lines=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("was_there", "end"), [(False, "pushed"), (True, "was there")])
def test_a_terminal_gets_bars(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    was_there: bool,
    end: str,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    _show(_events(was_there=was_there), lines=True)
    output = capsys.readouterr()
    assert output.out == ""
    last = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.err).rstrip())[-1]
    assert last.startswith(f"{_OLD.hex[:12]} {end}")
    assert "120/120 bytes" in last


def test_the_summary_counts_each_layer_once() -> None:
    assert list(summary_lines("a", "b", _result(1))) == [
        "a -> b",
        "1 layers, 15.0 MB -> 16.0 MB in 2.5 s (20.0 MB/s unpacked)",
        str(_NEW),
    ]
    assert list(summary_lines("a", "b", _result(2, [_TOC])))[1:3] == [
        "2 platforms, 1 layers, 15.0 MB -> 16.0 MB in 2.5 s (20.0 MB/s unpacked)",
        "left out: 1 attestations, which describe the original",
    ]


def test_the_document() -> None:
    document = result_document("a", "b", _result(1, [_TOC]))
    layer = {
        "sourceDigest": str(_OLD),
        "sourceSize": 15_000_000,
        "digest": str(_NEW),
        "size": 16_000_000,
        "diffId": str(_NEW),
        "uncompressedSize": 50_000_000,
        "tocDigest": str(_TOC),
        "tocEntries": 3,
        "kept": False,
    }
    image = {
        "platform": "linux/amd64",
        "sourceDigest": str(_OLD),
        "digest": str(_NEW),
        "layers": [layer, layer],
    }
    assert document == {
        "source": "a",
        "target": "b",
        "sourceDigest": str(_OLD),
        "digest": str(_NEW),
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "images": [image],
        "leftOut": [str(_TOC)],
        "seconds": 2.5,
    }
