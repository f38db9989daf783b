import errno
from collections.abc import Iterator

import pytest
import trio

from estargz.errors import EstargzError
from fs.errors import (
    FsError,
    NoSuchEntryError,
    NoSuchXattrError,
    NotWritableError,
    StaleLayerError,
    errno_of,
)
from registry.errors import ContentError


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


FORESEEN = [kind for base in (FsError, EstargzError, ContentError) for kind in subclasses(base)]


@pytest.mark.parametrize("kind", FORESEEN, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_has_an_errno(kind: type[Exception]) -> None:
    assert errno_of(kind.__new__(kind)) is not None


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (NoSuchEntryError(b"x"), errno.ENOENT),
        (NoSuchXattrError(b"x"), errno.ENODATA),
        (NotWritableError(), errno.EROFS),
        (StaleLayerError("x"), errno.ESTALE),
        (trio.TooSlowError(), errno.EIO),
        (OSError(errno.ENOSPC, "full"), errno.EIO),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_kernel_is_told_what_happened(error: Exception, number: int) -> None:
    assert errno_of(error) == number


def test_bugs_are_not_foreseen() -> None:
    assert errno_of(KeyError("oops")) is None
