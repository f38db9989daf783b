"""``pyestargz optimize``: runs an image, and converts it so that what it opened comes first. Thin, like ``convert``."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import click
import trio

from estargz.convert import ConversionOptions, ConversionResult, convert_image
from estargz.external_toc import TOC_IMAGE_SUFFIX
from estargz.image_reading import SourceManifest, read_image
from estargz.image_selection import config_platform, require_platforms
from estargz.planning import BlobLayout
from estargz.prefetching import PrefetchRequest
from registry.hosts import is_loopback
from registry.image_names import ImageName
from registry.images import ImageStore
from registry.manifest import Platform
from registry.platforms import is_platform
from registry.reference import Reference
from snapshotter.commands.convert_options import ConvertArguments, layer_options
from snapshotter.commands.convert_report import progress_report, result_document, summary_lines
from snapshotter.commands.image_options import host_platform, image_access_options
from snapshotter.commands.image_stores import (
    ImageAccess,
    ImageStores,
    NamedImage,
    parse_image,
    usual_platforms,
)
from snapshotter.commands.sample_options import (
    SampleArguments,
    sample_options,
    take_sample_arguments,
)
from snapshotter.commands.sample_report import sample_document, sample_lines, write_record
from snapshotter.sampling.ctr_client import Ctr
from snapshotter.sampling.sample_container import Limits
from snapshotter.sampling.sample_root import Unpacking
from snapshotter.sampling.sample_run import Sample, record_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    source: NamedImage
    target: NamedImage
    options: ConversionOptions
    sample: SampleArguments | None
    access: ImageAccess
    lines: bool


@click.command()
@click.argument("source")
@click.argument("target")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@sample_options
@layer_options
@click.option("--no-optimize", is_flag=True, help="Only convert; run nothing.")
@image_access_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def optimize(
    *,
    source: str,
    target: str,
    command: tuple[str, ...],
    no_optimize: bool,
    access: ImageAccess,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Runs image SOURCE, records which files it opens, and converts it to TARGET with these first.

    SOURCE and TARGET are as for convert. The containerd of this machine runs SOURCE, and pulls it if it has not unpacked
    it; COMMAND takes the place of the image's own. With --prefetch-list or --estargz-record-in, nothing is run, and that
    comes first. Running needs root, ctr and overlayfs.
    """
    sample = take_sample_arguments(arguments, command)
    name = parse_image(source)
    options = ConvertArguments(**arguments).to_options(usual_platforms(name, host_platform()))
    has_list = options.prefetch != PrefetchRequest()
    if no_optimize and has_list:
        raise click.UsageError("--no-optimize and a list of files exclude each other")
    if not no_optimize and options.writer.layout is BlobLayout.LOSSLESS:
        raise click.UsageError("--estargz-keep-diff-id leaves files where they are")
    if (no_optimize or has_list) and (command or sample.record_out):
        raise click.UsageError("nothing is run, so there is no use for COMMAND or --record-out")
    task = _Task(
        source=name,
        target=parse_image(target),
        options=options,
        sample=None if no_optimize or has_list else sample,
        access=access,
        lines=not as_json,
    )
    recorded, result = trio.run(_optimize, task)
    if as_json:
        document = result_document(str(task.source), str(task.target), result)
        click.echo(json.dumps(document | sample_document(recorded), indent=2))
    else:
        click.echo("\n".join(summary_lines(str(task.source), str(task.target), result)))


async def _optimize(task: _Task) -> tuple[Sample | None, ConversionResult]:
    async with ImageStores(task.access) as stores, stores.target(task.target) as target:
        source = stores.open(task.source)
        options, sample = task.options, None
        if task.sample is not None:
            sample = await _record(task, task.sample, source)
            request = PrefetchRequest(accesses=sample.files.accesses)
            options = dataclasses.replace(options, prefetch=request)
        is_external = options.writer.makes_external_toc
        toc_target = target.sibling(TOC_IMAGE_SUFFIX) if is_external else None
        with progress_report(lines=task.lines) as on_event:
            result = await convert_image(
                source, target, options, progress=on_event, toc_target=toc_target
            )
        return sample, result


async def _record(task: _Task, arguments: SampleArguments, source: ImageStore) -> Sample:
    image = await _runnable_image(source, usual_platforms(task.source, host_platform()))
    limits = Limits(
        period_seconds=arguments.period_seconds,
        wait_on_line=arguments.wait_on_line,
        on_output=_show,
    )
    unpacking = _unpacking(task, arguments, image)
    sample = await record_sample(
        image, unpacking, arguments.run, limits, chunk_bytes=task.options.writer.chunk_bytes
    )
    if task.lines:
        click.echo("\n".join(sample_lines(sample)))
    if arguments.record_out is not None:
        await trio.to_thread.run_sync(write_record, arguments.record_out, sample)
    return sample


async def _runnable_image(source: ImageStore, usual: tuple[Platform, ...]) -> SourceManifest:
    """The image for this machine; what is recorded does not count for others.

    Raises:
        PlatformError: there is none.
    """
    images = (await read_image(source, platforms=usual)).manifests
    platforms = [config_platform(image.config) for image in images]
    host = host_platform()
    require_platforms(platforms, [host])
    return next(
        image
        for image, platform in zip(images, platforms, strict=True)
        if is_platform(platform, host)
    )


def _unpacking(task: _Task, arguments: SampleArguments, image: SourceManifest) -> Unpacking:
    name, plain_http = "", False
    match task.source:
        case ImageName(Reference(host=host, repository=repository)):
            name = f"{host}/{repository}@{image.digest}"
            plain_http = is_loopback(host) or host in task.access.registries.plain_http_hosts
        case _:
            pass
    containerd = task.access.containerd
    return Unpacking(
        ctr=Ctr(containerd.socket, containerd.namespace),
        snapshotter=arguments.snapshotter,
        name=name,
        plain_http=plain_http,
    )


def _show(output: bytes) -> None:
    # stdout is for the result.
    click.echo(output, nl=False, err=True)
