"""What is in deploy/ agrees with the program: keys, paths, and the metrics that the dashboard draws."""

import json
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

from fs.cache_usage import CacheStatistics
from fs.durations import Durations
from registry.digest import Digest
from snapshotter.commands.containerd_checks import containerd_findings
from snapshotter.commands.doctor_checks import Outcome
from snapshotter.config import ServeSettings
from snapshotter.config_file import read_config
from snapshotter.layer_server import FsStatus, ServedLayer
from snapshotter.metrics import DaemonMetrics
from snapshotter.verdicts import Verdict

DEPLOY = Path(__file__).parents[1] / "deploy"
# Each of these gives a service a mount namespace of its own (systemd.exec(5)).
_OWN_NAMESPACE = re.compile(
    r"Protect(System|Home|Kernel\w+|ControlGroups|Proc)|Private\w+|\w+Paths"
)


def test_the_sample_configuration_has_only_known_keys(tmp_path: Path) -> None:
    text = (DEPLOY / "config.toml").read_text()
    everything = re.sub(r"^#(?=[a-z_.\"\[]+( =|\]))", "", text, flags=re.MULTILINE)
    assert everything.count("#") < text.count("#")
    for number, variant in enumerate((text, everything)):
        path = tmp_path / f"{number}.toml"
        path.write_text(variant)
        file = read_config(path)
        assert (file.unknown, file.idle) == ((), {})


@pytest.mark.parametrize(
    ("name", "version"),
    [("containerd-config.toml", (1, 6)), ("containerd-config.toml", (1, 7)), ("containerd-2-config.toml", (2, 1))],
)  # fmt: skip
def test_containerd_is_told_all_it_must_know(name: str, version: tuple[int, int]) -> None:
    config = tomllib.loads((DEPLOY / name).read_text())
    findings = list(containerd_findings(config, version, ServeSettings().address))
    assert [finding.what for finding in findings if finding.outcome is not Outcome.OK] == []


@pytest.mark.parametrize("name", ["stargz-snapshotter.service", "stargz-store.service"])
def test_the_unit_leaves_mounts_to_be_seen_and_the_fs_server_alone(name: str) -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / name)
    service = unit["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "process")
    assert (service["NotifyAccess"], int(service["FileDescriptorStoreMax"])) == ("all", 8)
    assert [key for key in service if _OWN_NAMESPACE.fullmatch(key)] == []


def test_podman_is_told_of_the_directory_that_the_unit_serves() -> None:
    storage = tomllib.loads((DEPLOY / "storage.conf").read_text())
    (told,) = storage["storage"]["options"]["additionallayerstores"]
    directory, _, options = told.partition(":")
    assert (storage["storage"]["driver"], options) == ("overlay", "ref")
    unit = (DEPLOY / "stargz-store.service").read_text()
    assert f"\nExecStart=/opt/pyestargz/bin/pyestargz store {directory}\n" in unit


def test_the_dashboard_draws_what_is_exposed() -> None:
    digest = Digest.of(b"layer")
    cache = CacheStatistics(
        used_bytes=0, limit_bytes=0, evicted_bytes=0, unkept_writes=0, shared_bytes=0, disk_error=""
    )
    durations = Durations().statistics()
    status = FsStatus(layers={digest: ServedLayer(digest, 0)}, cache=cache, durations=durations)
    metrics = DaemonMetrics(lambda: status, lambda: dict.fromkeys(Verdict, 0))
    metrics.observe_call("Prepare", "OK", 0)
    exposed = set(re.findall(r"^(\w+)[{ ]", metrics.expose().decode(), flags=re.MULTILINE))
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    drawn = set(re.findall(r"\b(?:pyestargz|stargz)_\w+", " ".join(expressions)))
    assert len(drawn) > 10
    assert drawn <= exposed
