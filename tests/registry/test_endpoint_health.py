from registry.endpoint_health import (
    BLOB_SETBACK_SECONDS,
    FIRST_SETBACK_SECONDS,
    MAX_REMEMBERED,
    MAX_SETBACK_SECONDS,
    EndpointHealth,
    join_failures,
)
from registry.endpoints import Endpoint
from registry.errors import (
    BadResponseError,
    NotFoundError,
    RateLimitedError,
    RegistryError,
    UnauthorizedError,
    UnreachableError,
)

_MIRROR = Endpoint("a.io", "https://mirror.io/v2/")
_ITSELF = Endpoint("a.io", "https://a.io/v2/")
_BOTH = (_MIRROR, _ITSELF)
_GONE = UnreachableError("mirror.io", detail="refused")


def _first(health: EndpointHealth, *, now: float, subject: str = "blob") -> Endpoint:
    sound, set_back = health.order(_BOTH, subject=subject, now=now)
    assert {*sound, *set_back} == set(_BOTH)
    return (*sound, *set_back)[0]


def test_the_configured_order_holds_while_all_is_well():
    assert EndpointHealth().order(_BOTH, subject="blob", now=0) == ([_MIRROR, _ITSELF], [])


def test_who_fails_comes_last_for_a_while_and_then_first_again():
    health = EndpointHealth()
    health.failed(_MIRROR, _GONE, subject="blob", now=100)
    assert health.order(_BOTH, subject="blob", now=100) == ([_ITSELF], [_MIRROR])
    assert health.states(now=101)[0].set_back_seconds == FIRST_SETBACK_SECONDS - 1
    assert _first(health, now=100 + FIRST_SETBACK_SECONDS) is _MIRROR
    health.answered(_MIRROR)
    assert health.states(now=0) == ()
    assert _first(health, now=100 + FIRST_SETBACK_SECONDS) is _MIRROR


def test_one_request_finds_out_whether_it_is_back():
    health = EndpointHealth()
    health.failed(_MIRROR, _GONE, subject="blob", now=0)
    now = FIRST_SETBACK_SECONDS
    assert [_first(health, now=now) for _ in range(3)] == [_MIRROR, _ITSELF, _ITSELF]


def test_who_keeps_failing_is_tried_ever_less_often_but_always_again():
    health = EndpointHealth()
    now, pauses = 0.0, []
    for _ in range(8):
        health.failed(_MIRROR, _GONE, subject="blob", now=now)
        pauses.append(health.states(now=now)[0].set_back_seconds)
        now += pauses[-1]
        assert _first(health, now=now) is _MIRROR
    assert pauses[:3] == [10, 20, 40]
    assert pauses[-1] == MAX_SETBACK_SECONDS


def test_one_outage_seen_by_many_requests_counts_once():
    health = EndpointHealth()
    for now in (0, 0.1, 0.2, 0.3):
        health.failed(_MIRROR, _GONE, subject="blob", now=now)
    assert health.states(now=0)[0].set_back_seconds == FIRST_SETBACK_SECONDS


def test_what_says_nothing_about_the_server_is_remembered_for_the_blob_alone():
    for error in (
        NotFoundError("mirror.io", status=404),
        UnauthorizedError("mirror.io", status=401),
        BadResponseError("mirror.io", status=206),
    ):
        health = EndpointHealth()
        health.failed(_MIRROR, error, subject="blob", now=0)
        assert _first(health, subject="blob", now=1) is _ITSELF
        assert _first(health, subject="other", now=1) is _MIRROR
        assert _first(health, subject="blob", now=BLOB_SETBACK_SECONDS) is _MIRROR


def test_what_sets_a_server_back():
    for error in (RateLimitedError("m", status=429), RegistryError("m", status=503)):
        health = EndpointHealth()
        health.failed(_MIRROR, error, subject="blob", now=0)
        assert _first(health, subject="other", now=1) is _ITSELF


def test_memory_is_bounded():
    health = EndpointHealth()
    for number in range(MAX_REMEMBERED + 10):
        health.failed(_MIRROR, NotFoundError("m", status=404), subject=number, now=0)
    assert repr(health) == f"<EndpointHealth {MAX_REMEMBERED} set back>"


def test_the_one_error_is_the_registrys_own_with_what_its_mirrors_said():
    refused = UnauthorizedError("a.io", status=401, detail="log in")
    error = join_failures({_MIRROR: _GONE, _ITSELF: refused}, known_to_fail=frozenset())
    assert isinstance(error, UnauthorizedError)
    assert (error.host, error.others, error.retryable) == ("a.io", (_GONE,), True)
    assert str(error).endswith("; its other endpoints failed too: mirror.io (refused)")
    known = join_failures({_ITSELF: refused, _MIRROR: _GONE}, known_to_fail=frozenset({_MIRROR}))
    assert not known.retryable


def test_a_single_error_stays_what_it_is():
    assert join_failures({_MIRROR: _GONE}, known_to_fail=frozenset({_MIRROR})) is _GONE
