from collections.abc import AsyncIterator

import pytest

from registry.auth import Challenge
from registry.counters import Counters
from registry.endpoints import Endpoint
from registry.errors import BadResponseError, UnauthorizedError
from registry.token_requests import TokenLogin
from registry.tokens import TokenServers
from registry.transport import Transport
from tests.fakes.registry import FakeRegistry

SCOPES = ["repository:some/image:pull"]
PASSWORD = TokenLogin("user", "secret")


@pytest.fixture
async def servers(quick) -> AsyncIterator[TokenServers]:
    async with Transport(quick, Counters()) as transport:
        yield TokenServers(transport, Counters())


async def _fetch(servers: TokenServers, fake: FakeRegistry, login: TokenLogin) -> str:
    endpoint = Endpoint(fake.host, f"http://{fake.host}/v2/")
    challenge = Challenge("bearer", {"realm": f"http://{fake.host}/token", "service": "fake"})
    return (await servers.fetch_token(endpoint, challenge, SCOPES, login)).value


def _asked(fake: FakeRegistry) -> list[tuple[str, int]]:
    return [(record.grant or record.method, record.status) for record in fake.requests]


@pytest.mark.parametrize(
    ("login", "statuses", "asked"),
    [
        (TokenLogin(), {}, [("GET", 200)]),
        (PASSWORD, {}, [("GET", 200)]),
        (PASSWORD, {"GET": 405}, [("GET", 405), ("password", 200)]),
        (PASSWORD, {"GET": 404}, [("GET", 404), ("password", 200)]),
        (TokenLogin("", "", "identity"), {}, [("refresh_token", 200)]),
        (
            TokenLogin("user", "secret", "identity"),
            {"POST": 405},
            [("refresh_token", 405), ("GET", 200)],
        ),
        (TokenLogin("user", "secret", "old"), {}, [("refresh_token", 401), ("GET", 200)]),
    ],
)
async def test_ways_to_a_token(fake, servers, login, statuses, asked):
    fake.state.users = {"user": "secret"}
    fake.state.identity_tokens = {"identity"}
    fake.state.token_statuses = statuses
    value = await _fetch(servers, fake, login)
    assert fake.state.tokens[value] == SCOPES
    assert _asked(fake) == asked


@pytest.mark.parametrize(
    ("login", "statuses", "requests"),
    [
        (TokenLogin("user", "wrong"), {}, 1),
        (TokenLogin("", "", "wrong"), {}, 1),
        (PASSWORD, {"GET": 403}, 1),
        (PASSWORD, {"GET": 405, "POST": 403}, 2),
    ],
)
async def test_who_is_refused_is_told_to_log_in(fake, servers, login, statuses, requests):
    fake.state.users = {"user": "secret"}
    fake.state.token_statuses = statuses
    with pytest.raises(UnauthorizedError, match=f"docker login {fake.host}"):
        await _fetch(servers, fake, login)
    assert fake.count("token") == requests


async def test_what_was_given_to_refresh_with_is_used_the_next_time(fake, servers):
    fake.state.users = {"user": "secret"}
    fake.state.gives_refresh_tokens = True
    for _ in range(3):
        await _fetch(servers, fake, PASSWORD)
    fake.state.identity_tokens.clear()
    for _ in range(2):
        await _fetch(servers, fake, PASSWORD)
    assert _asked(fake) == [
        ("GET", 200),
        ("refresh_token", 200),
        ("refresh_token", 200),
        ("refresh_token", 401),
        ("GET", 200),
        ("refresh_token", 200),
    ]
    assert repr(servers) == "<TokenServers 1 refresh tokens>"


async def test_an_answer_without_a_token(fake, servers):
    fake.state.token_answer = b"{}"
    with pytest.raises(BadResponseError, match="no token"):
        await _fetch(servers, fake, TokenLogin())
