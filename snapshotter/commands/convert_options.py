"""The options of ``pyestargz convert`` that say how layers are written, named as nerdctl and ctr-remote name them."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from estargz.access_record import MAX_RECORD_BYTES, parse_access_record, parse_patterns
from estargz.codec import Codec
from estargz.convert import ConversionOptions
from estargz.errors import RecordError
from estargz.planning import MAX_LEVEL, MAX_ZSTD_LEVEL, BlobLayout, WriterOptions
from estargz.prefetching import PrefetchRequest
from registry.manifest import Platform
from snapshotter.commands.byte_size import parse_size
from snapshotter.commands.image_options import PlatformType

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULTS: Final = WriterOptions()
_ZSTD_LEVEL: Final = 3
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertArguments:
    """What the options of ``layer_options`` were given."""

    platforms: tuple[Platform, ...]
    all_platforms: bool
    chunk_size: int
    min_chunk_size: int
    compression_level: int
    record_in: Path | None
    prefetch_list: Path | None
    zstdchunked: bool
    zstd_level: int
    external_toc: bool
    keep_diff_id: bool
    reuse: bool
    threads: int | None
    work_dir: Path | None

    def to_options(self, usual_platforms: tuple[Platform, ...] = ()) -> ConversionOptions:
        """What they mean.

        Args:
            usual_platforms: which images of an index are meant if no option says so; without any, all.

        Raises:
            click.UsageError: some of them exclude each other.
        """
        self._refuse_contradictions()
        try:
            writer = self._writer()
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        options = ConversionOptions(
            writer=writer,
            platforms=self.platforms or (() if self.all_platforms else usual_platforms),
            prefetch=self._prefetch(),
            # Lazy layers have their TOC inside, which is not what was asked for; but their diffID stays.
            reuse=self.reuse and not (self.external_toc and not self.keep_diff_id),
            work_directory=self.work_dir,
        )
        return (
            options if self.threads is None else dataclasses.replace(options, threads=self.threads)
        )

    def _refuse_contradictions(self) -> None:
        if self.platforms and self.all_platforms:
            raise click.UsageError("--platform and --all-platforms exclude each other")
        if self.zstdchunked and self.external_toc:
            raise click.UsageError("--zstdchunked and --estargz-external-toc exclude each other")
        if self.keep_diff_id and not self.external_toc:
            raise click.UsageError("--estargz-keep-diff-id needs --estargz-external-toc")
        if self.keep_diff_id and (self.record_in or self.prefetch_list):
            raise click.UsageError(
                "--estargz-keep-diff-id leaves files where they are: no list of files"
            )

    def _writer(self) -> WriterOptions:
        layout = BlobLayout.EXTERNAL_TOC if self.external_toc else BlobLayout.COMPLETE
        return WriterOptions(
            chunk_bytes=self.chunk_size,
            min_chunk_bytes=self.min_chunk_size,
            codec=Codec.ZSTD if self.zstdchunked else Codec.GZIP,
            compression_level=self.zstd_level if self.zstdchunked else self.compression_level,
            layout=BlobLayout.LOSSLESS if self.keep_diff_id else layout,
        )

    def _prefetch(self) -> PrefetchRequest:
        return PrefetchRequest(
            accesses=_parse_file(self.record_in, parse_access_record),
            patterns=_parse_file(self.prefetch_list, parse_patterns),
        )


_Item = TypeVar("_Item")


def _parse_file(
    path: Path | None, parse: Callable[[bytes], tuple[_Item, ...]]
) -> tuple[_Item, ...]:
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_RECORD_BYTES + 1))
    except RecordError as error:
        raise click.UsageError(f"{path}: {error}") from None


def _size(_context: click.Context, _option: click.Parameter, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _chunk_size(context: click.Context, option: click.Parameter, text: str) -> int:
    # Zero stands for the default with nerdctl and ctr-remote.
    size = _size(context, option, text) or _DEFAULTS.chunk_bytes
    try:
        return WriterOptions(chunk_bytes=size).chunk_bytes
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def layer_options(command: _Command) -> _Command:
    """Adds the options; the command gets the fields of ``ConvertArguments``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS: Final[Sequence[Callable[[Any], Any]]] = (
    click.option("--estargz", is_flag=True, expose_value=False, help="What is done anyway."),
    click.option("--oci", is_flag=True, expose_value=False, help="What the result is anyway."),
    click.option(
        "--platform",
        "platforms",
        type=PlatformType(),
        multiple=True,
        help="Convert only the image for this platform; may be repeated.",
    ),
    click.option(
        "--all-platforms",
        is_flag=True,
        help="Convert all images of an index: the default, but for images in containerd.",
    ),
    click.option(
        "--estargz-chunk-size",
        "--zstdchunked-chunk-size",
        "--chunk-size",
        "chunk_size",
        metavar="SIZE",
        callback=_chunk_size,
        default="4MiB",
        show_default=True,
        help="Largest piece of a file that is fetched and verified at once.",
    ),
    click.option(
        "--estargz-min-chunk-size",
        "--min-chunk-size",
        "min_chunk_size",
        metavar="SIZE",
        callback=_size,
        default="0",
        help="Let small files share a compressed member of this size: smaller layers, coarser fetching.",
    ),
    click.option(
        "--estargz-compression-level",
        "--compression-level",
        "compression_level",
        type=click.IntRange(1, MAX_LEVEL),
        default=_DEFAULTS.compression_level,
        show_default=True,
        help="libdeflate's level; 6 is as small as gzip -9, 12 some 4 % smaller and far slower.",
    ),
    click.option(
        "--estargz-record-in",
        "--zstdchunked-record-in",
        "record_in",
        type=_FILE,
        help="Put first what this record names: of ctr-remote, or one path on each line.",
    ),
    click.option(
        "--prefetch-list",
        type=_FILE,
        help="Put first what matches these patterns (*, ?, [], **), one on each line.",
    ),
    click.option("--zstdchunked", is_flag=True, help="Write zstd:chunked layers instead of gzip."),
    click.option(
        "--zstdchunked-compression-level",
        "zstd_level",
        type=click.IntRange(1, MAX_ZSTD_LEVEL),
        default=_ZSTD_LEVEL,
        show_default=True,
        help="zstd's level, with --zstdchunked.",
    ),
    click.option(
        "--estargz-external-toc",
        "external_toc",
        is_flag=True,
        help="Keep tables of contents in an image of their own, TARGET-esgztoc.",
    ),
    click.option(
        "--estargz-keep-diff-id",
        "keep_diff_id",
        is_flag=True,
        help="Change no layer's content, with --estargz-external-toc.",
    ),
    click.option(
        "--reuse/--no-reuse",
        default=True,
        show_default=True,
        help="Keep layers that are lazy already as they are, or write them anew.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), help="Threads that compress; one per CPU."
    ),
    click.option(
        "--work-dir",
        type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
        help="Where temporary files go; they need as much room as two unpacked layers.",
    ),
)
