"""docker's credential helpers: programs ``docker-credential-NAME`` that keep secrets elsewhere, or get them from a cloud.

The protocol is that of docker-credential-helpers: ``get`` with a server's name on stdin, and JSON on stdout.
"""

import re
from typing import Final

import msgspec

from registry.errors import CredentialsError
from registry.keychain.credential_keys import DOCKER_HUB, DOCKER_HUB_URL, normalize_host
from registry.keychain.credentials import Credentials, SecretKind
from registry.keychain.programs import ProgramFailedError, run_program

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What helpers print where they know nothing; it is no failure.
_NOT_FOUND: Final = "credentials not found"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - the protocol's word for a user that has none


class _Answer(msgspec.Struct, rename="pascal"):
    username: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return "<_Answer>"


def ask_helper(
    name: str, host: str, *, named_by: str, timeout_seconds: float
) -> Credentials | None:
    """What a helper knows of a host; None where it knows nothing. Runs a program, and waits for it.

    Args:
        name: the helper's name, as configurations have it: without ``docker-credential-``.
        host: the server that the credentials are for.
        named_by: the configuration that names the helper.
        timeout_seconds: how long the program may take.

    Raises:
        CredentialsError: it failed.
    """
    if not _NAME.fullmatch(name):
        raise CredentialsError(named_by, "the name of a credential helper is malformed")
    program = f"docker-credential-{name}"
    host = normalize_host(host)
    server = DOCKER_HUB_URL if host == DOCKER_HUB else host
    try:
        raw = run_program([program, "get"], server.encode(), timeout_seconds=timeout_seconds)
    except ProgramFailedError as error:
        if _NOT_FOUND in error.said.lower():
            return None
        raise
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CredentialsError(program, "its answer is not what helpers answer") from None
    if not answer.secret:
        return None
    origin = f"{program}, named by {named_by}"
    if answer.username == _TOKEN_USER:
        return Credentials("", answer.secret, SecretKind.IDENTITY_TOKEN, origin)
    return Credentials(answer.username, answer.secret, origin=origin)
