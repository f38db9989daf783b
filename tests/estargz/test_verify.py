import hashlib

import pytest
from hypothesis import given, strategies as st

from estargz.errors import DigestMismatchError
from estargz.verify import VerifiedChunk
from registry.digest import Digest


@given(st.binary(max_size=200))
def test_the_right_content_becomes_a_chunk(content: bytes) -> None:
    chunk = VerifiedChunk("a", hashlib.sha256(content).digest(), memoryview(content))
    assert chunk.data == content


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_other_content_does_not(content: bytes, other: bytes) -> None:
    if content == other:
        return
    with pytest.raises(DigestMismatchError) as caught:
        VerifiedChunk("usr/x", hashlib.sha256(content).digest(), memoryview(other))
    assert caught.value.expected == Digest.of(content)
    assert caught.value.actual == Digest.of(other)
    assert "usr/x" in str(caught.value)
