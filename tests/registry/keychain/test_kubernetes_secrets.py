import base64
import json

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
    names = [SecretName("a", str(number)) for number in range(3)]
    for name in names:
        secrets.put(name, SecretType.DOCKER_CONFIG_JSON, _json(name.name))
    secrets.forget(names[0])
    secrets.forget(names[0])
    secrets.keep_only(frozenset({names[0], names[2]}))
    assert list(secrets.offers(_QUESTION)) == [Credentials("2", "secret")]
