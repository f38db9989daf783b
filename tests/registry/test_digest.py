import pytest
from hypothesis import given, strategies as st

from registry.digest import Digest
from registry.errors import InvalidDigestError
from tests.registry.strategies import digests


@given(digests())
def test_parse_undoes_str(digest):
    assert Digest.parse(str(digest)) == digest
    assert bytes.fromhex(digest.hex) == digest.raw
    assert ":" not in digest.file_name


@given(st.binary())
def test_a_digest_matches_its_bytes_and_no_others(data):
    digest = Digest.of(data)
    assert digest.matches(data)
    assert digest.matches(memoryview(data))
    assert not digest.matches(data + b"\0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "A" * 64,
        "md5:" + "a" * 32,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha256:../" + "a" * 61,
        "sha256:" + "é" * 64,
    ],
)
def test_what_is_no_digest(text):
    with pytest.raises(InvalidDigestError, match="is not a digest"):
        Digest.parse(text)
