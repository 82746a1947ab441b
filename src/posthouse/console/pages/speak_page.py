"""Speak SMTP: a terminal to a receiving SMTP in memory, each line explained, and the state diagram beside it.

A session belongs to the page that knows its key, which is in the page's address; it is kept in memory, and ends when it
is not used for half an hour.  Nothing that is typed leaves the console.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from markupsafe import Markup

from posthouse.codes import ALL_BASIC, ALL_COMMANDS
from posthouse.console.declarations import Done, NavEntry, Page, PageAction, Shown
from posthouse.console.problems import NotFound, RequestRefused
from posthouse.service.practice.diagram import state_diagram
from posthouse.service.practice.occasions import CLASSIC_DIALOGUE, CODE_OCCASIONS, COMMAND_OCCASIONS, Occasion
from posthouse.service.practice.practice_server import DOORS
from posthouse.service.practice.practice_sessions import PracticeSessions
from posthouse.service.practice.state_words import EXAMPLES, STATE_WORDS

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.service.practice.practice_session import PracticeSession

__all__ = ["NAV", "ROUTES"]

#: Lines of one request: a message that is pasted.
_LINES_MOST: Final = 200
#: Characters of a key.
_KEY: Final = 22

_sessions: WeakKeyDictionary[Any, PracticeSessions] = WeakKeyDictionary()


def _all(page: PageRequest) -> PracticeSessions:
    """The sessions of this console."""
    return _sessions.setdefault(page.request.scope["posthouse.console"], PracticeSessions())


def _facts(page: PageRequest, key: str, session: PracticeSession | None) -> Mapping[str, Any]:
    """What the page shows of a session, and its JSON twin gives; without one, the place where it would begin."""
    lang = page.language
    if session is None:
        return {"session": "", "door": next(iter(DOORS)), "state": "", "over": False, "lines": [], "legal": []}
    return {
        "session": key,
        "door": session.door.name,
        "state": session.state.value,
        "over": session.is_over,
        "lines": [
            {
                "who": each.who,
                "text": each.text,
                "meaning": each.meaning.said(lang),
                "law": each.law.said(lang),
                "state": each.state,
            }
            for each in session.lines
        ],
        "legal": [{"input": each.value, "example": EXAMPLES[each]} for each in session.legal],
    }


async def _show(page: PageRequest) -> Shown:
    key = page.query.get("session", "")
    session = _all(page).find(key) if key else None
    return _shown(page, key, session, lost=bool(key) and session is None)


def _shown(page: PageRequest, key: str, session: PracticeSession | None, *, lost: bool = False) -> Shown:
    lang, here, move = page.language, None, None
    if session is not None:
        here = session.state
        if session.move is not None and session.move[0] is not here:
            move = session.move[0], here
    step = page.number("replay", 0, 0, len(CLASSIC_DIALOGUE))
    context = {
        "diagram": Markup(state_diagram(here, move, lang)),  # of words of ours alone
        "meaning": STATE_WORDS[here][1].said(lang) if here is not None else "",
        "name": STATE_WORDS[here][0].said(lang) if here is not None else "",
        "doors": [(each.name, each.title.said(lang), each.hint.said(lang)) for each in DOORS.values()],
        "step": step,
        "classic": CLASSIC_DIALOGUE,
        "lost": lost,
    }
    return Shown("speak_show.html", _facts(page, key, session), context)


async def _say(page: PageRequest) -> Done:
    form = await page.form()
    key, door = str(form.get("session", "")), str(form.get("door", "")) or next(iter(DOORS))
    lines = str(form.get("line", "")).replace("\r\n", "\n").split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    if len(lines) > _LINES_MOST:
        raise RequestRefused(f"at most {_LINES_MOST} lines can be sent at one time", 400)
    session = _all(page).find(key)
    if session is None or session.is_over:
        key = secrets.token_urlsafe(16) if session is None else key
        session = await _all(page).begin(key, door)
    for line in lines:
        if not session.is_over:
            await session.say(line)
    replay = str(form.get("replay", ""))
    return Done(_address(key, replay if replay.isdigit() else ""), data=_facts(page, key, session))


async def _begin(page: PageRequest) -> Done:
    form = await page.form()
    key = str(form.get("session", ""))
    key = key if len(key) == _KEY else secrets.token_urlsafe(16)
    session = await _all(page).begin(key, str(form.get("door", "")) or next(iter(DOORS)))
    return Done(_address(key, "0" if form.get("replay") else ""), data=_facts(page, key, session))


async def _occasion(page: PageRequest) -> Done:
    form = await page.form()
    code, verb = str(form.get("code", "")), str(form.get("command", "")).upper()
    found = (
        CODE_OCCASIONS.get(int(code))
        if code.isascii() and code.isdigit() and len(code) == 3
        else COMMAND_OCCASIONS.get(verb)
    )
    if found is None:
        raise NotFound(f'there is no occasion for "{(code or verb)[:20]}"; /speak/codes has the list')
    key = secrets.token_urlsafe(16)
    session = await _all(page).begin(key, found.door)
    for line in found.lines:
        await session.say(line)
    return Done(_address(key), data=_facts(page, key, session))


def _address(key: str, replay: str = "") -> str:
    return f"/speak?session={key}{f'&replay={replay}' if replay else ''}#say"


async def _codes(page: PageRequest) -> Shown:
    lang = page.language
    codes = [
        {"code": code, "title": ALL_BASIC[code].title.said(lang), **_way(each, lang)}
        for code, each in CODE_OCCASIONS.items()
    ]
    commands = [
        {"command": verb, "title": ALL_COMMANDS[verb].title.said(lang), **_way(each, lang)}
        for verb, each in COMMAND_OCCASIONS.items()
    ]
    return Shown("speak_codes.html", {"codes": codes, "commands": commands}, title=page.text("speak.codes.title"))


def _way(occasion: Occasion, lang: str) -> Mapping[str, Any]:
    return {
        "door": occasion.door,
        "lines": list(occasion.lines),
        "why": occasion.why.said(lang),
        "pretended": occasion.pretended,
    }


ROUTES: Final = (
    Page("/speak", _show),
    Page("/speak/codes", _codes),
    PageAction("/speak/say", _say),
    PageAction("/speak/begin", _begin),
    PageAction("/speak/occasion", _occasion),
)
NAV: Final = (NavEntry("/speak", "speak.title", "learn", 10),)
