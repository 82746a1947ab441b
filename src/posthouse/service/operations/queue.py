"""The operations on the queue: looking at it by a filter, and changing what a filter chooses.

Whoever changes something first asks what that would be (``queue count`` with the name of the act), so the filter of an
act is narrowed here, in one place, to what the act can be done to.  An act is written to the audit log by the queue,
in the transactions that do it.
"""

from __future__ import annotations

from typing import Final

from posthouse.core import SettingError, path_text
from posthouse.service.config.mail_types import VIA
from posthouse.service.config.types import InvalidValue
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.filter_language import parse_filter
from posthouse.service.operations.results import (
    AuditEntry,
    QueueChange,
    QueueCount,
    QueueEntry,
    QueueRecipient,
    QueueStory,
    QueueSummary,
    QueueSummaryRow,
)
from posthouse.spool.filters import BUCKETS, Condition, RecipientRow, SummaryRow
from posthouse.spool.interface import QueueAction, RecipientState

__all__ = ["MOST_ENTRIES", "QUEUEING"]

#: The most entries of one answer; more are asked for from behind the last one.
MOST_ENTRIES: Final = 10_000

#: Rows asked of the queue at one time.
_PAGE: Final = 500
_LAST_KEY: Final = 1 << 40  # behind every recipient of a message
_SHOWN: Final = 5  # destinations in a preview
_MANY: Final = 1000  # destinations beyond which the relay is told "any"

_NARROWED: Final = {
    QueueAction.HOLD: Condition("state", "=", "waiting"),
    QueueAction.RELEASE: Condition("state", "=", "held"),
    QueueAction.RETRY: Condition("state", "=", "waiting"),
}


async def _list(context: Context, filter: str = "", limit: int = 1000, after: str = "") -> list[QueueEntry]:  # noqa: A002
    conditions = parse_filter(filter)
    limit = max(1, min(limit, MOST_ENTRIES))
    now = context.clock.time()
    messages: dict[str, list[RecipientRow]] = {}
    behind = (after, _LAST_KEY) if after else None
    async with context.queue() as queue:
        while True:
            page = await queue.select(conditions, now=now, limit=_PAGE, after=behind)
            for row in page:
                messages.setdefault(row.id, []).append(row)
            if len(page) < _PAGE or len(messages) > limit:
                break
            behind = (page[-1].id, page[-1].key)
    return [_entry(rows) for rows in list(messages.values())[:limit]]


def _entry(rows: list[RecipientRow]) -> QueueEntry:
    first = rows[0]
    waiting = [row for row in rows if row.state == RecipientState.WAITING]
    unsettled = waiting or [row for row in rows if row.state == RecipientState.HELD] or rows
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
        due=min((row.due for row in waiting), default=None),
        last=next((row.last for row in unsettled if row.last), ""),
    )


async def _show(context: Context, id: str) -> QueueStory:  # noqa: A002 - the parameter's name for people
    async with context.queue() as queue:
        entry = await queue.entry(id)
    if entry is None:
        remedy = "see `posthouse queue list`, or `posthouse explain` for one that is finished"
        raise SettingError(f'the queue knows no message "{id}"', remedy=remedy)
    message = entry.message
    recipients = [
        QueueRecipient(
            address=str(each.recipient.address),
            destination=each.destination,
            state=each.state.value,
            attempts=each.attempts,
            due=each.due,
            last=each.last,
            route=each.route,
        )
        for each in entry.recipients
    ]
    return QueueStory(
        id=message.id,
        received=message.received,
        size=message.size,
        sender=path_text(message.envelope.sender),
        source=message.source,
        corrupt=entry.corrupt,
        recipients=recipients,
    )


async def _summary(context: Context, filter: str = "", limit: int = 1000) -> QueueSummary:  # noqa: A002
    now = context.clock.time()
    async with context.queue() as queue:
        rows = await queue.summary(parse_filter(filter), now=now)
    shown = rows[: max(1, min(limit, MOST_ENTRIES))]
    return QueueSummary(
        now=now,
        ages=list(BUCKETS),
        rows=list(map(_summary_row, shown)),
        recipients=sum(row.total for row in rows),
        others=len(rows) - len(shown),
    )


def _summary_row(row: SummaryRow) -> QueueSummaryRow:
    return QueueSummaryRow(
        destination=row.destination, ages=list(row.ages), waiting=row.waiting, held=row.held, oldest=row.oldest
    )


async def _count(context: Context, filter: str = "", act: str = "") -> QueueCount:  # noqa: A002
    conditions = parse_filter(filter)
    if act:
        if act not in tuple(QueueAction):
            raise SettingError(f'there is no act "{act}"', remedy=f"there are {', '.join(QueueAction)}")
        conditions = _narrowed(QueueAction(act), conditions)
    async with context.queue() as queue:
        rows = await queue.summary(conditions, now=context.clock.time())
    return QueueCount(
        act=act,
        filter=filter,
        recipients=sum(row.total for row in rows),
        destinations=list(map(_summary_row, rows[:_SHOWN])),
        others=max(0, len(rows) - _SHOWN),
    )


def _narrowed(act: QueueAction, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The conditions with what an act adds to them by itself."""
    more = _NARROWED.get(act)
    return conditions if more is None or more in conditions else (*conditions, more)


async def _audit(context: Context, limit: int = 100) -> list[AuditEntry]:
    async with context.queue() as queue:
        acts = await queue.audit(limit=max(1, min(limit, MOST_ENTRIES)))
    return [
        AuditEntry(at=at, who=who, act=act, filter=text, target=target, recipients=count)
        for at, who, act, text, target, count in acts
    ]


# Changing -------------------------------------------------------------------------------------------------------------


async def _act(context: Context, act: QueueAction, filter: str, target: str = "", report: bool = False) -> QueueChange:  # noqa: A002
    conditions = parse_filter(filter)
    if not conditions:
        remedy = "write a filter, such as domain:example.org; age>=0 means every message"
        raise SettingError(f"nothing says what to {act}", remedy=remedy)
    conditions = _narrowed(act, conditions)
    now = context.clock.time()
    moving = act in (QueueAction.RETRY, QueueAction.RELEASE, QueueAction.REROUTE)
    destinations: list[str] = []
    async with context.changing() as queue:
        if moving and context.reopen is not None:
            destinations = [row.destination for row in await queue.summary(conditions, now=now)]
        reports = context.ways().reporting(queue, now) if report else None
        count = await queue.act(act, conditions, now=now, who=context.who, target=target, report=reports)
    if count and moving and context.reopen is not None:
        context.reopen(destinations if len(destinations) <= _MANY else ())
    elif count and report and context.wake is not None:
        context.wake()
    return QueueChange(act=act.value, filter=filter, target=target, who=context.who, recipients=count)


async def _hold(context: Context, filter: str) -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.HOLD, filter)


async def _release(context: Context, filter: str) -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.RELEASE, filter)


async def _retry(context: Context, filter: str) -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.RETRY, filter)


async def _drop(context: Context, filter: str, report: bool = False) -> QueueChange:  # noqa: A002
    return await _act(context, QueueAction.DROP, filter, report=report)


async def _reroute(context: Context, filter: str, via: str = "") -> QueueChange:  # noqa: A002
    if via:
        try:
            via = str(VIA.read(via))
        except InvalidValue as wrong:
            raise SettingError(wrong.cause, where="via", remedy=wrong.remedy) from wrong
    return await _act(context, QueueAction.REROUTE, filter, target=via)


_FILTER = Parameter("filter", "Which recipients of which messages, in the filter language.")
_ANY = Parameter("filter", "Which recipients of which messages, in the filter language; all, if empty.", str, "")
_LIMIT = Parameter("limit", "How many at most.", int, 1000)

#: The operations of this module.
QUEUEING: Final = (
    Operation(
        "queue list",
        "Show the messages that are not finished, oldest first.",
        _list,
        list[QueueEntry],
        (_ANY, _LIMIT, Parameter("after", "Only messages from behind this queue id.", str, "")),
        live=True,
    ),
    Operation(
        "queue show",
        "Show one message and each of its recipients.",
        _show,
        QueueStory,
        (Parameter("id", "The queue id, as in the 250 that took it."),),
        live=True,
    ),
    Operation(
        "queue summary",
        "Show how many recipients wait for each destination, by age.",
        _summary,
        QueueSummary,
        (_ANY, Parameter("limit", "How many destinations at most.", int, 1000)),
        live=True,
    ),
    Operation(
        "queue count",
        "Say how many recipients a filter chooses, and what an act on it would change.",
        _count,
        QueueCount,
        (_ANY, Parameter("act", "hold, release, retry, drop or reroute; left out, nothing is to be done.", str, "")),
        live=True,
    ),
    Operation("queue hold", "Keep waiting mail from being tried.", _hold, QueueChange, (_FILTER,), live=True),
    Operation("queue release", "Let held mail go on, now.", _release, QueueChange, (_FILTER,), live=True),
    Operation("queue retry", "Try waiting mail now.", _retry, QueueChange, (_FILTER,), live=True),
    Operation(
        "queue drop",
        "Give mail up for good.",
        _drop,
        QueueChange,
        (_FILTER, Parameter("report", "Whether the senders are told.", bool, False)),
        live=True,
    ),
    Operation(
        "queue reroute",
        "Send mail another way, whatever the configuration says, now.",
        _reroute,
        QueueChange,
        (
            _FILTER,
            Parameter("via", "As in a [[route]]; left out, the configuration decides again.", str, ""),
        ),
        live=True,
    ),
    Operation(
        "queue audit",
        "Show who changed what in the queue, the last first.",
        _audit,
        list[AuditEntry],
        (Parameter("limit", "How many at most.", int, 100),),
        live=True,
    ),
)
