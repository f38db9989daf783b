"""Options of ``pyestargz store``, as the store gets them; they are those of ``stargz-store``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fs.filling import FillSettings
from fs.log import LogLevel
from fs.settings import FsSettings
from snapshotter import cli
from snapshotter.commands import store_command
from snapshotter.commands.exit_codes import ExitCode
from snapshotter.commands.image_options import host_platform
from snapshotter.config import ServeSettings
from snapshotter.store import daemon
from snapshotter.store.daemon import StorePlace

DEFAULT = ServeSettings(
    address=Path("/var/lib/stargz-store/store.sock"), root=Path("/var/lib/stargz-store")
)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[StorePlace]:
    places: list[StorePlace] = []

    def serve(place: StorePlace, read: Callable[[], ServeSettings]) -> int:
        assert read() == place.settings
        places.append(place)
        return 0

    monkeypatch.setattr(daemon, "serve", serve)
    monkeypatch.setattr(store_command, "log_to_stderr", lambda _: None)
    return places


def test_without_options(served: list[StorePlace]) -> None:
    assert cli.run(["store", "/var/lib/stargz-store/store"]) == ExitCode.OK
    assert served == [StorePlace(Path("/var/lib/stargz-store/store"), DEFAULT, host_platform())]


def test_with_all_options(served: list[StorePlace], tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("noprefetch = true\n")
    words = ["--root", "/r", "--addr", "/run/s.sock", "--log-level=debug", "--config", str(config)]
    (tmp_path / "link").symlink_to(tmp_path)
    assert cli.run(["store", *words, str(tmp_path / "link" / "mnt")]) == ExitCode.OK
    settings = ServeSettings(
        address=Path("/run/s.sock"),
        root=Path("/r"),
        log_level=LogLevel.DEBUG,
        fs=FsSettings(log_level=LogLevel.DEBUG, filling=FillSettings(prefetch=False)),
    )
    assert served == [StorePlace(tmp_path.resolve() / "mnt", settings, host_platform())]


@pytest.mark.parametrize(
    "words", [["store"], ["store", "/a:b"], ["store", "/a", "--addr", "/" + "x" * 200]]
)
def test_what_cannot_be_is_refused(words: list[str], served: list[StorePlace]) -> None:
    assert cli.run(words) == ExitCode.USAGE
    assert served == []


def test_stopping(served: list[StorePlace], monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[ServeSettings] = []
    monkeypatch.setattr(daemon, "stop", stopped.append)
    assert cli.run(["store", "--stop"]) == ExitCode.OK
    assert (stopped, served) == ([DEFAULT], [])
