"""Nothing but an errno gets through."""

import errno

import pyfuse3
import pytest

from fs.fuse_boundary import guarded_by


class Operations:
    @guarded_by(lambda error: errno.ENOENT if isinstance(error, KeyError) else None)
    async def answer(self, error: Exception | None, *, value: int = 1) -> int:
        """What it does."""
        if error is not None:
            raise error
        return value


async def test_an_answer_passes() -> None:
    assert await Operations().answer(None, value=2) == 2
    assert Operations.answer.__doc__ == "What it does."


@pytest.mark.parametrize(
    ("error", "number", "logged"),
    [(KeyError(), errno.ENOENT, 0), (ValueError("x"), errno.EIO, 1)],
    ids=["foreseen", "bug"],
)
async def test_an_error_becomes_its_errno(
    error: Exception, number: int, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await Operations().answer(error)
    assert caught.value.errno == number
    assert [record.message.startswith("bug: ") for record in caplog.records] == [True] * logged
