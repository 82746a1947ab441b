"""Messages of the inboxes as the interfaces of other catchers need them: by queue id, read, and with their header.

An id of theirs is our queue id, which stands in the reply to the message's content (``250 … queued as <id>``).  What is
in a message never changes, so the header fields that lists show are read once and kept for the newest messages.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from posthouse.console.mail_parts import octets_of
from posthouse.console.problems import NotFound, RequestRefused
from posthouse.core import SettingError
from posthouse.message.reading.read_message import ReadMessage, read_octets

if TYPE_CHECKING:
    from posthouse.console.app import Console
    from posthouse.console.page_request import PageRequest
    from posthouse.message.reading.address_lists import ReadMailbox
    from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["MOST_LISTED", "People", "StoredMail"]

#: Rows of one list, whatever is asked for.
MOST_LISTED: Final = 1_000
#: Messages that may stand before the first row of a list.
_DEEPEST: Final = 100_000
_IDS_AT_MOST: Final = 10_000
_KEPT: Final = 5_000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PAGE: Final = 500


class People(NamedTuple):
    """The mailboxes of a message's header, and those recipients of the envelope that it does not name."""

    sender: ReadMailbox | None
    to: tuple[ReadMailbox, ...]
    cc: tuple[ReadMailbox, ...]
    bcc: tuple[ReadMailbox, ...]
    reply_to: tuple[ReadMailbox, ...]
    hidden: tuple[str, ...]


_people: WeakKeyDictionary[Console, OrderedDict[tuple[str, tuple[str, ...]], People]] = WeakKeyDictionary()


class StoredMail:
    """The messages of the inboxes, for one request."""

    def __init__(self, page: PageRequest) -> None:
        self.page = page

    # -- finding -------------------------------------------------------------------------------------------------------

    async def entry(self, name: str) -> MailEntry:
        """The message of an id, or of ``latest``.  Raises ``NotFound``."""
        query = "" if name == "latest" else f"id:{name}" if _ID.fullmatch(name) else None
        try:
            found = await self.rows(query, limit=1) if query is not None else []
        except SettingError:  # it cannot be a queue id
            found = []
        if not found or (query and found[0].queue_id != name):
            raise NotFound(f'there is no message "{name[:80]}"')
        return found[0]

    async def entries(self, names: Sequence[str]) -> list[MailEntry]:
        """The messages of ids, without those that are not there.  Raises ``RequestRefused`` if they are too many."""
        if len(names) > _IDS_AT_MOST:
            raise RequestRefused(f"more than {_IDS_AT_MOST:,} ids; name fewer at one time", 400)
        found = []
        for name in dict.fromkeys(names):
            try:
                if name != "latest":  # a change names what it changes
                    found.append(await self.entry(name))
            except NotFound:
                continue
        return found

    async def rows(self, query: str = "", *, start: int = 0, limit: int = 50) -> list[MailEntry]:
        """``limit`` rows of a list or search (in our language of searches), the newest first, behind ``start`` others.

        Raises ``RequestRefused`` (400) if ``start`` is too deep, and ``SettingError`` for a search that is wrong.
        """
        if start > _DEEPEST:
            raise RequestRefused(f"a list begins at most {_DEEPEST:,} messages deep; search instead", 400)
        wanted = max(1, min(limit, MOST_LISTED))
        skip, before = start, 0
        rows: list[MailEntry] = []
        while len(rows) < wanted:
            size = min(10_000, skip + wanted - len(rows))
            listing = await self.page.run("inbox search", query=query, limit=size, before=before)
            rows += listing.messages[skip:]
            skip = max(0, skip - len(listing.messages))
            before = listing.before
            if not before:
                break
        return rows[:wanted]

    async def numbers(self, query: str) -> list[int]:
        """The numbers of all messages that a search finds."""
        found: list[int] = []
        before = 0
        while True:
            listing = await self.page.run("inbox search", query=query, limit=_PAGE, before=before)
            found += [each.number for each in listing.messages]
            before = listing.before
            if not before:
                return found

    # -- reading -------------------------------------------------------------------------------------------------------

    async def octets(self, entry: MailEntry) -> bytes:
        """A message as it was delivered."""
        return await octets_of(self.page, entry.number)

    async def read(self, entry: MailEntry) -> ReadMessage:
        """A message, read."""
        octets = await self.octets(entry)
        return await asyncio.to_thread(_read_whole, octets)

    async def people(self, entry: MailEntry) -> People:
        """The mailboxes of a message."""
        kept = _people.setdefault(self.page.request.scope["posthouse.console"], OrderedDict())
        key = (entry.queue_id, tuple(entry.envelope))  # who sees some inboxes only sees fewer recipients
        known = kept.get(key)
        if known is None:
            octets = await self.octets(entry)
            known = await asyncio.to_thread(_people_of, octets, tuple(entry.envelope))
            kept[key] = known
            while len(kept) > _KEPT:
                kept.popitem(last=False)
        return known


def _read_whole(octets: bytes) -> ReadMessage:
    """Read what answers show, in a thread."""
    message = read_octets(octets)
    _ = message.html, message.attachments
    return message


def _people_of(octets: bytes, envelope: tuple[str, ...]) -> People:
    message = read_octets(octets)
    named = {str(each.address).lower() for each in (*message.to, *message.cc, *message.bcc) if each.address is not None}
    hidden = tuple(each for each in dict.fromkeys(envelope) if each.lower() not in named)
    return People(message.sender, message.to, message.cc, message.bcc, message.reply_to, hidden)
