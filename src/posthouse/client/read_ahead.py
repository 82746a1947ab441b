"""Read-ahead of content that an event loop must not wait for.

A task reads the chunks of an ``AsyncContent``; the transaction takes them without waiting.  Memory is bounded: the task
stops while ``_MOST`` chunks are not taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Final

from posthouse.core import AsyncContent

__all__ = ["ReadAhead"]

#: Chunks in memory that the transaction has not taken yet.
_MOST: Final = 2


class ReadAhead(Iterator[bytes]):
    """The chunks of ``content``; an empty chunk where the next one has not been read yet, and then ``resume`` is called
    when it has.  Raises what reading raises."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, content: AsyncContent, at_most: int, resume: Callable[[], object]
    ) -> None:
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self._room = asyncio.Event()
        self._error: Exception | None = None
        self._over = False
        self._waiting = False  # the transaction was given an empty chunk
        self._task = loop.create_task(self._read(content, at_most))

    def __next__(self) -> bytes:
        if self._chunks:
            self._room.set()
            return self._chunks.popleft()
        if self._error is not None:
            raise self._error
        if self._over:
            raise StopIteration
        self._waiting = True
        return b""

    async def _read(self, content: AsyncContent, at_most: int) -> None:
        try:
            async with AsyncExitStack() as stack:
                chunks = content.stream(at_most)
                if isinstance(chunks, AsyncGenerator):
                    await stack.enter_async_context(aclosing(chunks))
                async for chunk in chunks:
                    if chunk:
                        self._chunks.append(chunk)
                        self._tell()
                    while len(self._chunks) >= _MOST:
                        self._room.clear()
                        await self._room.wait()
        except Exception as error:
            self._error = error
        self._over = True
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._waiting = False
            self._resume()

    def close(self) -> None:
        """Stop reading."""
        self._waiting = False
        self._task.cancel()
