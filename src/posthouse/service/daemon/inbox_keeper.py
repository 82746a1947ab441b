"""Keeper of the inboxes: indexes what has arrived, removes what users deleted, and keeps within the limits.

It works beside the mail, in small pieces, and rests after each piece: 19 times as long as the piece took while mail
comes in, so that it takes 1/20 of a processor then, and as long as it took otherwise.  Whoever asks for a list does not
wait for it: a question indexes what it needs first, within a bound.  With several worker processes one has the keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from posthouse.core import StorageError
from posthouse.net import Clock
from posthouse.service.config.model import Config
from posthouse.service.operations.inboxes.indexed import digest_for
from posthouse.spool.certain_time import CertainTime
from posthouse.spool.interface import Spool
from posthouse.spool.mail_index import ALL_MAIL, MailRow

if TYPE_CHECKING:
    from posthouse.core import EventSink

__all__ = ["InboxKeeper"]

_STEP: Final = 20  # messages of one piece of indexing
_REMOVED: Final = 200  # messages of one piece of removing
_REST: Final = 1.0  # times as long as a piece took
_REST_IN_TRAFFIC: Final = 19.0  # the same while mail comes in
_LOOK: Final = 1.0  # seconds between two looks for new messages
_TIDY: Final = 30.0  # seconds between two looks at limits and deletions
_WHO: Final = "the limits of [inbox]"


class InboxKeeper:
    """The keeper of one spool, at work until ``stop``.

    ``config`` gives the configuration in force, ``arrived`` a future that is done when a message is next put into an
    inbox.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        config: Callable[[], Config],
        arrived: Callable[[], asyncio.Future[None]],
        log: EventSink,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._config = config
        self._arrived = arrived
        self._log = log
        self._complained = ""
        self._certain_time: CertainTime | None = None  # by it the age of a message is told
        self._task: asyncio.Task[None] | None = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """End, when the piece under way is done."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        tidy_at = self._clock.monotonic()
        while True:
            arrived = self._arrived()
            more, tidied = False, False
            began = self._clock.monotonic()
            try:
                more = await self.index()
                if began >= tidy_at:
                    tidied = await self.tidy()
                self._complained = ""
            except StorageError as error:
                self._complain(str(error))
            except Exception as error:  # a fault of ours must not end indexing for good
                self._complain(f"{type(error).__name__}: {error}")
            took = self._clock.monotonic() - began
            if not tidied and began >= tidy_at:
                tidy_at = began + _TIDY
            if more or tidied:
                rest = _REST_IN_TRAFFIC if arrived.done() else _REST
                arrived.cancel()
                await self._clock.sleep(rest * took)
            else:
                await self._rest(arrived)

    async def _rest(self, arrived: asyncio.Future[None]) -> None:
        """Wait for a message, or a while; a burst of messages is one piece."""
        sleeping = asyncio.ensure_future(self._clock.sleep(_TIDY))
        try:
            await asyncio.wait({sleeping, arrived}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            arrived.cancel()
        await self._clock.sleep(_LOOK)

    def _complain(self, reason: str) -> None:
        """Log a fault of the index once, until it works again."""
        if reason != self._complained:
            self._complained = reason
            self._log("fault", reason=f"the index of the inboxes: {reason}")

    async def index(self) -> bool:
        """Index some messages; whether more wait."""
        return (await self._spool.index.follow(digest_for(self._config().inbox_rule), limit=_STEP)).waiting > 0

    async def tidy(self) -> bool:
        """Remove some of what was deleted or is beyond the limits; whether there may be more."""
        now = self._clock.time()
        index = self._spool.index
        certain_time = await self._certain()
        final = await index.final(now=now, limit=_REMOVED)
        if final:
            first = final[0][0]
            places = [number for deletion, number in final if deletion.number == first.number]
            await self._spool.discard(places, now=now, who=first.who, audited=False)  # it was, when it was made
            await index.forget(places)
            return True
        rows = await self._beyond(certain_time())
        places = [place for row in rows for place in row.places]
        if places:
            await self._spool.discard(places, now=now, who=_WHO)
            await index.forget(places)
        return bool(places)

    async def _beyond(self, now: float) -> Sequence[MailRow]:
        """The oldest messages that are beyond a limit at a time that has certainly come."""
        limits = self._config().inbox
        if not (limits.keep_for or limits.keep_messages or limits.keep_size):
            return ()
        counts = await self._spool.index.view(ALL_MAIL)
        too_old = now - limits.keep_for if limits.keep_for else -inf
        too_many = max(0, counts.messages - limits.keep_messages) if limits.keep_messages else 0
        too_large = counts.octets - limits.keep_size if limits.keep_size else 0
        beyond: list[MailRow] = []
        for row in await self._spool.index.oldest(limit=_REMOVED):
            if not (row.received < too_old or len(beyond) < too_many or too_large > 0):
                break
            beyond.append(row)
            too_large -= row.size
        return beyond

    async def _certain(self) -> CertainTime:
        """The time by which the age of a message is told; from the first call on it runs."""
        if self._certain_time is None:
            page = await self._spool.index.search(ALL_MAIL, limit=1)
            newest = page.rows[0].received if page.rows else inf
            self._certain_time = CertainTime(newest, self._clock.time, self._clock.monotonic)
        return self._certain_time
