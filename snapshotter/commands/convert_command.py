"""``pyestargz convert``: thin; the work is ``estargz.convert``'s."""

import json
from dataclasses import dataclass
from typing import Any

import click
import trio

from estargz.convert import ConversionOptions, ConversionResult, convert_image
from estargz.external_toc import TOC_IMAGE_SUFFIX
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    source: NamedImage
    target: NamedImage
    options: ConversionOptions
    access: ImageAccess
    lines: bool


@click.command()
@click.argument("source")
@click.argument("target")
@layer_options
@image_access_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def convert(
    *, source: str, target: str, access: ImageAccess, as_json: bool, **arguments: Any
) -> None:
    """Makes the eStargz version of image SOURCE, of all its platforms, as TARGET.

    Both are names in a registry (HOST/REPOSITORY:TAG) or in containerd (containerd:NAME), directories in OCI layout
    (oci:DIR[:TAG]) or tars of such (oci-archive:FILE[:TAG]); SOURCE may also be what docker save wrote
    (docker-archive:FILE[:NAME:TAG]). The result is an ordinary OCI image: any runtime can still pull it.
    """
    name = parse_image(source)
    task = _Task(
        source=name,
        target=parse_image(target),
        options=ConvertArguments(**arguments).to_options(usual_platforms(name, host_platform())),
        access=access,
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
    async with ImageStores(task.access) as stores, stores.target(task.target) as target:
        source = stores.open(task.source)
        is_external = task.options.writer.makes_external_toc
        toc_target = target.sibling(TOC_IMAGE_SUFFIX) if is_external else None
        with progress_report(lines=task.lines) as on_event:
            return await convert_image(
                source, target, task.options, progress=on_event, toc_target=toc_target
            )
