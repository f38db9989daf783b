"""What doctor says of containerd's configuration, of every generation; and of the real one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapshotter.commands.containerd_checks import check_containerd, containerd_findings, version_of
from snapshotter.commands.doctor_checks import Finding, Outcome

ADDRESS = Path("/run/s.sock")
PLUGIN = {
    "type": "snapshot",
    "address": str(ADDRESS),
    "exports": {"root": "/r", "enable_remote_snapshot_annotations": "true"},
}
OLD: dict[str, Any] = {
    "proxy_plugins": {"stargz": PLUGIN, "other": {"type": "content", "address": str(ADDRESS)}},
    "plugins": {
        "io.containerd.grpc.v1.cri": {
            "containerd": {"snapshotter": "stargz", "disable_snapshot_annotations": False}
        }
    },
}
NEW: dict[str, Any] = {
    "proxy_plugins": {"stargz": PLUGIN},
    "plugins": {
        "io.containerd.cri.v1.images": {"snapshotter": "stargz"},
        "io.containerd.transfer.v1.local": {"unpack_config": [{"snapshotter": "stargz"}]},
    },
}
Change = Callable[[dict[str, Any]], object]


def problems(config: dict[str, Any], version: tuple[int, int]) -> list[str]:
    found = containerd_findings(config, version, ADDRESS)
    return [f.what + f.advice for f in found if f.outcome is not Outcome.OK]


@pytest.mark.parametrize(("config", "version"), [(OLD, (1, 6)), (OLD, (1, 7)), (NEW, (2, 1))])
def test_a_good_configuration(config: dict[str, Any], version: tuple[int, int]) -> None:
    assert problems(config, version) == []


@pytest.mark.parametrize(
    ("config", "version", "change", "says"),
    [
        (OLD, (1, 6), lambda c: c.pop("proxy_plugins"), "no proxy plugin has the address"),
        (OLD, (1, 6), lambda c: c["proxy_plugins"]["stargz"].pop("exports"), "exports.root"),
        (
            OLD,
            (1, 7),
            lambda c: c["plugins"]["io.containerd.grpc.v1.cri"]["containerd"].pop("disable_snapshot_annotations"),
            "set disable_snapshot_annotations = false",
        ),
        (
            OLD,
            (1, 7),
            lambda c: c["plugins"]["io.containerd.grpc.v1.cri"]["containerd"].update(snapshotter="overlayfs"),
            "CRI uses the snapshotter 'overlayfs'",
        ),
        (
            NEW,
            (2, 1),
            lambda c: c["proxy_plugins"]["stargz"]["exports"].pop("enable_remote_snapshot_annotations"),
            "never lazy",
        ),
        (
            NEW,
            (2, 2),
            lambda c: c["plugins"].pop("io.containerd.transfer.v1.local"),
            "cannot pull lazily",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    config: dict[str, Any], version: tuple[int, int], change: Change, says: str
) -> None:
    changed = copy.deepcopy(config)
    change(changed)
    (problem,) = problems(changed, version)
    assert says in problem


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1", (1, 6)),
        ("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490", (2, 1)),
        ("nothing", (0, 0)),
    ],
)
def test_versions(text: str, version: tuple[int, int]) -> None:
    assert version_of(text) == version


@pytest.mark.containerd
def test_the_real_one_is_asked(tmp_path: Path) -> None:
    config, findings = tmp_path / "config.toml", list[Finding]()
    config.write_text(
        f'version = 2\n[proxy_plugins.lazy]\ntype = "snapshot"\naddress = "{ADDRESS}"\n'
        '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "lazy"\n'
    )
    check_containerd(config, ADDRESS, findings.append)
    assert [f.outcome for f in findings] == [Outcome.OK, Outcome.NOTE, Outcome.PROBLEM]
    assert "plugin 'lazy' leads to the snapshotter" in findings[0].what
    findings.clear()
    config.write_text("no TOML")
    check_containerd(config, ADDRESS, findings.append)
    assert [f.outcome for f in findings] == [Outcome.PROBLEM]


def test_no_containerd_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings: list[Finding] = []
    check_containerd(tmp_path / "config.toml", ADDRESS, findings.append)
    assert [f.outcome for f in findings] == [Outcome.NOTE]
