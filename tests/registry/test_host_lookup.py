import dataclasses
import logging
import os
from pathlib import Path

import pytest

from registry.endpoints import ALL_CAPABILITIES, Connection, Endpoint
from registry.errors import HostsError
from registry.host_lookup import MIRROR_CAPABILITIES, FixedEndpoints, HostLookup
from registry.host_settings import HostSettings, MirrorSettings


@pytest.fixture
def settings(tmp_path: Path) -> HostSettings:
    return HostSettings(config_paths=(tmp_path,))


def _write(directory: Path, text: str) -> None:
    directory.mkdir(exist_ok=True)
    # As editors and configuration management do: never half a file.
    (directory / "new").write_text(text)
    os.replace(directory / "new", directory / "hosts.toml")  # noqa: PTH105 - what rename(2) does


async def _urls(lookup: HostLookup, registry: str = "a.io") -> list[str]:
    return [endpoint.base_url for endpoint in await lookup.endpoints(registry)]


async def test_without_any_configuration(settings):
    lookup = HostLookup(settings, plain_http_hosts=frozenset({"plain.io"}))
    assert await _urls(lookup, "docker.io") == ["https://registry-1.docker.io/v2/"]
    assert await _urls(lookup, "plain.io") == ["http://plain.io/v2/"]
    assert await _urls(lookup, "[::1]:5000") == ["http://[::1]:5000/v2/"]
    assert repr(lookup) == "<HostLookup 3 registries>"


async def test_changes_take_effect_without_a_restart(settings, tmp_path, mock_clock):
    lookup = HostLookup(settings)
    assert await _urls(lookup) == ["https://a.io/v2/"]
    for text, first in (
        ('[host."m.io"]', "https://m.io/v2/"),
        ('[host."n.io"]', "https://n.io/v2/"),
    ):
        before = await _urls(lookup)
        _write(tmp_path / "a.io", text)
        assert await _urls(lookup) == before  # files are looked at every few seconds only
        mock_clock.jump(settings.check_interval_seconds)
        assert await _urls(lookup) == [first, "https://a.io/v2/"]


async def test_a_file_that_breaks_changes_nothing_and_is_told_once(
    settings, tmp_path, mock_clock, caplog
):
    _write(tmp_path / "a.io", '[host."m.io"]')
    lookup = HostLookup(settings)
    before = await _urls(lookup)
    assert lookup.error("a.io") is None
    _write(tmp_path / "a.io", '[host."m.io"]\ncapabilities = 1')
    for _ in range(3):
        mock_clock.jump(settings.check_interval_seconds)
        assert await _urls(lookup) == before
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    error = lookup.error("a.io")
    assert error is not None
    assert error.key == 'host."m.io".capabilities'
    _write(tmp_path / "a.io", '[host."n.io"]')
    mock_clock.jump(settings.check_interval_seconds)
    assert (await _urls(lookup))[0] == "https://n.io/v2/"
    assert lookup.error("a.io") is None


async def test_a_file_that_never_was_good_is_refused_until_it_is_repaired(
    settings, tmp_path, mock_clock
):
    _write(tmp_path / "a.io", "nonsense")
    lookup = HostLookup(settings)
    for _ in range(2):
        with pytest.raises(HostsError, match="it is not TOML"):
            await lookup.endpoints("a.io")
    assert await _urls(lookup, "b.io") == ["https://b.io/v2/"]
    _write(tmp_path / "a.io", "")
    mock_clock.jump(settings.check_interval_seconds)
    assert await _urls(lookup) == ["https://a.io/v2/"]


async def test_keys_without_effect_are_told(settings, tmp_path, caplog):
    _write(tmp_path / "a.io", "later = 1")
    loaded = await HostLookup(settings).look_up("a.io")
    assert (loaded.directory, loaded.unknown_keys) == (tmp_path / "a.io", ("later",))
    assert "keys without effect" in caplog.text


async def test_our_own_mirrors_come_first(settings, tmp_path):
    _write(tmp_path / "a.io", '[host."m.io"]\n[host."n.io"]')
    own = MirrorSettings(
        "m.io", plain_http=True, inactivity_timeout_seconds=5, headers=(("X", "1"),)
    )
    lookup = HostLookup(dataclasses.replace(settings, mirrors={"a.io": (own,)}))
    mirror, *others = await lookup.endpoints("a.io")
    assert (mirror.base_url, mirror.headers) == ("http://m.io/v2/", (("X", "1"),))
    assert mirror.connection == Connection(inactivity_timeout_seconds=5)
    assert mirror.capabilities == MIRROR_CAPABILITIES
    assert [other.base_url for other in others] == ["https://n.io/v2/", "https://a.io/v2/"]
    assert await _urls(lookup, "b.io") == ["https://b.io/v2/"]


async def test_a_registry_may_be_its_own_mirror_to_say_how_it_is_reached(settings):
    own = MirrorSettings("a.io", plain_http=True)
    lookup = HostLookup(dataclasses.replace(settings, mirrors={"a.io": (own,)}))
    (itself,) = await lookup.endpoints("a.io")
    assert (itself.base_url, itself.capabilities) == ("http://a.io/v2/", ALL_CAPABILITIES)


async def test_one_endpoint_can_be_looked_at_alone():
    endpoint = Endpoint("a.io", "https://m.io/v2/")
    fixed = FixedEndpoints(endpoint)
    assert await fixed.endpoints("a.io") == (endpoint,)
    assert await fixed.endpoints("b.io") == ()


async def test_other_settings_hold_at_once(settings, tmp_path):
    _write(tmp_path / "a.io", '[host."m.io"]')
    _write(tmp_path / "b.io", "nonsense")
    lookup = HostLookup(HostSettings(()))
    before = [await _urls(lookup, name) for name in ("a.io", "b.io")]
    lookup.use(settings, plain_http_hosts=frozenset({"a.io"}))
    assert await _urls(lookup, "a.io") == ["https://m.io/v2/", "http://a.io/v2/"]
    assert await _urls(lookup, "b.io") == before[1]  # its file is broken
    assert lookup.error("b.io") is not None
