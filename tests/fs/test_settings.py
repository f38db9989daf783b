"""What the fs server is told survives the way through the file."""

from pathlib import Path

import pytest

from fs.errors import SettingsError
from fs.filling import FillSettings
from fs.log import LogLevel
from fs.settings import FsSettings, read_settings, write_settings
from registry.host_settings import HostSettings, MirrorSettings
from registry.keychain.credential_settings import CredentialSettings
from registry.keychain.docker_config import Login
from registry.settings import ClientSettings


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fs.json"
    mirror = MirrorSettings("m.io", inactivity_timeout_seconds=5.0, headers=(("X", "1"),))
    hosts = HostSettings(config_paths=(tmp_path,), mirrors={"a.io": (mirror,)})
    logins = CredentialSettings(logins={"a.io": Login(username="u", password="p")})
    settings = FsSettings(
        log_level=LogLevel.WARN,
        filling=FillSettings(prefetch=False, prefetch_bytes=5),
        registry=ClientSettings(
            plain_http_hosts=frozenset({"a:5000"}), attempts=2, hosts=hosts, credentials=logins
        ),
    )
    for _ in range(2):
        write_settings(path, settings)
        assert read_settings(path) == settings
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_another_version_may_know_more_or_less(tmp_path: Path) -> None:
    path = tmp_path / "fs.json"
    path.write_text('{"filling": {"background": false, "future": 1}, "unheard": {}}')
    assert read_settings(path) == FsSettings(filling=FillSettings(background=False))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"log_level": "loud"}', '{"registry": {"attempts": 0}}']
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "fs.json").write_text(text)
    with pytest.raises(SettingsError, match=r"fs\.json"):
        read_settings(tmp_path / "fs.json")
    with pytest.raises(SettingsError, match="absent"):
        read_settings(tmp_path / "absent")
