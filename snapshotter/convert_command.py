"""``pyestargz convert``: thin; the work is ``estargz.convert``'s."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import click
import trio

from estargz.convert import ConversionOptions, ConversionResult, convert_image
from estargz.planning import MAX_LEVEL, WriterOptions
from registry.client import RegistryClient
from registry.images import ImageName, open_image, open_target
from registry.manifest import Platform
from registry.settings import ClientSettings
from snapshotter.byte_size import parse_size
from snapshotter.convert_report import progress_report, result_document, summary_lines
from snapshotter.image_options import PlatformType, plain_http_option

_DEFAULTS = WriterOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    source: ImageName
    target: ImageName
    options: ConversionOptions
    client: ClientSettings
    lines: bool


def _chunk_bytes(_context: click.Context, _option: click.Parameter, text: str) -> int:
    try:
        # Zero stands for the default with nerdctl and ctr-remote.
        return WriterOptions(chunk_bytes=parse_size(text) or _DEFAULTS.chunk_bytes).chunk_bytes
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--estargz", is_flag=True, expose_value=False, help="What is done anyway.")
@click.option("--oci", is_flag=True, expose_value=False, help="What the result is anyway.")
@click.option(
    "--platform",
    "platforms",
    type=PlatformType(),
    multiple=True,
    help="Convert only the image for this platform; may be repeated.",
)
@click.option(
    "--all-platforms", is_flag=True, help="Convert all images of an index, as by default."
)
@click.option(
    "--estargz-chunk-size",
    "--chunk-size",
    "chunk_size",
    metavar="SIZE",
    callback=_chunk_bytes,
    default="4MiB",
    show_default=True,
    help="Largest piece of a file that is fetched and verified at once.",
)
@click.option(
    "--estargz-compression-level",
    "--compression-level",
    "compression_level",
    type=click.IntRange(1, MAX_LEVEL),
    default=_DEFAULTS.compression_level,
    show_default=True,
    help="libdeflate's level; 6 is as small as gzip -9, 12 some 4 % smaller and far slower.",
)
@click.option(
    "--reuse/--no-reuse",
    default=True,
    show_default=True,
    help="Keep layers that are lazy already as they are, or write them anew.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads that compress; one per CPU.")
@click.option(
    "--work-dir",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where temporary files go; they need as much room as two unpacked layers.",
)
@plain_http_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def convert(  # noqa: PLR0913 - one parameter for each option
    *,
    source: str,
    target: str,
    platforms: tuple[Platform, ...],
    all_platforms: bool,
    chunk_size: int,
    compression_level: int,
    reuse: bool,
    threads: int | None,
    work_dir: Path | None,
    plain_http: tuple[str, ...],
    as_json: bool,
) -> None:
    """Makes the eStargz version of image SOURCE, of all its platforms, as TARGET.

    Both are names in a registry (HOST/REPOSITORY:TAG), directories in OCI layout (oci:DIR[:TAG]) or tars of such
    (oci-archive:FILE[:TAG]); SOURCE may also be what docker save wrote (docker-archive:FILE[:NAME:TAG]). The
    result is an ordinary OCI image: any runtime can still pull it.
    """
    if platforms and all_platforms:
        raise click.UsageError("--platform and --all-platforms exclude each other")
    writer = WriterOptions(chunk_bytes=chunk_size, compression_level=compression_level)
    options = ConversionOptions(
        writer=writer, platforms=platforms, reuse=reuse, work_directory=work_dir
    )
    if threads is not None:
        options = dataclasses.replace(options, threads=threads)
    task = _Task(
        source=ImageName.parse(source),
        target=ImageName.parse(target),
        options=options,
        client=ClientSettings(plain_http_hosts=frozenset(plain_http)),
        lines=not as_json,
    )
    result = trio.run(_convert, task)
    if as_json:
        click.echo(
            json.dumps(result_document(str(task.source), str(task.target), result), indent=2)
        )
    else:
        click.echo("\n".join(summary_lines(str(task.source), str(task.target), result)))


async def _convert(task: _Task) -> ConversionResult:
    async with (
        RegistryClient(task.client) as client,
        open_target(task.target, client) as target,
    ):
        source = open_image(task.source, client)
        with progress_report(lines=task.lines) as on_event:
            return await convert_image(source, target, task.options, progress=on_event)
