"""What may lie on a disk: readable with its key, and with no other; nothing of it can be changed unnoticed."""

import base64

import pytest
from hypothesis import given, strategies as st
from nacl.secret import SecretBox

from registry.keychain.credential_seal import (
    KeptCredentials,
    SealBrokenError,
    SealingKey,
    new_key,
)
from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Repository

_KEY = SealingKey.parse(new_key())
_KEPT = KeptCredentials(Repository("a.io:5000", "team/app"), Credentials("user", "hush"), 7.5)
_TEXT = st.text(st.characters(codec="utf-8"))


@given(st.lists(st.builds(Credentials, _TEXT, _TEXT, st.sampled_from(SecretKind))))
def test_what_is_sealed_comes_back(credentials):
    kept = tuple(KeptCredentials(_KEPT.repository, item, 1.0) for item in credentials)
    assert _KEY.unseal(_KEY.seal(kept)) == kept


def test_nothing_secret_is_seen():
    sealed = _KEY.seal([_KEPT])
    assert b"hush" not in sealed
    assert b"a.io" not in sealed
    assert "hush" not in repr(_KEPT)
    assert repr(_KEY) == "<SealingKey>"


def test_no_bit_may_change():
    sealed = _KEY.seal([_KEPT])
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SealBrokenError):
            _KEY.unseal(bytes(broken))


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(100)], ids=["empty", "short", "zeros"])
def test_what_was_never_sealed(sealed):
    with pytest.raises(SealBrokenError, match="another key"):
        _KEY.unseal(sealed)


def test_another_key_opens_nothing():
    with pytest.raises(SealBrokenError):
        SealingKey.parse(new_key()).unseal(_KEY.seal([_KEPT]))


_DOCUMENT = (
    '{"format": "pyestargz credentials 1", "entries": [{"host": "a.io", "name": "%s", '
    '"username": "", "secret": "", "kind": "%s", "passed_at": 1}]}'
)


@pytest.mark.parametrize(
    "content",
    ["[]", '{"format": "other", "entries": []}', _DOCUMENT % ("A", "PASSWORD"), _DOCUMENT % ("a", "X")],
    ids=["no document", "format", "name", "kind"],
)  # fmt: skip
def test_other_things_sealed_with_the_key_are_not_taken_for_it(content):
    key = b"k" * 32
    with pytest.raises(SealBrokenError):
        SealingKey(key).unseal(bytes(SecretBox(key).encrypt(content.encode())))


@pytest.mark.parametrize(
    "text",
    [b"", b"hush", base64.b64encode(bytes(31)), b"\xff" * 44],
    ids=["empty", "word", "short", "bytes"],
)
def test_what_is_no_key_says_how_to_make_one(text):
    with pytest.raises(ValueError, match="openssl rand -base64 32") as raised:
        SealingKey.parse(text)
    assert "hush" not in str(raised.value)
