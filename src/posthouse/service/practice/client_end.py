"""Client's end of a practice session: the replies that have come, and whether the channel is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from posthouse.core import LocalError, Reply
from posthouse.net import Stream
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.readers import ReplyReader

__all__ = ["ClientEnd"]

#: Seconds that a reply may take.
_PATIENCE: Final = 30.0


class ClientEnd:
    """The client's end: the replies that have come, and whether the channel is open."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.replies: list[Reply] = []
        self.is_open = True
        self.tls = ""
        self._server_tls = False
        self._reader = ReplyReader(4_096, 512)
        self._changed = asyncio.Event()

    def connected(self, stream: Stream) -> None:
        self.stream = stream

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.reply()) is not None:
            self.replies.append(reply)
        self._changed.set()

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def disconnected(self, error: Exception | None) -> None:
        self.is_open = False
        self._changed.set()

    def came_up(self, info: TlsInfo) -> None:
        """TLS is up."""
        self.tls = info.text
        self._changed.set()

    def server_came_up(self) -> None:
        """The server's part of the handshake is over too."""
        self._server_tls = True
        self._changed.set()

    async def until_replies(self, count: int) -> None:
        """Wait until so many replies have come, or the channel has ended.  Raises ``LocalError`` after 30 s."""
        await self._until(lambda: len(self.replies) >= count)

    async def until_tls(self) -> None:
        """Wait until TLS is up, or the channel has ended.  Raises ``LocalError`` after 30 s."""
        await self._until(lambda: bool(self.tls) and self._server_tls)

    async def _until(self, done: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while self.is_open and not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LocalError(f"the practice server has not answered within {_PATIENCE:g} s") from None
