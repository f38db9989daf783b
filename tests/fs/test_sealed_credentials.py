"""What CRI passed, through lives of the fs server: kept, aged, tampered with, and without a usable key."""

import logging
from pathlib import Path

import pytest

from fs.sealed_credentials import SealedCredentials
from registry.keychain.credential_settings import SealSettings
from registry.keychain.credentials import CredentialQuestion, Credentials, SecretKind
from registry.keychain.passed_credentials import PassedCredentials
from registry.reference import Repository

_REPOSITORY = Repository("a.io", "team/app")
_OTHER = Repository("b.io", "other")
_USER = Credentials("user", "hush")
_HOUR = 3600.0


class _Site:
    """A key, a file, a clock, and one fs server's life after the other."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "root" / "credentials.sealed"
        self.file.parent.mkdir()
        self.settings = SealSettings(directory / "key", max_age_seconds=10 * _HOUR)
        self.now = 1e9
        self.live()

    def live(self, settings: SealSettings | None = None) -> None:
        """A new life, which knows what its disk tells."""
        self.passed = PassedCredentials()
        self.sealed = SealedCredentials(self.passed, self.file, clock=lambda: self.now)
        self.sealed.use(settings or self.settings)

    def known(self, repository: Repository = _REPOSITORY) -> list[object]:
        return list(self.passed.offers(CredentialQuestion(repository.host, repository)))


@pytest.fixture
def site(tmp_path: Path) -> _Site:
    return _Site(tmp_path)


def test_they_outlive_the_server(site):
    token = Credentials("", "token", SecretKind.REGISTRY_TOKEN)
    site.sealed.put(_REPOSITORY, Credentials("old", "old"))
    site.sealed.put(_REPOSITORY, _USER)
    site.sealed.put(_OTHER, token)
    site.live()
    assert (site.known(), site.known(_OTHER)) == ([_USER], [token])
    assert repr(site.sealed) == "<SealedCredentials 2 sealed>"
    site.live()
    assert site.known() == [_USER]


def test_only_root_may_read_file_and_key(site):
    site.sealed.put(_REPOSITORY, _USER)
    assert site.file.stat().st_mode & 0o777 == 0o600
    assert site.settings.key.stat().st_mode & 0o777 == 0o600
    assert b"hush" not in site.file.read_bytes()
    assert not list(site.file.parent.glob("*.new"))


def test_they_age_unless_they_are_passed_again(site):
    site.sealed.put(_REPOSITORY, _USER)
    site.sealed.put(_OTHER, _USER)
    before = site.file.read_bytes()
    site.now += _HOUR / 2
    site.sealed.put(_OTHER, _USER)
    assert site.file.read_bytes() == before  # nothing new
    site.now += 7 * _HOUR
    site.sealed.put(_OTHER, _USER)
    site.now += 7 * _HOUR
    site.live()
    assert (site.known(), site.known(_OTHER)) == ([], [_USER])
    assert repr(site.sealed) == "<SealedCredentials 1 sealed>"


def test_a_clock_that_was_wrong_makes_none_that_live_for_ever(site):
    site.now += 1e8
    site.sealed.put(_REPOSITORY, _USER)
    site.now -= 1e8
    site.live()
    assert site.known() == []


@pytest.mark.parametrize("how", ["changed", "cut", "another key"])
def test_a_broken_seal_is_told_and_forgotten(site, caplog, how):
    site.sealed.put(_REPOSITORY, _USER)
    content = site.file.read_bytes()
    if how == "another key":
        site.settings.key.unlink()
    else:
        last = b"" if how == "cut" else bytes([content[-1] ^ 1])
        site.file.write_bytes(content[:-1] + last)
    site.live()
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.getMessage() == "sealed credentials are forgotten"
    assert record.fields["error"] == "it was sealed with another key, or somebody changed it"
    assert site.known() == []
    site.sealed.put(_REPOSITORY, _USER)
    site.live()
    assert site.known() == [_USER]


@pytest.mark.parametrize(
    ("key", "mode", "reason"),
    [(b"no key", 0o600, "openssl rand"), (None, 0o700, "Is a directory"), (b"x", 0o640, "chmod 600")],
    ids=["none", "directory", "readable"],
)  # fmt: skip
def test_without_a_usable_key_they_stay_in_memory(tmp_path, site, caplog, key, mode, reason):
    path = tmp_path / "other"
    if key is None:
        path.mkdir()
    else:
        path.write_bytes(key)
    path.chmod(mode)
    site.file.unlink()
    site.live(SealSettings(path))
    assert reason in caplog.records[-1].fields["error"]
    assert caplog.records[-1].levelno == logging.ERROR
    site.sealed.put(_REPOSITORY, _USER)
    assert site.known() == [_USER]
    assert not site.file.exists()
    assert repr(site.sealed) == "<SealedCredentials 1 in memory>"


def test_what_was_passed_before_is_sealed_too_and_deleted_when_that_is_not_wanted(site):
    passed = PassedCredentials()
    sealed = SealedCredentials(passed, site.file, clock=lambda: site.now)
    sealed.use(None)
    sealed.put(_REPOSITORY, _USER)
    assert not site.file.exists()
    sealed.use(site.settings)
    sealed.use(site.settings)
    site.live()
    assert site.known() == [_USER]
    site.sealed.use(None)
    assert not site.file.exists()
    assert site.known() == [_USER]


def test_a_disk_that_cannot_be_written_loses_nothing(site, caplog):
    site.file.unlink()
    site.file.mkdir()
    site.sealed.put(_REPOSITORY, _USER)
    assert caplog.records[-1].getMessage() == "credentials are not kept on disk"
    assert site.known() == [_USER]
    site.sealed.use(None)
    assert caplog.records[-1].getMessage() == "sealed credentials cannot be deleted"
    site.live()
    assert "sealed credentials are forgotten" in caplog.text
