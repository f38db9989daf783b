import contextlib
import io
from collections.abc import AsyncGenerator

import pytest

from estargz.blob_copy import copy_blob
from estargz.errors import ConversionError, DigestMismatchError
from estargz.layer_source import LayerSource
from registry.digest import Digest

_DATA = b"0123456789"
_SOURCE = LayerSource(
    what="layer x", digest=Digest.of(_DATA), blob_bytes=len(_DATA), diff_id=Digest.of(b"")
)


async def _stream(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), 3):
        yield data[start : start + 3]


async def test_a_copy_is_the_same() -> None:
    output, reported = io.BytesIO(), list[int]()
    await copy_blob(_stream(_DATA), _SOURCE, output, report=reported.append)
    assert output.getvalue() == _DATA
    assert sum(reported) == len(_DATA)


@pytest.mark.parametrize("data", [_DATA[:-1], _DATA[:-1] + b"x"], ids=["shorter", "other"])
async def test_another_blob_is_refused(data: bytes) -> None:
    with pytest.raises(DigestMismatchError, match="layer x"):
        await copy_blob(_stream(data), _SOURCE, io.BytesIO(), report=lambda _: None)


async def test_a_longer_blob_is_not_read_to_its_end() -> None:
    async with contextlib.aclosing(_stream(_DATA * 2)) as blob:
        with pytest.raises(ConversionError, match="longer"):
            await copy_blob(blob, _SOURCE, io.BytesIO(), report=lambda _: None)
