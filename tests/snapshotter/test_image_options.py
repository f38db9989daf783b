import click
import pytest
from click.testing import CliRunner

from registry.manifest import Platform
from snapshotter.image_options import (
    PlatformType,
    host_platform,
    plain_http_option,
    single_platform_option,
)


@click.command()
@click.option("--platform", type=PlatformType(), default=Platform("linux", "arm64"))
@plain_http_option
def _command(*, platform: Platform, plain_http: tuple[str, ...]) -> None:
    click.echo(f"{platform} {plain_http}")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ([], "linux/arm64 ()"),
        (["--platform", "linux/x86_64", "--plain-http", "a:1"], "linux/amd64 ('a:1',)"),
        (["--platform", "amd64"], "not a platform"),
    ],
)
def test_options(words: list[str], output: str) -> None:
    assert output in CliRunner().invoke(_command, words).output


@click.command()
@single_platform_option
def _single(*, platforms: list[Platform]) -> None:
    click.echo(" ".join(map(str, platforms)))


def test_one_platform_is_this_machines_by_default() -> None:
    assert CliRunner().invoke(_single, []).output == f"{host_platform()}\n"
    assert CliRunner().invoke(_single, ["--platform", "linux/arm/v6"]).output == "linux/arm/v6\n"
