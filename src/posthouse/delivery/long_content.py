"""Long content that threads make or look through, while the event loop goes on.

Not compiled: the compiler has no asynchronous generators.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

from posthouse.core import Content

__all__ = ["MadeInThread", "YieldingContent"]

_PIECE: Final = 65_536  # octets after which a thread lets others run


class MadeInThread:
    """Content whose octets are made while it is read, by threads and not by the event loop; a few at a time."""

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return self._content.size

    async def stream(self, at_most: int = 262_144) -> AsyncIterator[bytes]:
        pieces = self._content.chunks(min(at_most, _PIECE))
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


class YieldingContent:
    """Content that lets other threads run between its chunks, for work in a thread that takes long."""

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return self._content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for chunk in self._content.chunks(min(at_most, _PIECE)):
            yield chunk
            time.sleep(0)
