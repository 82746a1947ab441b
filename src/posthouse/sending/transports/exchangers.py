"""``mx:``: direct delivery to the mail exchangers of each recipient's domain, without a server of one's own.

Most networks and receivers refuse this from addresses that are no mail servers; it is for tests, and for hosts that
are. The DNS is asked by asynchronous code, so the blocking transport runs an event loop of its own for the time of a
call.
"""

from __future__ import annotations

import asyncio

from posthouse.core import Content, Envelope, LocalError, SettingError
from posthouse.net import Resolver
from posthouse.sending.direct import deliver_direct
from posthouse.sending.results import SendResult

__all__ = ["AsyncMxTransport", "MxTransport"]


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
        outcomes = await deliver_direct(
            envelope, content, resolver=self._resolver, port=self._port, loopback=self._loopback
        )
        return SendResult(outcomes)


class MxTransport:
    """Direct delivery for code without an event loop; arguments as ``AsyncMxTransport``."""

    def __init__(
        self, url: str = "mx:", *, resolver: Resolver | None = None, port: int = 25, loopback: bool = False
    ) -> None:
        self._transport = AsyncMxTransport(url, resolver=resolver, port=port, loopback=loopback)

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """As ``AsyncMxTransport.deliver``.  Raises ``LocalError`` in a running event loop, which it would block."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._transport.deliver(envelope, content))
        raise LocalError("an event loop is running here, and this call would block it; use posthouse.asend")
