from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.passed_credentials import MAX_REPOSITORIES, PassedCredentials
from registry.reference import Repository

_APP = Repository("docker.io", "team/app")
_USER = Credentials("user", "secret")


def _offers(
    passed: PassedCredentials, repository: Repository = _APP, host: str = ""
) -> list[object]:
    return list(passed.offers(CredentialQuestion(host or repository.host, repository)))


def test_what_is_passed_for_an_image_is_for_that_image():
    passed = PassedCredentials()
    assert _offers(passed) == []
    passed.put(_APP, _USER)
    (found,) = _offers(passed)
    assert found == _USER
    assert isinstance(found, Credentials)
    assert found.origin == "passed by CRI"
    assert _offers(passed, Repository("docker.io", "team/other")) == []
    passed.put(_APP, Credentials("user", "newer"))
    assert _offers(passed) == [Credentials("user", "newer")]
    passed.forget(_APP)
    passed.forget(_APP)
    assert _offers(passed) == []


def test_it_is_not_for_mirrors():
    passed = PassedCredentials()
    passed.put(_APP, _USER)
    assert _offers(passed, host="mirror.io") == []
    assert _offers(passed, host="registry-1.docker.io") == [_USER]


def test_memory_is_bounded_and_what_is_used_stays():
    passed = PassedCredentials()
    passed.put(_APP, _USER)
    for number in range(MAX_REPOSITORIES):
        passed.put(Repository("a.io", f"app{number}"), _USER)
        assert _offers(passed) == [_USER]
    assert repr(passed) == f"<PassedCredentials for {MAX_REPOSITORIES} repositories>"
