"""A result that comes later, given at once to the one who waits for it.

A future tells those who wait in the next turn of the event loop.  That turn is too much for what happens once for every
message: the spool's future already ends in a turn of its own, and the 250 can be written in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["PendingResult"]


class PendingResult:
    """The result of one call, of which one session is told; it can also be awaited."""

    __slots__ = ("_error", "_is_settled", "_result", "_tell")

    def __init__(self) -> None:
        self._is_settled = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._tell: Callable[[Any, BaseException | None], object] | None = None

    def when_settled(self, tell: Callable[[Any, BaseException | None], object]) -> None:
        """Call ``tell`` with the result and None, or with None and the exception: at once if they are known."""
        if self._is_settled:
            tell(self._result, self._error)
        else:
            self._tell = tell

    def settle(self, result: Any, error: BaseException | None = None) -> None:
        """Give the result, or the exception in its place; once."""
        self._is_settled = True
        self._result, self._error = result, error
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(result, error)

    def __await__(self) -> Generator[Any, None, Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.when_settled(tell)
        return future.__await__()
