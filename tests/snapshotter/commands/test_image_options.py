import click
import pytest
from click.testing import CliRunner

from registry.manifest import Platform
from snapshotter.commands.image_options import (
    PlatformType,
    host_platform,
    image_access_options,
    platforms_option,
    single_platform_option,
)
from snapshotter.commands.image_stores import ImageAccess


@click.command()
@click.option("--platform", type=PlatformType(), default=Platform("linux", "arm64"))
@image_access_options
def _command(*, platform: Platform, access: ImageAccess) -> None:
    hosts, containerd = sorted(access.registries.plain_http_hosts), access.containerd
    click.echo(f"{platform} {hosts} {containerd.socket} {containerd.namespace}")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ([], "linux/arm64 [] /run/containerd/containerd.sock default"),
        (["--platform", "linux/x86_64", "--plain-http", "a:1"], "linux/amd64 ['a:1']"),
        (["--containerd-address", "/c.sock", "--namespace", "k8s.io"], "/c.sock k8s.io"),
        (["--namespace", "--help"], "not a name"),
        (["--platform", "amd64"], "not a platform"),
    ],
)
def test_options(words: list[str], output: str) -> None:
    assert output in CliRunner().invoke(_command, words).output


@click.command()
@platforms_option
def _several(*, platforms: tuple[Platform, ...]) -> None:
    click.echo(" ".join(map(str, platforms)))


def test_several_platforms() -> None:
    words = ["--platform", "linux/amd64", "--platform", "linux/arm/v6"]
    assert CliRunner().invoke(_several, words).output == "linux/amd64 linux/arm/v6\n"


@click.command()
@single_platform_option
def _single(*, platforms: list[Platform]) -> None:
    click.echo(" ".join(map(str, platforms)))


def test_one_platform_is_this_machines_by_default() -> None:
    assert CliRunner().invoke(_single, []).output == f"{host_platform()}\n"
    assert CliRunner().invoke(_single, ["--platform", "linux/arm/v6"]).output == "linux/arm/v6\n"
