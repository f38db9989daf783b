"""What the tests of this package share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.client import ClientSettings
from tests.authority import Authority
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def quick() -> ClientSettings:
    """Settings that lose no time."""
    return ClientSettings(backoff_seconds=0.0001, max_backoff_seconds=0.001)


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's own docker configuration would be; there is none yet."""
    directory = tmp_path / "docker"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory / "config.json"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that no machine knows."""
    return Authority(tmp_path_factory.mktemp("authority"))
