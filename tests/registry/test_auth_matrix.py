"""What goes over the wire, for each way a registry asks, each kind of credentials there is, and each answer.

A request is written as what was asked, by what, and the answer's status: ``blob Bearer 206``, ``token password 200``. A token is
asked for by nobody (``-``), by a user and password (``Basic``), or by a form (``password``, ``refresh_token``).
"""

import base64
import dataclasses
import json
from pathlib import Path

import pytest

from registry.client import RegistryClient
from registry.errors import (
    BadResponseError,
    NotFoundError,
    RegistryError,
    UnauthorizedError,
)
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.asking import DATA, read_tail, repository_of

ASKED = "blob - 401"
FETCHED = "blob Bearer 206"
BY_NOBODY, BY_PASSWORD, BY_IDENTITY = "token - 200", "token Basic 200", "token refresh_token 200"

ENTRIES = {
    "nothing": None,
    "password": {"auth": base64.b64encode(b"user:secret").decode()},
    "wrong password": {"auth": base64.b64encode(b"user:wrong").decode()},
    "identity token": {"identitytoken": "identity"},
    "wrong identity token": {"identitytoken": "wrong"},
    "registry token": {"registrytoken": "registry"},
    "wrong registry token": {"registrytoken": "wrong"},
}


def _set_up(fake: FakeRegistry, config: Path, challenge: str, credentials: str) -> None:
    entry = ENTRIES[credentials]
    if entry is not None:
        config.write_text(json.dumps({"auths": {fake.host: entry}}))
    fake.state.users = {"user": "secret"}
    fake.state.identity_tokens = {"identity"}
    fake.state.registry_tokens = {"registry"}
    match challenge:
        case "none":
            pass
        case "basic":
            fake.state.require_login = True
        case "bearer":
            fake.require_token = True
        case "both":
            fake.require_token = True
            fake.state.challenge = 'Basic realm="fake", {bearer}'
        case _:
            fake.state.require_login = True
            fake.state.challenge = challenge


def _requests(fake: FakeRegistry) -> list[str]:
    return [
        f"{record.kind} {record.grant or record.authorization.partition(' ')[0] or '-'} {record.status}"
        for record in fake.requests
    ]


@pytest.mark.parametrize(
    ("challenge", "credentials", "expected"),
    [
        *(("none", credentials, ["blob - 206"]) for credentials in ENTRIES),
        ("basic", "password", [ASKED, "blob Basic 206"]),
        ("bearer", "nothing", [ASKED, BY_NOBODY, FETCHED]),
        ("bearer", "password", [ASKED, BY_PASSWORD, FETCHED]),
        ("bearer", "identity token", [ASKED, BY_IDENTITY, FETCHED]),
        ("bearer", "registry token", [ASKED, FETCHED]),
        ("both", "nothing", [ASKED, BY_NOBODY, FETCHED]),
        ("both", "password", [ASKED, BY_PASSWORD, FETCHED]),
        ("both", "identity token", [ASKED, BY_IDENTITY, FETCHED]),
    ],
)
async def test_who_is_let_in(fake, quick, docker_config, challenge, credentials, expected):
    _set_up(fake, docker_config, challenge, credentials)
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        first = _requests(fake)
        await read_tail(client, repository_of(fake), digest)
    assert first == expected
    # Nothing is asked for twice.
    assert _requests(fake)[len(first) :] == expected[-1:]


@pytest.mark.parametrize(
    ("challenge", "credentials", "expected"),
    [
        ("basic", "nothing", [ASKED]),
        ("basic", "wrong password", [ASKED, "blob Basic 401"]),
        ("basic", "identity token", [ASKED]),
        ("basic", "registry token", [ASKED, "blob Bearer 401"]),
        ("bearer", "wrong password", [ASKED, "token Basic 401"]),
        ("bearer", "wrong identity token", [ASKED, "token refresh_token 401"]),
        ("bearer", "wrong registry token", [ASKED, "blob Bearer 401"]),
        ("Negotiate", "password", [ASKED]),
        ('Bearer realm=""', "password", [ASKED]),
    ],
)
async def test_who_is_not(fake, quick, docker_config, challenge, credentials, expected):
    _set_up(fake, docker_config, challenge, credentials)
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match=f"docker login {fake.host}"):
            await read_tail(client, repository_of(fake), digest)
    # What was refused is not sent again: that may lock an account.
    assert _requests(fake) == expected


@pytest.mark.parametrize(
    ("fault", "error", "expected"),
    [
        (Fault.FORBIDDEN, UnauthorizedError, ["blob Bearer 403"]),
        (Fault.BROKEN, RegistryError, ["blob Bearer 500"] * 2),
        (Fault.BUSY, RegistryError, ["blob Bearer 503"] * 2),
        (Fault.RATE_LIMITED, RegistryError, ["blob Bearer 429"] * 2),
    ],
)
async def test_what_a_registry_answers_to_a_good_token(
    fake, quick, docker_config, fault, error, expected
):
    _set_up(fake, docker_config, "bearer", "password")
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(fault, after=1, times=99, kinds=("blob",))
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(error):
            await read_tail(client, repository_of(fake), digest)
    assert _requests(fake) == [ASKED, BY_PASSWORD, *expected]


async def test_what_is_not_there_is_not_there_with_a_token_either(fake, quick, docker_config):
    _set_up(fake, docker_config, "bearer", "password")
    async with RegistryClient(quick) as client:
        with pytest.raises(NotFoundError):
            await read_tail(client, repository_of(fake), fake.add_blob("other/image", DATA))
    assert _requests(fake) == [ASKED, BY_PASSWORD, "blob Bearer 404"]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (403, UnauthorizedError, ["token Basic 403"]),
        (404, NotFoundError, ["token Basic 404", "token password 404"]),
        (503, RegistryError, ["token Basic 503"]),
    ],
)
async def test_what_a_token_server_answers(fake, quick, docker_config, status, error, expected):
    _set_up(fake, docker_config, "bearer", "password")
    fake.state.token_statuses = {"GET": status, "POST": status}
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        with pytest.raises(error):
            await read_tail(client, repository_of(fake), digest)
    assert _requests(fake) == [ASKED, *expected]


@pytest.mark.parametrize("redirects", [False, True])
@pytest.mark.parametrize("credentials", ["nothing", "password", "identity token"])
async def test_a_token_that_is_refused_is_renewed_once(
    fake, quick, docker_config, credentials, redirects
):
    _set_up(fake, docker_config, "bearer", credentials)
    fake.redirects = redirects
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        fake.revoke_tokens()
        fake.expire_redirects()
        first = len(_requests(fake))
        await read_tail(client, repository_of(fake), digest)
        assert client.statistics().retries == 0
    again = [request for request in _requests(fake)[first:] if not request.startswith("cdn")]
    assert [request.split()[2] for request in again] == [
        "401",
        "200",
        "307" if redirects else "206",
    ]
    assert {record.authorization for record in fake.requests if record.kind == "cdn"} <= {""}


async def test_a_storage_that_always_refuses_is_asked_no_more_than_the_registry(
    fake, quick, docker_config
):
    _set_up(fake, docker_config, "bearer", "password")
    fake.redirects = True
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.FORBIDDEN, times=99, kinds=("cdn",))
    async with RegistryClient(dataclasses.replace(quick, attempts=2)) as client:
        with pytest.raises(BadResponseError) as caught:
            await read_tail(client, repository_of(fake), digest)
    assert caught.value.host == fake.cdn_host
    hop = ["blob Bearer 307", "cdn - 403"]
    assert _requests(fake) == [ASKED, BY_PASSWORD, *hop, *hop]
