"""Access to some inboxes only: what of a message one sees whose context has ``views``, and how questions are narrowed.

A message that was delivered into several mailboxes is seen as in those that are granted, by address or by domain; no
other mailbox and no other recipient of its envelope is named.  One that is granted by its login, tag or rule alone is
seen whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.service.operations.base import Context
from posthouse.service.operations.inboxes.indexed import LAST_NUMBER, kind_of_view
from posthouse.spool.interface import Spool
from posthouse.spool.mail_index import MailRow, MailTerm, MailView

__all__ = ["asked_of", "counted", "granted", "narrowed", "scope_of", "seen"]

#: A term that no message meets.
_NOTHING: Final = MailTerm("number", "=", -1.0)


def granted(views: Sequence[str] | None, inbox: str) -> bool:
    """Whether a mailbox is one of the views, or in a domain that is."""
    return views is None or inbox in views or ("@" in inbox and f"@{inbox.rpartition('@')[2]}" in views)


def scope_of(context: Context, view: str) -> tuple[str, list[MailTerm]]:
    """The view to ask in place of ``view``, and the terms that keep the question to what may be seen."""
    views = context.views
    if views is None or view in views or (kind_of_view(view) == "inbox" and granted(views, view)):
        return view, []
    if not view and len(views) == 1:
        return views[0], []
    if _is_hidden(views, view):
        return view, [_NOTHING]
    return view, [MailTerm("views", "=", "\n".join(views))]


def asked_of(context: Context, view: str, terms: Sequence[MailTerm]) -> tuple[str, list[MailTerm]]:
    """The view and the terms to ask in place of these: no answer tells that a message is in another mailbox, or has a
    recipient there whom its header section does not name."""
    asked, narrowing = scope_of(context, view)
    views = context.views
    if views is None:
        return asked, [*narrowing, *terms]
    seen = [
        _NOTHING._replace(negated=each.negated) if each.field == "view" and _is_hidden(views, str(each.value)) else each
        for each in terms
    ]
    if any(each.field in ("any", "to") for each in seen):
        seen.append(MailTerm("seen-by", "=", "\n".join(views)))
    return asked, [*narrowing, *seen]


def _is_hidden(views: Sequence[str], view: str) -> bool:
    """Whether a view is that of a mailbox or of a domain which may not be seen."""
    return kind_of_view(view) in ("inbox", "domain") and not granted(views, view)


async def counted(context: Context, spool: Spool, view: str) -> MailView:
    """The counts of what may be seen of a view."""
    asked, terms = scope_of(context, view)
    counts = (await spool.index.count(asked, terms))[0] if terms else await spool.index.view(asked)
    return counts._replace(name=view)


def narrowed(context: Context, row: MailRow) -> MailRow:
    """A row with those mailboxes, places and recipients only that may be seen; the row is one that may be."""
    views = context.views
    own = [at for at, inbox in enumerate(row.inboxes) if granted(views, inbox)]
    if views is None or not own:
        return row
    inboxes = tuple(row.inboxes[at] for at in own)
    envelope = tuple(
        each for each in row.envelope if granted(inboxes, _mailbox(each)) or granted(views, _mailbox(each))
    )
    return row._replace(inboxes=inboxes, places=tuple(row.places[at] for at in own), envelope=envelope or inboxes)


def _mailbox(address: str) -> str:
    """The mailbox of an address, without what follows ``+`` in its local part."""
    local, at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"


async def seen(context: Context, spool: Spool, number: int) -> MailRow | None:
    """A message by the number of one of its places, narrowed; None if there is none, or it may not be seen."""
    row = await spool.index.row(number) if 0 < number <= LAST_NUMBER else None
    if row is None or context.views is None:
        return row
    asked, terms = scope_of(context, "")
    page = await spool.index.search(
        asked,
        [*terms, MailTerm("number", "=", float(row.number))],
        limit=1,
        before=row.number + 1,
        after=row.number - 1,
    )
    return narrowed(context, row) if page.rows else None
