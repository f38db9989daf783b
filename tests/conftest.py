"""Options and markers every test knows: what a test needs of the machine, and whether its absence is an error."""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure; and what CI tries, anybody can try again.
settings.register_profile("pyestargz", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("pyestargz")

_MEASURED = (
    "measured"  # the name under which tests hand lines to the summary, also from another worker
)
_PROGRAMS = {
    "containerd": ("containerd", "runc", "ctr", "ctr-remote"),
    "registry": ("docker-registry", "nginx"),
    "podman": ("podman", "conmon", "runc"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        default="",
        metavar="MARKERS",
        help="comma list of fuse, registry, containerd, podman: a skipped test with one of these markers is a failure",
    )
    parser.addoption(
        "--lives",
        action="store_true",
        help="run tests/snapshotter/test_lives.py at full length: minutes instead of seconds",
    )


def pytest_configure(config: pytest.Config) -> None:
    unknown = _required(config) - _MISSING.keys()
    if unknown:
        raise pytest.UsageError(
            f"--require: {', '.join(sorted(unknown))}: not one of {', '.join(_MISSING)}"
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _MISSING.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(f"{marker}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    required = [marker for marker in _required(item.config) if item.get_closest_marker(marker)]
    if report.skipped and required and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"--require={','.join(sorted(required))}, but: {reason}"
    return report


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that puts a line of measured numbers into the summary of the test run."""

    def note(line: str) -> None:
        request.node.user_properties.append((_MEASURED, line))

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    for result in terminalreporter.getreports(""):
        if isinstance(result, pytest.TestReport) and result.when == "teardown":
            for _, line in (pair for pair in result.user_properties if pair[0] == _MEASURED):
                terminalreporter.line(f"measured: {line}")


def _required(config: pytest.Config) -> set[str]:
    return {word for word in config.getoption("--require").split(",") if word}


def _missing_fuse() -> str:
    if os.geteuid() != 0:
        return "mounting needs root"
    return "" if Path("/dev/fuse").is_char_device() else "/dev/fuse is missing"


def _missing_registry() -> str:
    return _missing_programs("registry")


def _missing_containerd() -> str:
    return "containerd needs root" if os.geteuid() != 0 else _missing_programs("containerd")


def _missing_podman() -> str:
    return "podman's storage needs root" if os.geteuid() != 0 else _missing_programs("podman")


def _missing_programs(marker: str) -> str:
    absent = [name for name in _PROGRAMS[marker] if shutil.which(name) is None]
    return f"{', '.join(absent)} not on PATH" if absent else ""


_MISSING: dict[str, Callable[[], str]] = {
    "fuse": _missing_fuse,
    "registry": _missing_registry,
    "containerd": _missing_containerd,
    "podman": _missing_podman,
}
