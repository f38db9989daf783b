"""``pyestargz doctor``: thin; what is looked at is in the lists of checks below, what is found is ``doctor_checks.Finding``."""

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from fs.log import LogLevel
from registry.reference import Reference
from registry.settings import ClientSettings
from snapshotter.commands.containerd_checks import check_containerd
from snapshotter.commands.doctor_checks import (
    Check,
    Finding,
    Outcome,
    finding_document,
    finding_lines,
    run_checks,
)
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.image_options import containerd_option
from snapshotter.commands.lost_containers import check_containers
from snapshotter.commands.machine_checks import machine_checks, reporting
from snapshotter.commands.registry_checks import check_registry
from snapshotter.commands.serve_options import ServeOptions, place_options
from snapshotter.config_file import DEFAULT_CONFIG

_CONTAINERD_CONFIG: Final = Path("/etc/containerd/config.toml")


@click.command()
@click.argument("image", required=False)
@place_options
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=f"The daemon's configuration file (TOML); {DEFAULT_CONFIG} if that is there.",
)
@click.option(
    "--containerd-config",
    type=click.Path(path_type=Path),
    default=_CONTAINERD_CONFIG,
    show_default=True,
    help="containerd's configuration file.",
)
@containerd_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, when all is done.")
def doctor(  # noqa: PLR0913 - one for each option
    *,
    image: str | None,
    address: Path,
    root: Path,
    config: Path | None,
    containerd_config: Path,
    containerd_address: str,
    as_json: bool,
) -> int:
    """Says what is wrong with this machine, containerd and the daemon, and what to do about it; ends with 1 then.

    With IMAGE, a name in a registry, also whether that image can be pulled lazily: through which servers, with whose
    credentials, and what each of them answers.
    """
    options = ServeOptions(address, root, config, LogLevel.INFO)
    settings = options.settings(options.read_file())
    checks = machine_checks(settings)
    checks.append(reporting(lambda: check_containers(settings, containerd_address)))
    checks.append(partial(check_containerd, containerd_config, settings.address))
    reference = None if image is None else Reference.parse(image)
    if reference is not None:
        checks += image_checks(reference, settings.fs.registry)
    findings = run_checks(checks, _say_nothing if as_json else _say)
    sick = any(finding.outcome is Outcome.PROBLEM for finding in findings)
    if as_json:
        click.echo(json.dumps(_document(reference, findings), indent=2))
    return ExitCode.FAILED if sick else ExitCode.OK


def image_checks(reference: Reference, settings: ClientSettings) -> list[Check]:
    """What is looked at for an image."""
    return [partial(check_registry, reference, settings)]


def _say(finding: Finding) -> None:
    click.echo("\n".join(finding_lines(finding)))


def _say_nothing(_finding: Finding) -> None:
    pass


def _document(reference: Reference | None, findings: tuple[Finding, ...]) -> dict[str, Any]:
    return {
        "image": None if reference is None else str(reference),
        "healthy": not any(finding.outcome is Outcome.PROBLEM for finding in findings),
        "findings": [finding_document(finding) for finding in findings],
    }
