"""A dialogue as a sequence diagram: each line with its side, its explanation, the time since the line before, and
whether TLS protected it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from posthouse.codes import Live

__all__ = ["DiagramLine", "diagram", "meaning_of"]

_REPLY: Final = re.compile(r"([2-5])[0-9]{2}(?:[ -]|$)")
_SLOW: Final = 1.0  # seconds between two lines that are worth a look
_KINDS: Final = {"2": "good", "3": "more", "4": "later", "5": "bad"}


class DiagramLine(NamedTuple):
    """One line: ``who`` is S, R or N (a note); ``kind`` of a reply is good, more, later or bad, else ""; ``since`` are
    the seconds since the line before, None where it is not known; ``tls`` whether it went through TLS, and
    ``tls_begins`` at the first such line."""

    who: str
    text: str
    explanation: str = ""
    kind: str = ""
    since: float | None = None
    slow: bool = False
    tls: bool = False
    tls_begins: bool = False


def diagram(lines: Iterable[tuple[float | None, str, str]], lang: str, *, tls: str = "") -> Sequence[DiagramLine]:
    """The lines of a dialogue, given as time, side and text.  ``tls`` is the session's TLS, "" in clear: without a
    STARTTLS among the lines, it was there from the start."""
    given = list(lines)
    explain = Live(lang)
    starts = [text for _, who, text in given if who == "S" and text.upper() == "STARTTLS"]
    inside = bool(tls) and not starts
    begins = inside
    asked = False
    before: float | None = None
    found = []
    for at, who, text in given:
        since = None if at is None or before is None else max(0.0, at - before)
        before = at if at is not None else before
        explanation = kind = ""
        if who != "N":
            explanation = explain(who, text).explanation
        if who == "R" and (match := _REPLY.match(text)) is not None:
            kind = _KINDS[match[1]]
        slow = since is not None and since >= _SLOW
        found.append(DiagramLine(who, text, explanation, kind, since, slow, inside, begins))
        begins = False
        if who == "S":
            asked = text.upper() == "STARTTLS"
        elif who == "R" and asked and text.startswith("220"):
            inside = begins = True
            asked = False
    return found


def meaning_of(reply: str, lang: str) -> str:
    """What a reply means, in a sentence; "" for what is no reply."""
    return Live(lang)("R", reply).explanation if _REPLY.match(reply) else ""
