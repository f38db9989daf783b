"""The error boundary between pyfuse3 and what it calls: an exception that gets through would end the mount for everybody."""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3

_log = logging.getLogger(__name__)

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")

_Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def guarded_by(
    errno_of: Callable[[BaseException], int | None],
) -> Callable[[_Method[S, P, T]], _Method[S, P, T]]:
    """Makes methods answer the kernel with an errno, whatever they raise.

    Args:
        errno_of: the errno of an error; None for one that nobody foresaw, which becomes EIO and is logged as a bug.
    """

    def guard(handler: _Method[S, P, T]) -> _Method[S, P, T]:
        @functools.wraps(handler)
        async def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await handler(self, *args, **kwargs)
            except Exception as error:  # the FUSE boundary
                number = errno_of(error)
                if number is None:
                    _log.exception("bug: unforeseen error in %s%s", handler.__name__, args)
                    number = errno.EIO
                raise pyfuse3.FUSEError(number) from error

        return guarded

    return guard
