from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from estargz.access_record import Access
from estargz.codec import Codec
from estargz.convert import ConversionOptions
from estargz.planning import BlobLayout
from snapshotter.commands.convert_options import ConvertArguments, layer_options


def _options(*words: str) -> ConversionOptions:
    made: list[ConversionOptions] = []

    @click.command()
    @layer_options
    def command(**arguments: Any) -> None:
        made.append(ConvertArguments(**arguments).to_options())

    CliRunner().invoke(command, list(words), catch_exceptions=False, standalone_mode=False)
    return made[0]


def test_the_defaults_are_the_converters() -> None:
    assert _options() == ConversionOptions()


def test_how_blobs_are_written() -> None:
    writer = _options("--estargz-min-chunk-size", "50000", "--zstdchunked").writer
    assert (writer.min_chunk_bytes, writer.codec, writer.compression_level) == (
        50000,
        Codec.ZSTD,
        3,
    )
    external = _options("--estargz-external-toc")
    assert (external.writer.layout, external.reuse) == (BlobLayout.EXTERNAL_TOC, False)
    lossless = _options("--estargz-external-toc", "--estargz-keep-diff-id")
    assert (lossless.writer.layout, lossless.reuse) == (BlobLayout.LOSSLESS, True)


def test_what_comes_first(tmp_path: Path) -> None:
    record, patterns = tmp_path / "record", tmp_path / "patterns"
    record.write_text("/bin/sh\n")
    patterns.write_text("# shells\nbin/*sh\n")
    words = ["--estargz-record-in", str(record), "--prefetch-list", str(patterns)]
    prefetch = _options(*words).prefetch
    assert prefetch.accesses == (Access("bin/sh"),)
    assert prefetch.patterns == ("bin/*sh",)


@pytest.mark.parametrize(
    "words",
    [
        ["--platform", "linux/arm", "--all-platforms"],
        ["--zstdchunked", "--estargz-external-toc"],
        ["--estargz-keep-diff-id"],
        ["--estargz-min-chunk-size", "1GiB"],
        ["--estargz-external-toc", "--estargz-keep-diff-id", "--prefetch-list", "/etc/hostname"],
        ["--estargz-record-in", "/bin/true"],
    ],
    ids=" ".join,
)
def test_contradictions_are_usage_errors(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        _options(*words)
