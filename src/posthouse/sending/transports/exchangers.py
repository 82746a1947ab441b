"""``mx:``: direct delivery to the mail exchangers of each recipient's domain, without a server of one's own.

Most networks and receivers refuse this from addresses that are no mail servers; it is for tests, and for hosts that
are. The DNS is asked by asynchronous code, so the blocking transport runs an event loop of its own for the time of a
call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from posthouse.core import Content, Envelope, LocalError, SettingError
from posthouse.net import Resolver
from posthouse.sending.connection.dialogue_record import TranscriptLike
from posthouse.sending.direct import deliver_direct
from posthouse.sending.results import SendResult

__all__ = ["AsyncMxTransport", "MxTransport"]

#: The most that a transcript keeps.
_MOST_LINES: Final = 20_000


class AsyncMxTransport:
    """Direct delivery in an event loop.  ``resolver``, ``port`` and ``loopback`` are for tests, as ``deliver_direct``
    has them."""

    def __init__(
        self, url: str = "mx:", *, resolver: Resolver | None = None, port: int = 25, loopback: bool = False
    ) -> None:
        if url.strip().lower() != "mx:":
            raise SettingError("mx: takes nothing behind the colon", where=url, remedy='write via="mx:"')
        self._resolver = resolver
        self._port = port
        self._loopback = loopback

    async def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """One session for each domain; one outcome for each recipient."""
        return await self.deliver_within(envelope, content, None, False)

    async def deliver_within(
        self, envelope: Envelope, content: Content, seconds: float | None, transcript: TranscriptLike
    ) -> SendResult:
        """``deliver`` within so many seconds.  The transcript has the lines of all sessions, one after another."""
        lines: deque[str] = deque(maxlen=_MOST_LINES)

        def hear(who: str, text: str) -> None:
            if callable(transcript):
                transcript(who, text)
            else:
                lines.append(f"{who}: {text}")

        outcomes = await deliver_direct(
            envelope,
            content,
            transcript=hear if transcript else None,
            resolver=self._resolver,
            port=self._port,
            loopback=self._loopback,
            timeout=seconds,
        )
        return SendResult(outcomes, transcript=lines)


class MxTransport:
    """Direct delivery for code without an event loop; arguments as ``AsyncMxTransport``."""

    def __init__(
        self, url: str = "mx:", *, resolver: Resolver | None = None, port: int = 25, loopback: bool = False
    ) -> None:
        self._transport = AsyncMxTransport(url, resolver=resolver, port=port, loopback=loopback)

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """As ``AsyncMxTransport.deliver``.  Raises ``LocalError`` in a running event loop, which it would block."""
        return self.deliver_within(envelope, content, None, False)

    def deliver_within(
        self, envelope: Envelope, content: Content, seconds: float | None, transcript: TranscriptLike
    ) -> SendResult:
        """As ``AsyncMxTransport.deliver_within``."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._transport.deliver_within(envelope, content, seconds, transcript))
        raise LocalError("an event loop is running here, and this call would block it; use posthouse.asend")
