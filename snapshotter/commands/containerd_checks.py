"""Whether containerd knows of the snapshotter, and tells it what it must know: decided from containerd's own configuration."""

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from snapshotter.commands.doctor_checks import Finding, Report

_CHECK: Final = "containerd"
_SECONDS: Final = 10.0
# CRI's settings of images: of configuration version 2, and of version 3 (containerd 2).
_CRI: Final = (
    ("io.containerd.grpc.v1.cri", "containerd"),
    ("io.containerd.cri.v1.images", ""),
)
_TRANSFER: Final = "io.containerd.transfer.v1.local"
_TELLS_SINCE: Final = (2, 1)
_SEE: Final = "deploy/containerd-config.toml shows what is needed"


def check_containerd(config: Path, address: Path, report: Report) -> None:
    """Asks containerd for its version and configuration.

    Args:
        config: containerd's configuration file.
        address: the socket of the snapshotter.
        report: told each finding.
    """
    try:
        version = _run("containerd", "--version")
        document = tomllib.loads(_run("containerd", "--config", str(config), "config", "dump"))
    except FileNotFoundError:
        report(Finding.note(_CHECK, "there is none on PATH: nothing of it was looked at"))
        return
    except (subprocess.SubprocessError, tomllib.TOMLDecodeError) as error:
        advice = f"look at {config}; 'containerd --config {config} config dump' must succeed"
        report(Finding.problem(_CHECK, f"its configuration cannot be read: {error}", advice=advice))
        return
    for finding in containerd_findings(document, version_of(version), address):
        report(finding)


def containerd_findings(
    config: Mapping[str, Any], version: tuple[int, int], address: Path
) -> Iterator[Finding]:
    """What a configuration, with all defaults in it, means for lazy pulls."""
    name, plugin = _plugin(config, address)
    if plugin is None:
        what = f"no proxy plugin has the address {address}"
        yield Finding.problem(_CHECK, what, advice=f"add one, and restart containerd: {_SEE}")
        return
    yield Finding.ok(_CHECK, f"{version[0]}.{version[1]}: plugin {name!r} leads to the snapshotter")
    yield from _plugin_findings(name, plugin, version)
    yield from _cri_findings(config, name, version)
    if version >= _TELLS_SINCE:
        yield from _transfer_findings(config, name)


def version_of(text: str) -> tuple[int, int]:
    """Major and minor number in what ``containerd --version`` says; zeros if there is none."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _plugin(config: Mapping[str, Any], address: Path) -> tuple[str, Mapping[str, Any] | None]:
    for name, plugin in _table(config, "proxy_plugins").items():
        if plugin.get("type") == "snapshot" and plugin.get("address") == str(address):
            return name, plugin
    return "", None


def _plugin_findings(
    name: str, plugin: Mapping[str, Any], version: tuple[int, int]
) -> Iterator[Finding]:
    if not _table(plugin, "exports").get("root"):
        what = f"proxy_plugins.{name}.exports.root is not set: kubelet cannot watch the disk"
        yield Finding.note(_CHECK, what)
    tells = _table(plugin, "exports").get("enable_remote_snapshot_annotations") == "true"
    if version >= _TELLS_SINCE and not tells:
        yield Finding.problem(
            _CHECK,
            f'proxy_plugins.{name}.exports.enable_remote_snapshot_annotations is not "true"',
            advice="set it: without it, pulls through the transfer service are never lazy",
        )


def _cri_findings(
    config: Mapping[str, Any], name: str, version: tuple[int, int]
) -> Iterator[Finding]:
    for plugin, table in _CRI:
        cri = _table(_table(config, "plugins"), plugin)
        images = _table(cri, table) if table else cri
        if not images:
            continue
        if images.get("snapshotter") != name:
            what = (
                f"CRI uses the snapshotter {images.get('snapshotter')!r}: pods do not start lazily"
            )
            yield Finding.note(_CHECK, what)
        elif images.get("disable_snapshot_annotations", True) and version < _TELLS_SINCE:
            what = "CRI does not tell where layers come from: no pod starts lazily"
            advice = f"set disable_snapshot_annotations = false in [plugins.'{plugin}'.{table or 'images'}]"
            yield Finding.problem(_CHECK, what, advice=advice)
        else:
            yield Finding.ok(_CHECK, f"CRI pulls with {name!r}")


def _transfer_findings(config: Mapping[str, Any], name: str) -> Iterator[Finding]:
    transfer = _table(_table(config, "plugins"), _TRANSFER)
    unpacks = transfer.get("unpack_config") or []
    if any(unpack.get("snapshotter") == name for unpack in unpacks):
        yield Finding.ok(_CHECK, f"the transfer service unpacks with {name!r}")
    else:
        what = f"the transfer service does not unpack with {name!r}: ctr and nerdctl cannot pull lazily"
        yield Finding.note(_CHECK, f"{what} ([[plugins.'{_TRANSFER}'.unpack_config]])")


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = parent.get(key)
    return found if isinstance(found, Mapping) else {}


def _run(*words: str) -> str:
    done = subprocess.run(  # noqa: S603 - containerd itself, without a shell
        words, capture_output=True, text=True, check=True, timeout=_SECONDS
    )
    return done.stdout
