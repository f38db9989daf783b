import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, strategies as st

from registry.auth import Challenge
from registry.token_requests import (
    Token,
    TokenLogin,
    missing_scopes,
    parse_token,
    plan_token_requests,
)

SCOPES = ["repository:x:pull", "repository:y:pull"]


@pytest.mark.parametrize("realm", ["https://a.io/token", "https://a.io/token?x=1"])
def test_without_a_login_there_is_one_way(realm):
    challenge = Challenge("bearer", {"realm": realm, "service": "a&b"})
    (way,) = plan_token_requests(challenge, SCOPES, TokenLogin())
    query = parse_qs(urlsplit(way.url).query)
    assert (query["service"], query["scope"]) == (["a&b"], SCOPES)
    assert (way.method, way.authorization, way.form) == ("GET", None, None)
    assert not way.next_after


def test_ways_with_all_there_is():
    challenge = Challenge("bearer", {"realm": "https://a.io/token"})
    ways = plan_token_requests(challenge, SCOPES, TokenLogin("user", "pass", "identity"))
    assert [way.method for way in ways] == ["POST", "GET", "POST"]
    by_identity, _, by_password = (parse_qs((way.form or b"").decode()) for way in ways)
    assert by_identity["grant_type"] == ["refresh_token"]
    assert by_identity["refresh_token"] == ["identity"]
    assert by_identity["scope"] == ["repository:x:pull repository:y:pull"]
    assert (by_password["username"], by_password["password"]) == (["user"], ["pass"])
    assert ways[1].authorization == f"Basic {base64.b64encode(b'user:pass').decode()}"
    # A password that was refused is not sent again.
    assert (401 in ways[0].next_after, 401 in ways[1].next_after) == (True, False)


@pytest.mark.parametrize(
    ("asked_for", "missing"),
    [
        ("", ()),
        ("repository:x:pull", ()),
        ("repository:x:push,pull", ("repository:x:push,pull",)),
        ("repository:other:pull repository:x:pull", ("repository:other:pull",)),
        ("repository:host:5000/x:pull", ("repository:host:5000/x:pull",)),
        ("nonsense", ()),
        ("a:b:c " * 100, ("a:b:c",) * 8),
    ],
)
def test_scopes_that_only_the_registry_knows(asked_for, missing):
    assert missing_scopes(["repository:x:pull"], asked_for) == missing


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({"token": "t", "expires_in": 300}, Token("t", 300.0)),
        ({"access_token": "t"}, Token("t", 60.0)),
        ({"token": "", "access_token": "t", "expires_in": None}, Token("t", 60.0)),
        ({"token": "t", "expires_in": 1e30}, Token("t", 86400.0)),
        ({"token": "t", "expires_in": -5}, Token("t", 0.0)),
        ({"token": "t\r\nX-Evil: 1"}, None),
        ({"token": "t" * 70_000}, None),
        ({"token": 5}, None),
        ({}, None),
        ([], None),
    ],
)
def test_what_token_servers_answer(answer, token):
    assert parse_token(json.dumps(answer).encode()) == token


@given(st.binary(max_size=40))
def test_any_answer_can_be_read(body):
    assert parse_token(body) is None


@pytest.mark.parametrize(
    ("issued_at", "date", "seconds"),
    [
        ("2026-01-01T10:00:00Z", "Thu, 01 Jan 2026 10:01:40 GMT", 200),
        ("2026-01-01T10:00:00.123456789Z", None, 300),
        ("2026-01-01T10:00:00Z", "Thu, 01 Jan 2026 09:00:00 GMT", 300),
        ("2026-01-01T10:00:00", "Thu, 01 Jan 2026 10:01:40 GMT", 300),
        ("2026-01-01T09:00:00Z", "Thu, 01 Jan 2026 10:01:40 GMT", 0),
        ("yesterday", "today", 300),
    ],
)
def test_age_is_told_by_the_servers_clock(issued_at, date, seconds):
    answer = json.dumps({"token": "t", "expires_in": 300, "issued_at": issued_at}).encode()
    token = parse_token(answer, date=date)
    assert token is not None
    assert token.lifetime_seconds == pytest.approx(seconds, abs=1)


def test_refresh_tokens_are_kept_unless_they_are_absurd():
    for refresh_token, kept in (("r", "r"), (None, ""), ("r" * 70_000, "")):
        token = parse_token(json.dumps({"token": "t", "refresh_token": refresh_token}).encode())
        assert token is not None
        assert token.refresh_token == kept


def test_secrets_are_not_printed():
    challenge = Challenge("bearer", {"realm": "https://a.io/token"})
    login = TokenLogin("user", "secret", "secret")
    things = [login, Token("secret", 1.0, "secret"), *plan_token_requests(challenge, [], login)]
    assert "secret" not in repr(things)
