"""What a pull of the kubelet tells of credentials."""

import base64

import pytest

from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference
from snapshotter.pulled_credentials import PulledCredentials, pulled_credentials
from tests.e2e.proto import cri_pb2 as cri

_BASE64 = base64.b64encode(b"user:word").decode()


def pull(image: str, **auth: str) -> bytes:
    """The request as the kubelet's own messages make it, with more in it than we read."""
    read = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=cri.AuthConfig(**auth))
    # Another request has the same field under the same number.
    more = cri.CreateContainerRequest(sandbox_config=cri.PodSandboxConfig(hostname="h"))
    return read.SerializeToString() + more.SerializeToString()


@pytest.mark.parametrize(
    ("auth", "credentials"),
    [
        ({"username": "user", "password": "word"}, Credentials("user", "word")),
        ({"auth": _BASE64}, Credentials("user", "word")),
        ({"identity_token": "t"}, Credentials("", "t", SecretKind.IDENTITY_TOKEN)),
        ({"registry_token": "t"}, Credentials("", "t", SecretKind.REGISTRY_TOKEN)),
        ({"username": "user", "password": "word", "server_address": "https://r.test/v1/"}, Credentials("user", "word")),
    ],
)  # fmt: skip
def test_every_form(auth: dict[str, str], credentials: Credentials) -> None:
    reference = Reference.parse("r.test/app:1")
    assert pulled_credentials(pull("r.test/app:1", **auth)) == PulledCredentials(
        reference, credentials
    )


def test_names_of_docker_hub_are_short() -> None:
    auth = {"username": "u", "password": "p", "server_address": "https://index.docker.io/v1/"}
    found = pulled_credentials(pull("busybox", **auth))
    assert found is not None
    assert str(found.reference) == "docker.io/library/busybox:latest"


@pytest.mark.parametrize(
    "request_",
    [
        b"\xff\xff",
        b"",
        pull("r.test/app"),
        pull("Not A Name", username="u", password="p"),
        pull("r.test/app", username="u", password="p", server_address="other.test"),
        pull("r.test/app", auth="!"),
    ],
    ids=["broken", "empty", "without", "no name", "for another", "no base64"],
)
def test_what_tells_nothing(request_: bytes) -> None:
    assert pulled_credentials(request_) is None
