"""The operations on the queue: list, count and change what a filter selects.

A face first shows what an action would change (``queue count`` with the name of the action).  So the filter of an
action is narrowed here, in one place, to the recipients that the action applies to.  The spool writes the audit log, in
the transactions that change the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.core import SettingError, path_text
from posthouse.service.config.mail_types import VIA
from posthouse.service.config.types import InvalidValue
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.filter_language import parse_filter
from posthouse.service.operations.monitor.undo_operations import act_undoably, undo_seconds
from posthouse.service.operations.next_attempt import NextAttempts, next_attempts
from posthouse.service.operations.results import (
    AuditEntry,
    QueueChange,
    QueueCount,
    QueueEntry,
    QueueMessage,
    QueueRecipient,
    QueueSummary,
    QueueSummaryRow,
    filled,
)
from posthouse.spool.filters import BUCKETS, Condition, RecipientRow, SummaryRow
from posthouse.spool.interface import QueueAction, QueuedRecipient, RecipientState

__all__ = ["MOST_ENTRIES", "QUEUE_OPERATIONS"]

#: The most entries of one answer; more are asked for from behind the last one.
MOST_ENTRIES: Final = 10_000

#: Rows asked of the spool at one time.
_PAGE: Final = 500
_LAST_KEY: Final = 1 << 40  # behind every recipient of a message
_SHOWN: Final = 5  # destinations in a preview
_MOST_IDS: Final = 500
_NAMED: Final = 20  # of several messages, so many are named in the audit log
_MANY: Final = 1000  # destinations; with more, the relay tries mail for all of them

_NARROWED: Final = {
    QueueAction.HOLD: Condition("state", "=", "waiting"),
    QueueAction.RELEASE: Condition("state", "=", "held"),
    QueueAction.RETRY: Condition("state", "=", "waiting"),
}


async def _list(
    context: Context,
    filter: str = "",  # noqa: A002 - the parameter's public name
    limit: int = 1000,
    after: str = "",
    before: str = "",
) -> list[QueueEntry]:
    conditions = parse_filter(filter)
    limit = max(1, min(limit, MOST_ENTRIES))
    size = min(_PAGE, limit + 20)  # most messages have one recipient
    attempts = await next_attempts(context)
    messages: dict[str, list[RecipientRow]] = {}
    async with context.spool() as spool:
        behind = (after, _LAST_KEY) if after else None
        front = (before, -1) if before else None
        while True:
            page = await spool.queries.select(
                conditions, now=attempts.now, limit=size, after=behind, before=front, newest=not after
            )
            for row in page:
                messages.setdefault(row.id, []).append(row)
            if len(page) < size or len(messages) > limit:
                break
            behind, front = (page[-1].id, page[-1].key), (page[0].id, page[0].key)
    ids = sorted(messages)
    chosen = ids[:limit] if after else ids[-limit:]
    return [_entry(sorted(messages[each], key=lambda row: row.key), attempts) for each in chosen]


def _entry(rows: list[RecipientRow], attempts: NextAttempts) -> QueueEntry:
    first = rows[0]
    waiting = [row for row in rows if row.state == RecipientState.WAITING]
    unsettled = waiting or [row for row in rows if row.state == RecipientState.HELD] or rows
    following = attempts.first_of(waiting)
    return QueueEntry(
        id=first.id,
        received=first.received,
        size=first.size,
        sender=first.sender,
        recipients=[row.address for row in rows],
        waiting=len(waiting),
        held=sum(row.state == RecipientState.HELD for row in rows),
        active=any(row.active for row in rows),
        attempts=max(row.attempts for row in rows),
        due=None if following is None else following.at,
        next=following,
        last=next((row.last for row in unsettled if row.last), ""),
        originals=list(dict.fromkeys(name for row in rows for name in row.originals)),
    )


async def _show(context: Context, id: str) -> QueueMessage:  # noqa: A002 - the parameter's public name
    async with context.spool() as spool:
        entry = await spool.queries.entry(id)
    if entry is None:
        remedy = "see `posthouse queue list`, or `posthouse explain` for one that is finished"
        raise SettingError(f'there is no message "{id}"', remedy=remedy)
    attempts = await next_attempts(context)
    message = entry.message
    return filled(
        QueueMessage,
        message,
        sender=path_text(message.envelope.sender),
        corrupt=entry.corrupt,
        recipients=[_recipient(id, each, attempts) for each in entry.recipients],
    )


def _recipient(queue_id: str, row: QueuedRecipient, attempts: NextAttempts) -> QueueRecipient:
    following = attempts.of_recipient(queue_id, row) if row.state is RecipientState.WAITING else None
    return filled(
        QueueRecipient,
        row,
        address=str(row.recipient.address),
        state=row.state.value,
        next=following,
        originals=[str(each) for each in row.recipient.originals],
    )


async def _summary(context: Context, filter: str = "", limit: int = 1000) -> QueueSummary:  # noqa: A002
    now = context.clock.time()
    async with context.spool() as spool:
        found = await spool.queries.largest(parse_filter(filter), now=now, limit=max(1, min(limit, MOST_ENTRIES)))
        lost = await spool.queries.lost()
    return QueueSummary(
        now=now,
        ages=list(BUCKETS),
        rows=_rows(found.rows),
        recipients=found.recipients,
        others=found.destinations - len(found.rows),
        lost=lost,
    )


def _rows(rows: Sequence[SummaryRow]) -> list[QueueSummaryRow]:
    return [filled(QueueSummaryRow, row) for row in rows]


async def _count(context: Context, filter: str = "", act: str = "") -> QueueCount:  # noqa: A002
    conditions = parse_filter(filter)
    if act:
        if act not in tuple(QueueAction):
            raise SettingError(f'there is no action "{act}"', remedy=f"there are {', '.join(QueueAction)}")
        conditions = _narrowed(QueueAction(act), conditions)
    async with context.spool() as spool:
        rows = [row for row in await spool.queries.summary(conditions, now=context.clock.time()) if row.total]
    return QueueCount(
        act=act,
        filter=filter,
        recipients=sum(row.total for row in rows),
        destinations=_rows(rows[:_SHOWN]),
        others=max(0, len(rows) - _SHOWN),
    )


def _narrowed(act: QueueAction, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The conditions, and the one that the action adds by itself."""
    more = _NARROWED.get(act)
    return conditions if more is None or more in conditions else (*conditions, more)


async def _audit(context: Context, limit: int = 100) -> list[AuditEntry]:
    async with context.spool() as spool:
        acts = await spool.queries.audit(limit=max(1, min(limit, MOST_ENTRIES)))
    return [filled(AuditEntry, each, recipients=each.changed) for each in acts]


# Changing -------------------------------------------------------------------------------------------------------------


async def _act(
    context: Context,
    act: QueueAction,
    filter: str,  # noqa: A002
    target: str = "",
    report: bool = False,
    undo_for: str = "",
    ids: str = "",
) -> QueueChange:
    chosen = _ids(ids)
    if chosen:  # in place of the filter
        if filter.strip() or not undo_for:
            raise SettingError("ids stand in place of a filter, with a time for undoing", remedy="write undo_for too")
        choices = [_narrowed(act, parse_filter(f"id:{each}")) for each in chosen]
        words = " ".join(f"id:{each}" for each in chosen[:_NAMED])
        return await act_undoably(context, act, words, choices, undo_seconds(undo_for), report=report, target=target)
    conditions = parse_filter(filter)
    if not filter.strip():
        remedy = "write a filter, such as domain:example.org; all means every message"
        raise SettingError(f"no filter says what to {act}", remedy=remedy)
    conditions = _narrowed(act, conditions)
    if undo_for:
        return await act_undoably(
            context, act, filter, [conditions], undo_seconds(undo_for), report=report, target=target
        )
    now = context.clock.time()
    moving = act in (QueueAction.RETRY, QueueAction.RELEASE, QueueAction.REROUTE)
    destinations: list[str] = []
    async with context.writable_spool() as spool:
        if moving and context.reopen is not None:
            destinations = [row.destination for row in await spool.queries.summary(conditions, now=now)]
        reports = context.routing().reporting(spool, now) if report else None
        on_change = context.drops_of(act, context.who)
        count = await spool.act(
            act, conditions, now=now, who=context.who, target=target, report=reports, on_change=on_change
        )
    if count and moving and context.reopen is not None:
        context.reopen(destinations if len(destinations) <= _MANY else ())
    elif count and report and context.wake is not None:
        context.wake()
    return QueueChange(act=act.value, filter=filter, target=target, who=context.who, recipients=count)


def _ids(text: str) -> list[str]:
    """Queue ids as a parameter has them.  Raises ``SettingError``."""
    found = list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if len(found) > _MOST_IDS or any(not each.isalnum() for each in found):
        remedy = f"write at most {_MOST_IDS} ids, separated by commas, or a filter"
        raise SettingError("the queue ids are too many, or are none", remedy=remedy)
    return found


async def _hold(context: Context, filter: str = "", undo_for: str = "", ids: str = "") -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.HOLD, filter, undo_for=undo_for, ids=ids)


async def _release(context: Context, filter: str = "", undo_for: str = "", ids: str = "") -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.RELEASE, filter, undo_for=undo_for, ids=ids)


async def _retry(context: Context, filter: str = "", undo_for: str = "", ids: str = "") -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.RETRY, filter, undo_for=undo_for, ids=ids)


async def _drop(
    context: Context,
    filter: str = "",  # noqa: A002
    report: bool = False,
    undo_for: str = "",
    ids: str = "",
) -> QueueChange:
    return await _act(context, QueueAction.DROP, filter, report=report, undo_for=undo_for, ids=ids)


async def _reroute(
    context: Context,
    filter: str = "",  # noqa: A002
    via: str = "",
    undo_for: str = "",
    ids: str = "",
) -> QueueChange:
    if via:
        try:
            via = str(VIA.read(via))
        except InvalidValue as wrong:
            raise SettingError(wrong.cause, where="via", remedy=wrong.remedy) from wrong
    return await _act(context, QueueAction.REROUTE, filter, target=via, undo_for=undo_for, ids=ids)


_ANY = Parameter("filter", "Which recipients, in the filter language; all, if empty.", str, "")
_UNDO_FOR = Parameter(
    "undo_for",
    "How long it can be undone, such as 10m; mail that is dropped is only held until then. Empty, it cannot be undone.",
    str,
    "",
)
_UNDOABLE = (
    Parameter("filter", "Which recipients, in the filter language.", str, ""),
    Parameter("ids", "Or which messages, by their queue ids with commas; then undo_for is needed.", str, ""),
    _UNDO_FOR,
)

#: The operations of this module.
QUEUE_OPERATIONS: Final = (
    Operation(
        "queue list",
        "Show the messages that are not finished, the newest last.",
        _list,
        list[QueueEntry],
        (
            _ANY,
            Parameter("limit", "How many at most: the newest ones.", int, 1000),
            Parameter("after", "Only messages after this queue id, and then the oldest ones.", str, ""),
            Parameter("before", "Only messages before this queue id.", str, ""),
        ),
        live=True,
        reads=True,
    ),
    Operation(
        "queue show",
        "Show one message and each of its recipients.",
        _show,
        QueueMessage,
        (Parameter("id", "The queue id, as in the 250 reply to its sender."),),
        live=True,
        reads=True,
    ),
    Operation(
        "queue summary",
        "Show how many recipients wait for each destination, by age.",
        _summary,
        QueueSummary,
        (_ANY, Parameter("limit", "How many destinations at most.", int, 1000)),
        live=True,
        reads=True,
    ),
    Operation(
        "queue count",
        "Count the recipients that a filter selects, and that an action on them would change.",
        _count,
        QueueCount,
        (_ANY, Parameter("act", "hold, release, retry, drop or reroute; empty for none.", str, "")),
        live=True,
        reads=True,
    ),
    Operation("queue hold", "Hold waiting mail: no attempts are made.", _hold, QueueChange, _UNDOABLE, live=True),
    Operation("queue release", "Release held mail, and try it now.", _release, QueueChange, _UNDOABLE, live=True),
    Operation("queue retry", "Try waiting mail now.", _retry, QueueChange, _UNDOABLE, live=True),
    Operation(
        "queue drop",
        "Give mail up, permanently.",
        _drop,
        QueueChange,
        (*_UNDOABLE, Parameter("report", "Whether the senders get a delivery report.", bool, False)),
        live=True,
    ),
    Operation(
        "queue reroute",
        "Send mail by another route than the configured one, now.",
        _reroute,
        QueueChange,
        (
            *_UNDOABLE,
            Parameter("via", "As in a [[route]]; empty, the configuration decides again.", str, ""),
        ),
        live=True,
    ),
    Operation(
        "queue audit",
        "Show who changed what in the queue and the inboxes, latest first.",
        _audit,
        list[AuditEntry],
        (Parameter("limit", "How many at most.", int, 100),),
        live=True,
        reads=True,
    ),
)
