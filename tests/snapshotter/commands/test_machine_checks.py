"""What doctor says of a machine: each thing well, missing or broken, with what to do."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from snapshotter.commands.doctor_checks import Finding, Outcome, run_checks
from snapshotter.commands.machine_checks import (
    check_daemon,
    check_fs_server,
    check_fuse,
    check_kernel,
    check_overlayfs,
    machine_checks,
)
from snapshotter.config import ServeSettings
from tests.snapshotter.daemon_home import home_in


def outcomes(findings: Iterable[Finding]) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in findings}


@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ("6.12.0", Outcome.OK),
        ("7.0", Outcome.OK),
        ("6.1.0-13-amd64", Outcome.NOTE),
        ("?", Outcome.NOTE),
    ],
)
def test_kernels(release: str, outcome: Outcome) -> None:
    (finding,) = check_kernel(release)
    assert (finding.outcome, release in finding.what) == (outcome, True)


def test_fuse(tmp_path: Path) -> None:
    known, unknown = tmp_path / "known", tmp_path / "unknown"
    known.write_text("nodev\tsysfs\nnodev\tfuse\n")
    unknown.write_text("nodev\tsysfs\n")
    null = Path("/dev/null")
    assert outcomes(check_fuse(null, known)) == {"fuse": Outcome.OK}
    for finding in (*check_fuse(null, unknown), *check_fuse(tmp_path / "fuse", known)):
        assert finding.outcome is Outcome.PROBLEM
        assert "load the module" in finding.advice


@pytest.mark.fuse
def test_a_root_that_overlayfs_cannot_use(tmp_path: Path) -> None:
    proc = ServeSettings(root=Path("/proc/nowhere"))
    (finding,) = check_overlayfs(proc)
    assert finding.outcome is Outcome.PROBLEM
    assert finding.advice


def test_nobody_is_there(tmp_path: Path) -> None:
    settings = ServeSettings(address=tmp_path / "grpc.sock", root=tmp_path)
    (daemon,), (fs_server,) = check_daemon(settings), check_fs_server(settings)
    assert (daemon.outcome, fs_server.outcome) == (Outcome.PROBLEM, Outcome.PROBLEM)
    assert str(tmp_path / "grpc.sock") in daemon.what
    assert "fs.sock" in fs_server.what


@pytest.mark.fuse
def test_a_daemon_that_is_well() -> None:
    with tempfile.TemporaryDirectory(prefix="mch-") as name, home_in(Path(name)) as home:
        settings = ServeSettings(address=home.address, root=home.root)
        with home.serving():
            findings = run_checks(machine_checks(settings), lambda _: None)
        assert {
            finding.check for finding in findings if finding.outcome is Outcome.PROBLEM
        } == set()
        assert set(outcomes(findings)) == {
            "kernel",
            "fuse",
            "overlayfs",
            "erofs",
            "daemon",
            "fs server",
        }
        home.stop()
