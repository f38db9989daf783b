"""The fs server alone: memory and CPU with many layers, and with a large one."""

import time
from pathlib import Path

from benchmarks.fs_measures import cpu_seconds, resident_bytes
from benchmarks.fs_tree import made_layers
from fs.filling import FillSettings
from fs.settings import Backend, FsSettings
from tests.fs.fs_server import FsServer
from tests.real_registry import RealRegistry

_MB = 1e6
_IDLE_SECONDS = 5.0
_LAYERS, _FILES_EACH = 30, 1000
_MANY_FILES = 100_000
_SETTINGS = FsSettings(backend=Backend.FUSE, filling=FillSettings(prefetch=False, background=False))


def measure_daemon(registry: RealRegistry, work: Path) -> dict[str, float]:
    """All figures, by what they mean."""
    return {
        **_with_many_layers(registry, work / "many"),
        **_with_a_large_layer(registry, work / "large"),
    }


def _with_many_layers(registry: RealRegistry, work: Path) -> dict[str, float]:
    work.mkdir(parents=True)
    layers = list(made_layers(_LAYERS, files=_FILES_EACH, registry=registry, work=work))
    with FsServer(work, _SETTINGS) as server:
        empty = resident_bytes(server.pid)
        for layer in layers:
            server.attach(layer)
        before = cpu_seconds(server.pid)
        time.sleep(_IDLE_SECONDS)  # noqa: TID251 - idling is what is measured
        return {
            "RSS without layers, MB": empty / _MB,
            f"RSS with {_LAYERS} layers of {_FILES_EACH} files, MB": resident_bytes(server.pid)
            / _MB,
            f"idle CPU with {_LAYERS} layers, %": 100
            * (cpu_seconds(server.pid) - before)
            / _IDLE_SECONDS,
        }


def _with_a_large_layer(registry: RealRegistry, work: Path) -> dict[str, float]:
    work.mkdir(parents=True)
    (layer,) = made_layers(1, files=_MANY_FILES, registry=registry, work=work)
    with FsServer(work, _SETTINGS) as server:
        empty = resident_bytes(server.pid)
        begin = time.perf_counter()
        server.attach(layer)
        attached = time.perf_counter() - begin
        resident = resident_bytes(server.pid)
        server.end()
        server.start()
        again = resident_bytes(server.pid)
        begin = time.perf_counter()
        server.attach(layer)
        return {
            f"attaching a layer of {_MANY_FILES} files, s": attached,
            f"RSS growth by a layer of {_MANY_FILES} files just compiled, MB": (resident - empty)
            / _MB,
            "attaching it again after a restart, ms": 1000 * (time.perf_counter() - begin),
            "RSS growth by it after a restart, MB": (resident_bytes(server.pid) - again) / _MB,
        }
