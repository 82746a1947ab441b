"""Contract of the mail index: what lists, searches and counts of the inboxes are answered from.

The spool holds messages of mailboxes as octets.  The index holds a narrow row for each message (sender, recipients,
subject, preview), its text for searches, and what users do with it: read or unread, tags, deletion.  It follows the
spool and is never in the path of a message: a message is indexed after it was delivered, and a fault of the index
refuses no mail.  Rows and text can be made again from the spool at any time; read marks and tags cannot.

A *message* of the index has one *place* for each mailbox that it was delivered into.  Its number is that of its first
place.  A *view* is a set of messages with kept counts, named by a text:

    ============  ==========================================================
    ""            all messages
    a@x.example   the mailbox of an address
    @x.example    all mailboxes of a domain
    login:NAME    messages of sessions that logged in with this name
    box:NAME      an inbox by rule
    tag:NAME      messages with a tag
    ============  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

from posthouse.spool.history import Event
from posthouse.spool.model import InboxMessage

__all__ = [
    "ALL_MAIL",
    "Deletion",
    "Digest",
    "IndexState",
    "LONGEST_VIEW",
    "MailDigest",
    "MailIndex",
    "MailPage",
    "MailPlace",
    "MailRow",
    "MailTerm",
    "MailView",
    "UNNAMED",
]

#: The view of all messages.
ALL_MAIL: Final = ""
#: Characters of a view's name.
LONGEST_VIEW: Final = 400
#: The line of ``MailDigest.people_text`` between recipients that the header section names and blind ones.
UNNAMED: Final = "\x01"


class MailDigest(NamedTuple):
    """What the index keeps of a message: the first fields for lists, ``labels`` (views of the kinds ``tag:`` and
    ``box:``), and the text that searches look through, folded (``str.casefold``).

    ``author`` is the name in From, else the address; ``recipients`` the header's To as people read it; ``envelope`` the
    recipients of the transaction, each on a line; ``people_text`` the recipients by name and address, each on a line,
    those of the header section first, and behind the line ``UNNAMED`` those that it does not name; ``date`` the Date
    field in calendar seconds, 0.0 without one.
    """

    author: str = ""
    author_address: str = ""
    recipients: str = ""
    subject: str = ""
    preview: str = ""
    message_id: str = ""
    date: float = 0.0
    attachments: int = 0
    html: bool = False
    login: str = ""
    source: str = ""
    envelope: str = ""
    labels: tuple[str, ...] = ()
    author_text: str = ""
    people_text: str = ""
    subject_text: str = ""
    body_text: str = ""
    head_text: str = ""
    html_text: str = ""


#: Makes the digest of a message from its place, its octets and its history; called in a thread.
Digest = Callable[[InboxMessage, bytes, Sequence[Event]], MailDigest]


class MailPlace(NamedTuple):
    """A message in one mailbox: the number of the spool's row, and the mailbox's name."""

    number: int
    inbox: str


class MailRow(NamedTuple):
    """A message as a list shows it; see ``MailDigest``.  Times in calendar seconds; ``sender`` is that of the
    envelope, "" for the null reverse-path; ``inboxes`` the mailboxes that it is in, and
    ``places`` the numbers of its places there."""

    number: int
    queue_id: str
    received: float
    size: int
    unread: bool
    sender: str
    author: str
    author_address: str
    recipients: str
    subject: str
    preview: str
    message_id: str
    date: float
    attachments: int
    html: bool
    login: str
    source: str
    envelope: tuple[str, ...]
    inboxes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    places: tuple[int, ...] = ()


class MailView(NamedTuple):
    """A view with its counts: messages, those of them that are unread, and their octets."""

    name: str
    messages: int
    unread: int
    octets: int


class MailTerm(NamedTuple):
    """One term of a search; all terms of a search must hold, and ``negated`` ones must not.

    ``field`` is ``any`` (author, recipients, subject, text and names of attachments), ``from``, ``to``, ``subject``,
    ``body``, ``header``, ``html``, ``view``, ``views`` (any of several, each on a line), ``seen-by`` (``views`` of the
    one who asks: other terms find no blind recipient outside of them), ``unread``, ``attachment``, ``size``,
    ``received``, ``number``, ``message-id`` or ``queue``.  ``op`` is ``~`` (contains, without regard to case), ``=``
    (is, without regard to case; ``*`` stands for any characters in ``from`` and ``to``), ``<`` or ``>``.
    """

    field: str
    op: str
    value: str | float = ""
    negated: bool = False


class MailPage(NamedTuple):
    """Rows of a list or a search, the newest first.

    ``before`` is the number to ask the next page with, 0 if nothing is behind; a search that took its time limit may
    give fewer rows than asked, or none, and still have a ``before``.
    """

    rows: tuple[MailRow, ...]
    before: int = 0


class IndexState(NamedTuple):
    """How far the index follows the spool: the number of the ``last`` place that is indexed, and how many places
    ``wait``."""

    last: int
    waiting: int


class Deletion(NamedTuple):
    """A deletion that can be undone until it is ``final`` (calendar seconds): its ``number``, when and by whom it was
    made, and how many messages it took."""

    number: int
    at: float
    who: str
    messages: int
    final: float


class MailIndex(Protocol):
    """Index of the mailboxes of one spool.  All methods raise ``StorageError`` where its file cannot be used."""

    async def follow(self, digest: Digest, *, limit: int) -> IndexState:
        """Index up to ``limit`` places that are not indexed yet, the oldest first."""
        ...

    async def rebuild(self) -> None:
        """Forget rows and text, which ``follow`` then makes again; read marks, tags and deletions are kept."""
        ...

    async def views(self, prefix: str = "", *, limit: int = 1000, after: str | None = None) -> list[MailView]:
        """Views that begin with ``prefix``, by name, from behind ``after``."""
        ...

    async def view(self, name: str) -> MailView:
        """One view; with counts of 0 if nothing is in it."""
        ...

    async def search(
        self, view: str, terms: Sequence[MailTerm] = (), *, limit: int = 50, before: int = 0, after: int = 0
    ) -> MailPage:
        """Messages of a view that meet all terms, newest first: those with numbers below ``before`` (0: from the
        newest) and above ``after``."""
        ...

    async def count(self, view: str, terms: Sequence[MailTerm] = ()) -> tuple[MailView, bool]:
        """How many messages of a view meet all terms; and whether all were looked at within the time limit."""
        ...

    async def row(self, number: int) -> MailRow | None:
        """One message by its number or that of one of its places; None if there is none or it is deleted."""
        ...

    async def by_queue_id(self, queue_id: str) -> MailRow | None:
        """One message by its queue id."""
        ...

    async def places(self, inbox: str = "", *, limit: int = 1000, after: int = 0) -> list[tuple[MailPlace, MailRow]]:
        """The newest places of one mailbox (or of all), the oldest of them first, with numbers above ``after``."""
        ...

    async def mark(self, numbers: Collection[int], *, unread: bool) -> int:
        """Mark messages as read or unread; returns how many were changed."""
        ...

    async def tag(self, numbers: Collection[int], tags: Collection[str], *, remove: bool = False) -> int:
        """Give tags to messages, or take them away; returns how many messages there are."""
        ...

    async def delete(
        self,
        numbers: Collection[int],
        *,
        now: float,
        final: float,
        who: str = "",
        inbox: str = "",
        into: Deletion | None = None,
        places: bool = False,
    ) -> Deletion:
        """Hide messages, until they are removed at ``final``; with ``inbox`` only their places in that mailbox.

        With ``places`` the numbers are those of places, and no other place of their messages is hidden.  ``into`` is
        the deletion that they are added to.
        """
        ...

    async def undo(self, deletion: int, *, now: float) -> int:
        """Show the messages of a deletion again; returns how many."""
        ...

    async def deletions(self, *, now: float) -> list[Deletion]:
        """The deletions that can be undone, the latest first."""
        ...

    async def final(self, *, now: float, limit: int, deletion: int = 0) -> list[tuple[Deletion, int]]:
        """Places whose deletion (of this number, or any for 0) is final: the deletion and the number of each."""
        ...

    async def oldest(self, *, limit: int) -> list[MailRow]:
        """The oldest messages."""
        ...

    async def forget(self, places: Collection[int]) -> None:
        """Remove places that the spool does not have any more, and messages without places."""
        ...
