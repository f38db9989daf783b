"""Credentials in a kubelet's request to pull an image. Pure: bytes in, values out."""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from registry.errors import InvalidReferenceError
from registry.keychain.credential_keys import normalize_host
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference
from snapshotter.proto import cri_pb2


@dataclass(frozen=True, slots=True)
class PulledCredentials:
    """For which image, and what."""

    reference: Reference
    credentials: Credentials


def pulled_credentials(request: bytes) -> PulledCredentials | None:
    """What a ``PullImageRequest`` of CRI tells; None if it tells nothing, nothing for the image's registry, or is none."""
    try:
        message = cri_pb2.PullImageRequest.FromString(request)
        reference = Reference.parse(message.image.image)
    except (DecodeError, InvalidReferenceError):
        return None  # containerd refuses it, and says why
    credentials = _credentials(message.auth)
    if credentials is None or not _is_for(message.auth.server_address, reference.host):
        return None
    return PulledCredentials(reference, credentials)


def _credentials(auth: cri_pb2.AuthConfig) -> Credentials | None:
    """In the order in which containerd looks at the fields."""
    if auth.username:
        return Credentials(auth.username, auth.password)
    if auth.identity_token:
        return Credentials("", auth.identity_token, SecretKind.IDENTITY_TOKEN)
    if auth.auth:
        return Credentials.from_base64(auth.auth)
    if auth.registry_token:
        return Credentials("", auth.registry_token, SecretKind.REGISTRY_TOKEN)
    return None


def _is_for(server: str, host: str) -> bool:
    """Whether credentials with a server's address, which may be a URL, are for a registry."""
    named = server.partition("://")[2] or server
    return not named or normalize_host(named.partition("/")[0]) == normalize_host(host)
