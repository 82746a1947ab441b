"""The queue: destinations by age, the messages that a filter selects, and what can be done with them.

An action is first counted and shown, and done when it is confirmed.  It can be undone for 10 minutes: mail that is
given up is held until then, and mail that is tried or rerouted waits as before unless its attempt has begun.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from posthouse.console.charts import time_line
from posthouse.console.declarations import Done, NavEntry, Page, PageAction, Shown
from posthouse.console.problems import RequestRefused
from posthouse.console.rendering import duration
from posthouse.core.units import short_duration
from posthouse.service.monitor.queue_undo import MOST_RECIPIENTS
from posthouse.service.operations.explain_text import next_attempt_text
from posthouse.service.operations.filter_language import fields_help
from posthouse.service.operations.monitor.pause_operations import PausesReport
from posthouse.service.operations.monitor.undo_operations import UndoReport
from posthouse.service.operations.results import QueueChange, QueueCount, QueueEntry, QueueSummary, QueueSummaryRow

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["NAV", "ROUTES"]

_PAGE: Final = 100  # messages
_ROWS: Final = 25  # destinations in the heat map
_EXPLAINED: Final = 8  # destinations that are explained
#: What has become of the recipients for whom an action was undone.
_UNDONE: Final = {
    "undo hold": "release",
    "undo release": "hold",
    "undo drop": "release",
    "undo retry": "restore",
    "undo reroute": "restore",
}
_ACTS: Final = ("hold", "release", "retry", "reroute", "drop")
_UNDO_FOR: Final = "10m"
_MOST_IDS: Final = 500


async def _show(page: PageRequest) -> Shown:
    text = page.query.get("q", "").strip()
    after, before = page.query.get("after", ""), page.query.get("before", "")
    messages: list[QueueEntry] = await page.run("queue list", filter=text, limit=_PAGE, after=after, before=before)
    messages.reverse()  # the newest first
    summary: QueueSummary = await page.run("queue summary", filter=text, limit=_ROWS)
    now = summary.now
    pauses: PausesReport = await page.run("queue paused")
    due = [each.next.at - now for each in messages if each.next is not None and each.next.at is not None]
    undo: UndoReport = await page.run("queue undoable")
    return Shown(
        "queue_show.html",
        {
            "filter": text,
            "messages": messages,
            "summary": summary,
            "pauses": pauses.pauses,
            "undoable": undo.actions,
        },
        {
            "q": text,
            "heads": [f"< {duration(age, page.language)}" for age in summary.ages] + [page.text("queue.older")],
            "map": _heat_map(page, summary, text),
            "slow": await _slow(page, summary),
            "rows": [_row(page, each, now) for each in messages],
            "line": time_line(due, page.text("queue.line"), page.language) if due else "",
            "newer": page.same_page(after=messages[0].id, before=None) if messages and (after or before) else "",
            "older": page.same_page(before=messages[-1].id, after=None) if len(messages) == _PAGE else "",
            "acts": _ACTS,
            "language": fields_help(),
        },
    )


# The heat map ---------------------------------------------------------------------------------------------------------


def _heat_map(page: PageRequest, summary: QueueSummary, text: str) -> list[dict[str, Any]]:
    """The rows of the heat map: each cell has its number, its heat from 0 to 6, and the filter that selects it."""
    most = max((number for row in summary.rows for number in row.ages), default=0)
    bounds = [0.0, *summary.ages]
    found = []
    for row in summary.rows:
        cells = []
        for at, number in enumerate(row.ages):
            parts = [f"domain:{row.destination}"]
            parts += [f"age>={short_duration(bounds[at])}"] if at else []
            parts += [f"age<{short_duration(summary.ages[at])}"] if at < len(summary.ages) else []
            cells.append((number, _heat(number, most), page.url("/queue", q=" ".join(parts))))
        found.append({"row": row, "cells": cells, "url": page.url("/queue", q=f"domain:{row.destination}")})
    return found


def _heat(number: int, most: int) -> int:
    """1 to 6, one less for each halving of the largest number; 0 for none."""
    if not number:
        return 0
    level = 6
    while level > 1 and number * 2 ** (7 - level) <= most:
        level -= 1
    return level


# Why destinations are slow --------------------------------------------------------------------------------------------


async def _slow(page: PageRequest, summary: QueueSummary) -> list[dict[str, Any]]:
    """The destinations with the oldest waiting mail: what it waits for, and how its last attempt ended."""
    oldest = sorted((row for row in summary.rows if row.waiting), key=lambda row: row.oldest)
    found = []
    for row in oldest[:_EXPLAINED]:
        first: list[QueueEntry] = await page.run(
            "queue list", filter=f"domain:{row.destination} state:waiting", limit=1, after="0" * 13
        )
        if first:
            found.append(_explained(page, row, first[0], summary.now))
    return found


def _explained(page: PageRequest, row: QueueSummaryRow, entry: QueueEntry, now: float) -> dict[str, Any]:
    following = entry.next
    return {
        "row": row,
        "entry": entry,
        "age": max(0.0, now - row.oldest),
        "site": "" if following is None else following.site,
        "limit": None if following is None else following.limit,
        "state": "" if following is None else following.state,
        "text": "" if following is None else _next_words(page, entry, now),
        "url": page.url("/queue", q=f"domain:{row.destination}"),
    }


def _next_words(page: PageRequest, entry: QueueEntry, now: float) -> str:
    """What the first recipient of a message waits for, as ``explain`` says it."""
    if entry.next is None:
        return ""
    return next_attempt_text(
        entry.next,
        now,
        page.language,
        lambda seconds: time.strftime("%H:%M:%S", time.localtime(seconds)),
        recipients=entry.recipients[0],
        number=entry.attempts + 1,
        queue_id=entry.id,
    )


def _row(page: PageRequest, entry: QueueEntry, now: float) -> dict[str, Any]:
    if entry.active:
        state = "active"
    elif entry.waiting:
        state = "deferred" if entry.attempts else "waiting"
    else:
        state = "held" if entry.held else "finished"
    return {
        "entry": entry,
        "state": state,
        "waits": "" if entry.next is None else page.text(f"queue.waits.{entry.next.state}"),
        "words": _next_words(page, entry, now),
    }


# Changing -------------------------------------------------------------------------------------------------------------


async def _act(page: PageRequest) -> Done | Shown:
    form = await page.form()
    act = str(form.get("act", ""))
    if act not in _ACTS:
        raise RequestRefused(f'there is no action "{act[:40]}"; there are {", ".join(_ACTS)}', 400)
    ids = [str(each) for each in form.getlist("id")][: _MOST_IDS + 1]
    if len(ids) > _MOST_IDS:
        raise RequestRefused(f"choose at most {_MOST_IDS} messages, or write a filter", 400)
    text = str(form.get("filter", "")).strip()
    filters = [f"id:{each}" for each in ids] if ids and not form.get("everything") else [text]
    if filters == [""]:
        raise RequestRefused("choose messages, or write a filter; all means every message", 400)
    more: dict[str, Any] = {}
    if act == "drop":
        more["report"] = bool(form.get("report"))
    if act == "reroute":
        more["via"] = str(form.get("via", ""))
    if not form.get("confirm"):
        return await _confirm(page, act, filters, text, more)
    if not form.get("final"):
        given = {"ids": ",".join(ids)} if filters != [text] else {"filter": text}
        whole: QueueChange = await page.run(f"queue {act}", **given, **more, undo_for=_UNDO_FOR)
    else:
        changed = [await page.run(f"queue {act}", filter=each, **more) for each in filters]
        whole = QueueChange(
            act=act, filter=text or ", ".join(filters[:10]), target=str(more.get("via", "")), who=page.visitor.name,
            recipients=sum(each.recipients for each in changed),
        )  # fmt: skip
    done = f"queue.done.{act}" if act != "drop" or not whole.undo else "queue.done.drop_later"
    number = f"{whole.recipients:,}"
    return Done(page.url("/queue", q=text or None)[len(page.base) :], page.text(done, number=number), whole)


async def _confirm(page: PageRequest, act: str, filters: list[str], text: str, more: dict[str, Any]) -> Shown:
    """The page that says what the action would change, and asks."""
    counts: list[QueueCount] = [await page.run("queue count", filter=each, act=act) for each in filters]
    destinations: dict[str, int] = {}
    for row in (each for count in counts for each in count.destinations):
        destinations[row.destination] = destinations.get(row.destination, 0) + sum(row.ages)
    whole = QueueCount(
        act=act,
        filter=text or ", ".join(filters[:10]),
        recipients=sum(each.recipients for each in counts),
        destinations=counts[0].destinations if len(counts) == 1 else [],
        others=counts[0].others if len(counts) == 1 else 0,
    )
    return Shown(
        "queue_confirm.html",
        whole,
        {
            "act": act,
            "ids": [each.removeprefix("id:") for each in filters] if filters != [text] else [],
            "text": text,
            "named": sorted(destinations.items(), key=lambda each: -each[1])[:20],
            "more": more,
            "can_undo": whole.recipients <= MOST_RECIPIENTS,
        },
        title=page.text(f"queue.act.{act}"),
    )


async def _undo(page: PageRequest) -> Done:
    given = str((await page.form()).get("number", ""))
    if not given.isascii() or not given.isdigit() or len(given) > 8:
        raise RequestRefused("say which action: its number", 400)
    changed: QueueChange = await page.run("queue undo", number=int(given))
    return Done("/queue", page.text(f"queue.undone.{_UNDONE[changed.act]}", number=f"{changed.recipients:,}"), changed)


async def _pause(page: PageRequest) -> Done:
    form = await page.form()
    given = {name: str(form.get(name, "")).strip() for name in ("destination", "duration", "why")}
    found: PausesReport = await page.run("queue pause", **given)
    return Done("/queue", page.text("queue.pause.done", destination=given["destination"]), found)


async def _resume(page: PageRequest) -> Done:
    destination = str((await page.form()).get("destination", ""))
    found: PausesReport = await page.run("queue resume", destination=destination)
    return Done("/queue", page.text("queue.pause.over", destination=destination), found)


async def _audit(page: PageRequest) -> Shown:
    acts = await page.run("queue audit", limit=page.number("limit", 200, 1, 1_000))
    return Shown("queue_audit.html", acts, {"act_of": partial(_acted, page)}, title=page.text("queue.audit"))


def _acted(page: PageRequest, act: str) -> str:
    """An action of the audit log as the buttons name it; ``undo hold`` is the undoing of one."""
    name = act.removeprefix("undo ")
    known = page.text(f"queue.act.{name}") if name in _ACTS else page.text("inbox.delete") if name == "delete" else name
    return known if name == act else page.text("queue.undo_of", act=known)


ROUTES: Final = (
    Page("/queue", _show),
    PageAction("/queue/act", _act),
    PageAction("/queue/undo", _undo),
    PageAction("/queue/pause", _pause),
    PageAction("/queue/resume", _resume),
    Page("/queue/audit", _audit),
)
NAV: Final = (NavEntry("/queue", "queue.title", "queue", 20),)
