"""Whatever is wrong around the command line, it answers in one clear line and with an exit status the documentation explains."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.images import default_cache, pause_image
from tests.e2e.leftovers import kill_processes_under, unmount_all_under
from tests.e2e.snapshotter_process import CHECKOUT, cli_argv, cli_environment
from tests.real_registry import RealRegistry

pytestmark = pytest.mark.timeout(300)

_UNREACHABLE = "127.0.0.1:1"  # nobody listens on tcpmux here
_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),  # reads any checkout
)
_WITHOUT_FUSE = (
    *("unshare", "--mount", "sh", "-ec"),
    "mount -t tmpfs none /dev; mknod /dev/null c 1 3; mknod /dev/urandom c 1 9; " + 'exec "$@"',
    "sh",
)


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory everybody may use; whatever was started on it by mistake is ended."""
    with tempfile.TemporaryDirectory(prefix="pyestargz-cli-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        try:
            yield directory
        finally:
            kill_processes_under(directory)
            unmount_all_under(directory)


def _run(
    words: Sequence[str | Path], *, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *cli_argv(words)],
        cwd="/",
        env=dict(cli_environment()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _assert_fails(
    words: Sequence[str | Path], expected: str, *, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    done = _run(words, prefix=prefix)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert done.returncode in _documented_statuses() - {0}, done.stderr
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    assert re.search(expected, lines[0], re.IGNORECASE), lines[0]
    return done


def _documented_statuses() -> set[int]:
    text = (CHECKOUT / "docs" / "cli.md").read_text()
    return {int(number) for number in re.findall(r"^\|\s*`?(\d+)`?\s*\|", text, re.MULTILINE)}


def _serve(state: Path, *more: str | Path) -> list[str | Path]:
    return ["serve", "--address", state / "socket", "--root", state / "root", *more]


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_layout_that_is_not_there(command: str, state: Path) -> None:
    target = [f"oci:{state}/out"] if command == "convert" else []
    _assert_fails([command, f"oci:{state}/missing", *target], f"{state}/missing")


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_registry_nobody_answers_for(command: str, state: Path) -> None:
    target = [f"oci:{state}/out"] if command == "convert" else []
    _assert_fails([command, f"{_UNREACHABLE}/none:1", *target], re.escape(_UNREACHABLE))


@pytest.mark.registry
@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_an_image_the_registry_does_not_have(
    command: str, state: Path, registry: RealRegistry
) -> None:
    target = [f"oci:{state}/out"] if command == "convert" else []
    _assert_fails([command, f"{registry.host}/no/such:1", *target], "no/such")


@pytest.mark.parametrize("command", ["convert", "inspect"])
@pytest.mark.parametrize("content", ["not json", '{"schemaVersion": 2}', "[]"])
def test_a_directory_that_is_not_an_image(command: str, state: Path, content: str) -> None:
    directory = state / "junk"
    directory.mkdir()
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(content)
    target = [f"oci:{state}/out"] if command == "convert" else []
    _assert_fails([command, f"oci:{directory}", *target], "junk")
    assert not (state / "out").exists()


@pytest.mark.parametrize("name", ["UPPER/Case:1", "oci:", "x:y:z", "a b"])
def test_a_name_that_cannot_be_one(name: str, state: Path) -> None:
    _assert_fails(["inspect", name], re.escape(name))


def test_a_destination_that_cannot_be_written(state: Path) -> None:
    source = pause_image(default_cache()).layout
    _assert_fails(["convert", f"oci:{source}", "oci:/dev/null/out"], "/dev/null")


@pytest.mark.registry
def test_a_destination_registry_that_is_away(state: Path) -> None:
    source = pause_image(default_cache()).layout
    _assert_fails(["convert", f"oci:{source}", f"{_UNREACHABLE}/x:1"], re.escape(_UNREACHABLE))


@pytest.mark.parametrize(
    "words",
    [
        ["convert"],
        ["no-such-command"],
        ["serve", "--no-such-option"],
        ["serve", "--log-level", "loud"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_arguments_nobody_understands(words: list[str]) -> None:
    assert _assert_fails(words, "^pyestargz.*: .*--help").returncode == 2


def test_a_configuration_file_that_is_not_there() -> None:
    done = _assert_fails(["serve", "--config", "/no/such/file.toml"], "/no/such/file")
    assert done.returncode == 2
    assert done.stderr.startswith("pyestargz serve: Invalid value for '--config': ")


@pytest.mark.fuse
def test_a_state_directory_that_cannot_be_made(state: Path) -> None:
    _assert_fails(["serve", "--address", state / "s", "--root", "/dev/null/root"], "/dev/null/root")


@pytest.mark.fuse
@pytest.mark.parametrize("content", ["no = [", "\xff\xfe"])
def test_a_configuration_nobody_can_read(state: Path, content: str) -> None:
    config = state / "config.toml"
    config.write_bytes(content.encode("latin-1"))
    done = _assert_fails(_serve(state, "--config", config), r"config\.toml")
    assert done.returncode == 2


@pytest.mark.fuse
def test_a_machine_without_fuse(state: Path) -> None:
    _assert_fails(_serve(state), "/dev/fuse", prefix=_WITHOUT_FUSE)


@pytest.mark.fuse
def test_a_user_who_may_not_mount(state: Path) -> None:
    _assert_fails(_serve(state), "root", prefix=_NOBODY)


@pytest.mark.fuse
def test_stopping_what_does_not_run_is_no_error(state: Path) -> None:
    done = _run(["serve", "--stop", "--address", state / "socket", "--root", state / "root"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
