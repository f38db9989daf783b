import base64
import json
from concurrent.futures import ThreadPoolExecutor

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.kubernetes_secrets import KubernetesSecrets, SecretName, SecretType
from registry.reference import Repository

_QUESTION = CredentialQuestion("a.io", Repository("a.io", "team/app"))


def _auths(user: str, key: str = "a.io") -> dict[str, object]:
    return {key: {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}}


def _json(user: str, key: str = "a.io") -> bytes:
    return json.dumps({"auths": _auths(user, key)}).encode()


def test_both_types_of_secrets():
    secrets = KubernetesSecrets()
    secrets.put(SecretName("b", "new"), SecretType.DOCKER_CONFIG_JSON, _json("new"))
    secrets.put(SecretName("a", "old"), SecretType.DOCKERCFG, json.dumps(_auths("old")).encode())
    found = list(secrets.offers(_QUESTION))
    assert found == [Credentials("old", "secret"), Credentials("new", "secret")]
    assert [offer.origin for offer in found if isinstance(offer, Credentials)] == [
        "secret a/old, a.io",
        "secret b/new, a.io",
    ]
    assert (repr(secrets), str(secrets)) == ("<KubernetesSecrets 2>", "Kubernetes secrets")


def test_where_secrets_have_their_content():
    assert SecretType("kubernetes.io/dockerconfigjson").data_key == ".dockerconfigjson"
    assert SecretType("kubernetes.io/dockercfg").data_key == ".dockercfg"


def test_keys_may_hold_a_path_and_stars():
    secrets = KubernetesSecrets()
    name = SecretName("a", "a")
    for key, expected in (("*.io/team", 1), ("*.io/other", 0), ("b.io", 0)):
        secrets.put(name, SecretType.DOCKER_CONFIG_JSON, _json("user", key))
        assert len(list(secrets.offers(_QUESTION))) == expected


def test_a_broken_secret_is_told_and_passed_over():
    secrets = KubernetesSecrets()
    secrets.put(SecretName("a", "broken"), SecretType.DOCKER_CONFIG_JSON, b"secret")
    secrets.put(SecretName("b", "good"), SecretType.DOCKER_CONFIG_JSON, _json("user"))
    problem, good = secrets.offers(_QUESTION)
    assert isinstance(problem, CredentialsError)
    assert "secret a/broken" in str(problem)
    assert good == Credentials("user", "secret")


def test_secrets_come_and_go():
    secrets = KubernetesSecrets()
    kind = SecretType.DOCKER_CONFIG_JSON
    names = [SecretName("a", str(number)) for number in range(3)]
    for name in names:
        secrets.put(name, kind, _json(name.name))
    secrets.forget(names[0], kind)
    secrets.forget(names[0], kind)
    secrets.put(names[1], SecretType.DOCKERCFG, json.dumps(_auths("1")).encode())
    secrets.replace(kind, {names[2]: _json("2")})
    assert list(secrets.offers(_QUESTION)) == [
        Credentials("1", "secret"),
        Credentials("2", "secret"),
    ]
    secrets.end()
    assert not list(secrets.offers(_QUESTION))


def test_what_is_known_is_offered_with_the_failure_to_know_more():
    secrets = KubernetesSecrets()
    kind, failure = SecretType.DOCKER_CONFIG_JSON, CredentialsError("the API server", "is away")
    secrets.replace(kind, {SecretName("a", "a"): _json("user")})
    secrets.fail(kind, failure)
    assert list(secrets.offers(_QUESTION)) == [Credentials("user", "secret"), failure]
    assert repr(secrets) == "<KubernetesSecrets 1, failing>"
    secrets.recover(kind)
    assert list(secrets.offers(_QUESTION)) == [Credentials("user", "secret")]


def test_the_first_list_is_waited_for_but_not_for_ever():
    secrets = KubernetesSecrets(first_list_seconds=20)
    secrets.begin()
    with ThreadPoolExecutor(1) as thread:
        offers = thread.submit(lambda: list(secrets.offers(_QUESTION)))
        secrets.replace(SecretType.DOCKER_CONFIG_JSON, {SecretName("a", "a"): _json("user")})
        secrets.fail(SecretType.DOCKERCFG, CredentialsError("the API server", "is away"))
        assert len(offers.result(timeout=20)) == 2
    hurried = KubernetesSecrets(first_list_seconds=0)
    hurried.begin()
    assert not list(hurried.offers(_QUESTION))
