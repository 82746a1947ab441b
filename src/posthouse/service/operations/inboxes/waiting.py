"""The operation that waits for messages, in one request: for tests of programs that send mail.

Messages are told apart by their numbers and not by their count or by a clock: a test takes the cursor ``last`` before
it acts, and waits for what came after it.  A wait changes nothing: what it gives stays unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from posthouse.core import SettingError
from posthouse.service.inbox.mail_query import read_query
from posthouse.service.operations.base import Context, Operation, Parameter, spool_or_none
from posthouse.service.operations.inboxes.access import asked_of, narrowed, scope_of
from posthouse.service.operations.inboxes.indexed import LAST_NUMBER, followed
from posthouse.service.operations.inboxes.mail_answers import InboxAwaited, entry_of
from posthouse.service.operations.inboxes.reading import content_of
from posthouse.service.operations.spelling import inbox_name
from posthouse.spool.interface import Spool
from posthouse.spool.mail_index import MailRow, MailTerm

__all__ = ["WAITING_OPERATIONS"]

_LONGEST_WAIT: Final = 300  # seconds
_POLL: Final = 0.2  # seconds between two looks where no daemon runs
_MOST: Final = 1000  # messages of one answer
_NEAR: Final = 20  # messages that are named where the wanted ones did not come


async def _wait(
    context: Context,
    to: str = "",
    subject: str = "",
    sender: str = "",
    after: int = 0,
    timeout: int = 10,
    query: str = "",
    count: int = 1,
    exactly: bool = False,
    none: bool = False,
) -> InboxAwaited:
    clock, view = context.clock, inbox_name(to)
    if view and "@" not in view:
        raise SettingError(f'"{to}" is no inbox, whose name is an address', remedy="write user@domain")
    if not 1 <= count <= _MOST:
        raise SettingError(f"{count} messages cannot be waited for", remedy=f"wait for 1 to {_MOST}")
    terms = [*read_query(query, clock.time()), *_terms(subject, sender)]
    after = max(0, min(after, LAST_NUMBER))
    end = clock.monotonic() + max(0, min(timeout, _LONGEST_WAIT))
    while True:
        arrival = None if context.arrival is None else context.arrival()
        async with spool_or_none(context) as spool:  # before the first start of a daemon there is none
            found, last = ([], 0) if spool is None else await _found(context, spool, view, terms, after, count)
            left = end - clock.monotonic()
            enough = len(found) >= count and not exactly and not none
            too_many = len(found) > (0 if none else count) and (none or exactly)
            if enough or too_many or left <= 0:
                if arrival is not None:
                    arrival.cancel()
                met = not too_many and len(found) >= (0 if none else count)
                return await _answer(context, spool, found, met, view, after, last, count)
        await _first(clock.sleep(min(_POLL, left) if arrival is None else left), arrival)


def _terms(subject: str, sender: str) -> list[MailTerm]:
    terms = [MailTerm("subject", "~", subject)] if subject else []
    return [*terms, MailTerm("from", "~", sender)] if sender else terms


async def _found(
    context: Context, spool: Spool, view: str, terms: Sequence[MailTerm], after: int, count: int
) -> tuple[list[MailRow], int]:
    """The newest messages that meet the conditions, one more than wanted, the oldest of them first; and the cursor."""
    state = await followed(context, spool, at_once=True)
    asked, wanted = asked_of(context, view, terms)
    page = await spool.index.search(asked, wanted, limit=count + 1, after=after)
    return [narrowed(context, row) for row in reversed(page.rows)], state.last


async def _answer(
    context: Context, spool: Spool | None, found: list[MailRow], met: bool, view: str, after: int, last: int, count: int
) -> InboxAwaited:
    if spool is None:
        return InboxAwaited(message=None, met=met)
    near: Sequence[MailRow] = ()
    if not met:
        known = {row.number for row in found}
        asked, narrowing = scope_of(context, "")
        page = await spool.index.search(asked, narrowing, limit=_NEAR + len(known), after=after)
        near = [narrowed(context, row) for row in page.rows if row.number not in known][:_NEAR]
    message = None
    if found and met:
        found = found[-count:]
        newest = found[-1]
        place = newest.inboxes.index(view) if view in newest.inboxes else 0
        message = await content_of(spool, newest.places[place])
    return InboxAwaited(
        message=message,
        met=met,
        messages=[entry_of(row) for row in found],
        near=[entry_of(row) for row in near],
        last=last,
    )


async def _first(sleeping: Coroutine[Any, Any, None], arrival: asyncio.Future[None] | None) -> None:
    """Return when the sleep has ended or the arrival has come; the other one is cancelled."""
    waits: set[asyncio.Future[None]] = {asyncio.ensure_future(sleeping)}
    if arrival is not None:
        waits.add(arrival)
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


#: The operation of this module.
WAITING_OPERATIONS: Final = (
    Operation(
        "inbox wait",
        "Wait until messages are in an inbox; those that are there already count.",
        _wait,
        InboxAwaited,
        (
            Parameter("to", "The inbox (an address), exactly; any, if empty.", str, ""),
            Parameter("subject", "A part of its subject.", str, ""),
            Parameter("sender", "A part of its sender's address or name.", str, ""),
            Parameter("after", "Only messages after this number: the cursor `last` of an earlier answer.", int, 0),
            Parameter("timeout", f"Seconds, at most {_LONGEST_WAIT}.", int, 10),
            Parameter("query", "Further conditions, in the language of searches.", str, ""),
            Parameter("count", f"How many messages, at most {_MOST}.", int, 1),
            Parameter("exactly", "Whether more than so many are a failure; the whole time is waited.", bool, False),
            Parameter("none", "Wait the whole time, and fail if a message comes.", bool, False),
        ),
        live=True,
        reads=True,
        narrowed=True,
    ),
)
