import pytest
from hypothesis import given, strategies as st

from registry.auth import (
    Challenge,
    choose_challenge,
    parse_challenges,
)

_WORDS = st.from_regex(r"\A[a-z][a-z0-9]{0,8}\Z")
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def _dump(challenge: Challenge) -> str:
    quoted = [
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in challenge.parameters.items()
    ]
    return f"{challenge.scheme} {', '.join(quoted)}"


@given(
    st.lists(st.builds(Challenge, _WORDS, st.dictionaries(_WORDS, _VALUES, min_size=1)), max_size=3)
)
def test_challenges_are_read_as_they_were_written(challenges):
    header = ", ".join(_dump(challenge) for challenge in challenges)
    assert parse_challenges(header) == tuple(challenges)


@given(st.text())
def test_any_header_can_be_read(text):
    choose_challenge(parse_challenges(text))


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Basic", [Challenge("basic")]),
        ("Negotiate, Basic realm=x", [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        (
            "Negotiate YWJj==, Basic realm=x",
            [Challenge("negotiate"), Challenge("basic", {"realm": "x"})],
        ),
        (
            'Bearer realm="https://a.io/t",service="a.io",scope="repository:x:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a.io/t",
                        "service": "a.io",
                        "scope": "repository:x:pull,push",
                    },
                )
            ],
        ),
    ],
)
def test_challenges_seen_in_the_wild(header, challenges):
    assert parse_challenges(header) == tuple(challenges)


def test_a_token_is_better_than_a_password():
    bearer, basic = Challenge("bearer", {"realm": "x"}), Challenge("basic")
    assert choose_challenge((basic, bearer)) is bearer
    assert choose_challenge((Challenge("digest"), basic)) is basic
    assert choose_challenge((Challenge("bearer"), Challenge("digest"))) is None
