"""What is in deploy/ agrees with the program: keys, paths, and the metrics that the dashboard draws."""

import json
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from fs.cache_usage import CacheStatistics
from fs.durations import Durations
from registry.digest import Digest
from snapshotter.cli import pyestargz
from snapshotter.commands.containerd_checks import containerd_findings
from snapshotter.commands.doctor_checks import Outcome
from snapshotter.config import ServeSettings, metrics_address
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


def test_the_pods_of_the_daemon_set_fit_together(tmp_path: Path) -> None:
    """What an API server does not check: that names lead somewhere, and that the program knows what it is told."""
    text = (DEPLOY / "kubernetes" / "daemonset.yaml").read_text()
    objects = {item["kind"]: item for item in yaml.safe_load_all(text)}
    assert all(item["apiVersion"] and item["metadata"]["name"] for item in objects.values())
    name = objects["Namespace"]["metadata"]["name"]
    config, daemons = objects["ConfigMap"], objects["DaemonSet"]
    assert [item["metadata"]["namespace"] for item in (config, daemons)] == [name, name]
    template = daemons["spec"]["template"]
    selected = daemons["spec"]["selector"]["matchLabels"]
    assert selected.items() <= template["metadata"]["labels"].items()
    pod = template["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert mounts.keys() == volumes.keys()
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    paths = {
        key: Path(volume["hostPath"]["path"])
        for key, volume in volumes.items()
        if "hostPath" in volume
    }
    assert paths.items() <= mounts.items()  # the node finds sockets and mounts under the same names
    settings = ServeSettings()
    assert (mounts["state"], mounts["sockets"]) == (settings.root, settings.address.parent)
    (tmp_path / "config.toml").write_text(config["data"]["config.toml"])
    file = read_config(tmp_path / "config.toml")
    assert (file.unknown, file.idle) == ((), {})
    address = metrics_address(file)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probe = container["readinessProbe"]["httpGet"]
    assert address is not None
    assert (ports[probe["port"]], probe["path"]) == (address.port, "/healthz")
    command, option = container["args"]
    assert command in pyestargz.commands
    assert option == f"--config={mounts['config'] / 'config.toml'}"


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
