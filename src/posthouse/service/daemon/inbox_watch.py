"""Inbox watch: lets operations wait until a message is put into an inbox.

It stands between the deliverer and the spool.  Other worker processes put messages into the inboxes too, without this
process noticing; where there are some, a wait also ends after 1/4 s, so that its caller looks.
"""

from __future__ import annotations

import asyncio

from posthouse.core import Content
from posthouse.net import Clock
from posthouse.spool.interface import Spool, StoredMessage

__all__ = ["InboxWatch"]

_POLL = 0.25  # seconds


class InboxWatch:
    """The ``MailboxStore`` of a daemon.  ``shared`` says that other processes use the spool."""

    def __init__(self, spool: Spool, clock: Clock, *, shared: bool) -> None:
        self._spool = spool
        self._clock = clock
        self._shared = shared
        self._waiting: list[asyncio.Future[None]] = []

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        """Put a message into a mailbox, and end all waits."""
        await self._spool.keep(inbox, message, content)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                _end(each)

    def next(self) -> asyncio.Future[None]:
        """Done when a message is next put into an inbox.  A caller that does not wait for it cancels it."""
        self._waiting = [each for each in self._waiting if not each.done()]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._shared:
            self._clock.call_later(_POLL, lambda: _end(future))
        return future


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
