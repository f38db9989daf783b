from registry.keychain.credential_settings import CredentialSettings
from registry.keychain.docker_config import Login


def test_logins_are_not_printed():
    settings = CredentialSettings(logins={"a.io": Login(username="user", password="secret")})
    assert "secret" not in repr(settings)
