"""Mailpit's language of searches, put into ours (``service.inbox.mail_query``).

Mailpit joins words with *and*, drops quotation marks after they have kept words together, and ignores what it does not
understand.  Its conditions on addresses ask for a part of them, which ours do with ``~``.

Different here: ``addressed:`` looks at recipients and Reply-To and not at From; ``message-id:`` asks for the whole id;
``has:inline`` and ``is:tagged`` are ignored.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, tzinfo
from typing import Final

from posthouse.console.problems import RequestRefused

__all__ = ["in_our_language"]

_LONGEST: Final = 2_000
_WORD: Final = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_CONDITION: Final = re.compile(r"([a-z-]+):(.*)", re.IGNORECASE | re.DOTALL)
_PEOPLE: Final = {"from": "from", "to": "to", "cc": "to", "bcc": "to", "reply-to": "to", "addressed": "to"}
_FLAGS: Final = {
    ("is", "read"): "is:read",
    ("is", "unread"): "is:unread",
    ("has", "attachment"): "has:attachment",
    ("has", "attachments"): "has:attachment",
}
_IGNORED: Final = frozenset({("is", "tagged"), ("has", "inline"), ("has", "inlines")})
_SIZES: Final = {"larger": "size>", "smaller": "size<"}
_SIZE: Final = re.compile(r"([0-9]{1,12})\s*([kmg]?)b?", re.IGNORECASE)
_DATES: Final = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def in_our_language(query: str, zone: str = "") -> str:
    """The search in our language; "" if nothing of it is left.

    Args:
        query: As Mailpit's clients write it.
        zone: The IANA name of the time zone in which dates are meant; an unknown one is ignored.

    Raises:
        RequestRefused: The search is too long (400).
    """
    if len(query) > _LONGEST:
        raise RequestRefused(f"the search is longer than {_LONGEST:,} characters; search for less", 400)
    terms = []
    for word in _WORD.findall(query):
        text = word.replace('"', "")
        negated = text[:1] in ("-", "!") and len(text) > 1
        term = _term(text[1:] if negated else text, zone)
        if term:
            terms.append(f"-{term}" if negated else term)
    return " ".join(terms)


def _term(text: str, zone: str) -> str:
    """One term; "" for one that is ignored."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        return _quoted(text)
    name, value = match[1].lower(), match[2].strip()
    if not value:
        return ""
    if name in _PEOPLE:
        return f"{_PEOPLE[name]}~{_quoted(value)}"
    if name == "subject":
        return f"subject:{_quoted(value)}"
    if name == "tag":
        return f"tag:{_quoted(value)}"
    if name == "message-id":
        return f"message-id:{_quoted(value.strip('<>'))}"
    if (name, value.lower()) in _FLAGS:
        return _FLAGS[name, value.lower()]
    if (name, value.lower()) in _IGNORED:
        return ""
    if name in _SIZES:
        size = _SIZE.fullmatch(value)
        return "" if size is None else f"{_SIZES[name]}{size[1]}{size[2].upper()}"
    if name in ("before", "after"):
        moment = _moment(value, zone)
        return "" if moment is None else f"{name}:{moment:%Y-%m-%dT%H:%M:%S}"
    return _quoted(text)


def _quoted(text: str) -> str:
    return f'"{text}"' if text.strip() else ""


def _moment(text: str, zone: str) -> datetime | None:
    """A date or date and time, in UTC; None if it is none."""
    written = text.replace("/", "-").strip()
    found = _iso(written) or next((each for form in _DATES if (each := _read(written, form)) is not None), None)
    if found is None:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=_zone(zone))
    try:
        return found.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name) if name else UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
