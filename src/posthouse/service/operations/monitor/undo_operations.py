"""The operations that undo: what can be undone, and undoing it; and how an action is made so that it can be.

``service.monitor.queue_undo`` has the files.  An action with a time for undoing first notes its recipients, then
changes exactly these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.core.units import read_duration
from posthouse.service.monitor.queue_undo import (
    LONGEST_UNDO,
    MOST_RECIPIENTS,
    UndoableAction,
    UndoEntry,
    forget_undoable,
    keep_undoable,
    undoable,
    undoable_action,
)
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.filter_language import parse_filter
from posthouse.service.operations.results import QueueChange
from posthouse.spool.filters import Condition, RecipientRow
from posthouse.spool.interface import QueueAction, Spool
from posthouse.spool.model import FormerPlace

if TYPE_CHECKING:
    from posthouse.spool.interface import Compose

__all__ = ["UNDO_OPERATIONS", "UndoReport", "act_undoably", "give_up", "undo_seconds"]

_PAGE: Final = 1_000  # recipients
_MANY: Final = 1_000  # destinations; with more, the relay tries mail for all of them
#: What is done at once, and what undoes it.
_FIRST: Final = {
    QueueAction.HOLD: QueueAction.HOLD,
    QueueAction.RELEASE: QueueAction.RELEASE,
    QueueAction.DROP: QueueAction.HOLD,
    QueueAction.RETRY: QueueAction.RETRY,
    QueueAction.REROUTE: QueueAction.REROUTE,
}
_TRIED: Final = (QueueAction.RETRY, QueueAction.REROUTE)
_BACK: Final = {
    QueueAction.HOLD: QueueAction.RELEASE,
    QueueAction.RELEASE: QueueAction.HOLD,
    QueueAction.DROP: QueueAction.RELEASE,
}


class UndoReport(Struct, frozen=True, kw_only=True):
    """The actions that can be undone at ``now``, the latest first."""

    now: float
    actions: list[UndoEntry]


def undo_seconds(text: str) -> float:
    """The time for undoing as users write it, in seconds.  Raises ``SettingError``."""
    try:
        seconds = read_duration(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 < seconds <= LONGEST_UNDO:
        raise SettingError(f'"{text[:40]}" is no time for undoing', remedy="write 1s to 1d, such as 10m")
    return seconds


async def act_undoably(
    context: Context,
    act: QueueAction,
    filter: str,  # noqa: A002
    choices: Sequence[Sequence[Condition]],
    seconds: float,
    *,
    report: bool = False,
    target: str = "",
) -> QueueChange:
    """Do to what any of the choices selects what an action does, so that it can be undone for so many seconds;
    ``filter`` says it in words, ``target`` is the new route.

    Raises ``SettingError`` if there are more recipients, or more such actions, than can be kept.
    """
    now = context.clock.time()
    data_dir = context.config.data_dir
    async with context.writable_spool() as spool:
        rows = await _selected(spool, choices, now)
        before = [(row.id, row.key) for row in rows if act is QueueAction.DROP and row.state == "held"]
        stays = set(before)
        action = UndoableAction(
            number=0,
            act=act.value,
            filter=filter,
            at=now,
            until=now + seconds,
            who=context.who,
            report=report,
            recipients=len(rows),
            changed=[place for row in rows if (place := (row.id, row.key)) not in stays],
            before=before,
            destinations=sorted({row.destination for row in rows}),
            former=[(row.due, row.route, row.attempts) for row in rows] if act in _TRIED else [],
            target=target,
        )
        if rows:
            action = await asyncio.to_thread(keep_undoable, data_dir, action)
        words = parse_filter(filter)
        count = await spool.act(_FIRST[act], words, now=now, who=context.who, target=target, among=action.changed)
    if act in (QueueAction.RELEASE, *_TRIED) and count:
        _reopen(context, action)
    if context.undo is not None:
        context.undo.look()
    return QueueChange(
        act=act.value,
        filter=filter,
        target=target,
        who=context.who,
        recipients=count + len(before),
        undo=action.number,
        until=action.until if rows else None,
    )


async def _selected(spool: Spool, choices: Sequence[Sequence[Condition]], now: float) -> list[RecipientRow]:
    """The recipients that any choice selects, in order."""
    rows: dict[tuple[str, int], RecipientRow] = {}
    for conditions in choices:
        after: tuple[str, int] | None = None
        full = True
        while full:
            page = await spool.queries.select(conditions, now=now, limit=_PAGE, after=after)
            rows |= {(row.id, row.key): row for row in page}
            if len(rows) > MOST_RECIPIENTS:
                raise SettingError(
                    f"the filter selects more than {MOST_RECIPIENTS:,} recipients, too many to undo",
                    remedy="narrow the filter, or act without a time for undoing",
                )
            full = len(page) == _PAGE
            after = (page[-1].id, page[-1].key) if page else None
    return [rows[place] for place in sorted(rows)]


def _reopen(context: Context, action: UndoableAction) -> None:
    if context.reopen is not None:
        context.reopen(action.destinations if len(action.destinations) <= _MANY else ())


async def give_up(context_of: Callable[[str], Context], action: UndoableAction) -> int:
    """Give up what an action has held and what still is held; the number of recipients.  It may be asked twice.

    ``context_of`` makes the context of a user.
    """
    context = context_of(action.who)
    now = context.clock.time()
    async with context.writable_spool() as spool:
        compose: Compose | None = context.routing().reporting(spool, now) if action.report else None
        count = await spool.act(
            QueueAction.DROP,
            parse_filter(action.filter),
            now=now,
            who=action.who,
            report=compose,
            among=action.places,
            on_change=context.drops_of(QueueAction.DROP, action.who),
        )
    if count and action.report and context.wake is not None:
        context.wake()
    return count


async def _undo(context: Context, number: int = 0) -> QueueChange:
    now = context.clock.time()
    data_dir = context.config.data_dir
    there = [each for each in await asyncio.to_thread(undoable, data_dir) if each.until > now]
    entry = next((each for each in reversed(there) if number in (0, each.number)), None)
    action = None if entry is None else await asyncio.to_thread(undoable_action, data_dir, entry.number)
    if action is None or (context.undo is not None and context.undo.ending == action.number):
        named = f"there are {', '.join(str(each.number) for each in there)}" if there else "nothing can be undone"
        which = f"action {number} cannot be undone any more" if number else "there is nothing to undo"
        raise SettingError(which, remedy=named)
    # The file goes first: after a crash between the two, what was given up stays held, and nothing gives it up.
    await asyncio.to_thread(forget_undoable, data_dir, action.number)
    act = QueueAction(action.act)
    if act in _TRIED:
        return await _put_back(context, act, action, now)
    back = _BACK[act]
    async with context.writable_spool() as spool:
        words = parse_filter(action.filter)
        count = await spool.act(back, words, now=now, who=context.who, among=action.changed, undoes=act)
    if back is QueueAction.RELEASE and count:
        _reopen(context, action)
    if context.undo is not None:
        context.undo.look()
    return _undone(context, action, count)


async def _put_back(context: Context, act: QueueAction, action: UndoableAction, now: float) -> QueueChange:
    """Give recipients that were not tried yet their former due time and route."""
    former = [
        FormerPlace(queue_id, key, due, route, attempts)
        for (queue_id, key), (due, route, attempts) in zip(action.changed, action.former, strict=True)
    ]
    words = parse_filter(action.filter)
    async with context.writable_spool() as spool:
        count = await spool.put_back(
            act, former, words, since=action.at, now=now, who=context.who, target=action.target
        )
    return _undone(context, action, count)


def _undone(context: Context, action: UndoableAction, count: int) -> QueueChange:
    act = f"undo {action.act}"
    return QueueChange(act=act, filter=action.filter, target="", who=context.who, recipients=count)


async def _undoable(context: Context) -> UndoReport:
    now = context.clock.time()
    found = [each for each in await asyncio.to_thread(undoable, context.config.data_dir) if each.until > now]
    return UndoReport(now=now, actions=found[::-1])


#: The operations of this module.
UNDO_OPERATIONS: Final = (
    Operation(
        "queue undo",
        "Undo an action on the queue that was made with a time for undoing.",
        _undo,
        QueueChange,
        (Parameter("number", "Which action, as `queue undoable` lists it; 0 is the last one.", int, 0),),
        live=True,
    ),
    Operation(
        "queue undoable",
        "Show the actions on the queue that can be undone, the latest first.",
        _undoable,
        UndoReport,
        reads=True,
    ),
)
