"""The pages of sessions: which are open and which were, and one of them as a sequence diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from posthouse.console.declarations import NavEntry, Page, Shown
from posthouse.console.dialogue_view import diagram, meaning_of
from posthouse.service.operations.reasons_zh import chinese_reason

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.monitor.monitor_answers import SessionDialogue, SessionsReport

__all__ = ["NAV", "ROUTES"]

_SHOWN: Final = 200


async def _list(page: PageRequest) -> Shown:
    chosen = page.query.get("show", "")
    direction = chosen if chosen in ("in", "out") else ""
    source = page.query.get("source", "")
    report: SessionsReport = await page.run(
        "monitor sessions",
        source=source,
        direction=direction,
        failures=chosen == "failures",
        live=chosen == "live",
        limit=page.number("limit", _SHOWN, 1, 1_000),
    )
    choices = () if source else ("", "live", "failures", "in", "out")
    meanings = {each.problem: meaning_of(each.problem, page.language) for each in report.sessions if each.problem}
    context = {"chosen": chosen, "choices": choices, "source": source, "meanings": meanings}
    return Shown("sessions_list.html", report, context)


async def _one(page: PageRequest) -> Shown:
    found: SessionDialogue = await page.run("monitor session", id=page.args["id"])
    lines = diagram(((line.at, line.who, line.text) for line in found.dialogue), page.language, tls=found.session.tls)
    security = found.session.security
    context = {
        "lines": lines,
        "security": chinese_reason(security) if page.language == "zh" else security,
        "meaning": meaning_of(found.session.problem, page.language),
    }
    return Shown("sessions_one.html", found, context, title=page.text("sessions.one", id=found.session.id))


ROUTES: Final = (Page("/sessions", _list), Page("/sessions/{id}", _one))
NAV: Final = (NavEntry("/sessions", "sessions.title", "queue", 30),)
