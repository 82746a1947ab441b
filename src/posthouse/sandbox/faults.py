"""Fault rules of the sink, and how the command line writes them.

A rule applies at one stage of the dialogue, to all of its moments or, by chance, to a share of them:

    ==========  =====================================================
    stage       the moment
    ==========  =====================================================
    connect     the connection; the opening reply
    helo        HELO, EHLO, LHLO (``ehlo`` and ``lhlo`` are other words for it)
    mail        MAIL
    rcpt        RCPT, for each recipient
    data        DATA (or the first BDAT), before any content
    end         the content's end: the final reply
    ==========  =====================================================

A reply of 421 ends the session, at any stage (RFC 5321 §3.8).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from posthouse.core import Reply, SettingError

__all__ = ["FaultRule", "STAGES", "parse_delay", "parse_drop", "parse_fail"]

STAGES: Final = ("connect", "helo", "mail", "rcpt", "data", "end")

_OPENING: Final = (421, 521, 554)  # replies that may refuse a connection
_FAIL = re.compile(r"([a-z]+):([45][0-9]{2})(?::([245]\.[0-9]{1,3}\.[0-9]{1,3}))?")
_SECONDS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")
_SHARE = re.compile(r"[01](?:\.[0-9]{1,6})?|\.[0-9]{1,6}")


class FaultRule(NamedTuple):
    """A fault at a ``stage``, with probability ``share``: wait ``delay`` seconds, then abort the connection (``drop``),
    or send ``reply``, or (with neither) go on."""

    stage: str
    share: float = 1.0
    reply: Reply | None = None
    drop: bool = False
    delay: float = 0.0


def parse_fail(text: str) -> FaultRule:
    """``STAGE:CODE``, ``STAGE:CODE:ENHANCED``, each with ``@SHARE``: ``rcpt:450@0.1``.  Raises ``SettingError``."""
    rest, share = _split(text)
    match = _FAIL.fullmatch(rest)
    stage = _stage(match[1]) if match is not None else None
    if match is None or stage is None:
        raise SettingError("this is not a failure", where=text, remedy=_remedy("rcpt:450@0.1"))
    code, enhanced = int(match[2]), match[3] or f"{match[2][0]}.0.0"
    if enhanced[0] != match[2][0]:
        raise SettingError(f"{enhanced} contradicts {code}", where=text, remedy="begin both with the same digit")
    if stage == "connect" and code not in _OPENING:
        remedy = "write connect:421 (not now), connect:521 (no mail here) or connect:554 (refused)"
        raise SettingError(f"a connection is not refused with {code}", where=text, remedy=remedy)
    return FaultRule(stage, share, Reply(code, "" if stage == "connect" else enhanced, "Refused on demand"))


def parse_drop(text: str) -> FaultRule:
    """``STAGE`` or ``STAGE@SHARE``: cut the connection there.  Raises ``SettingError``."""
    word, share = _split(text)
    stage = _stage(word)
    if stage is None:
        raise SettingError("this is not a stage", where=text, remedy=_remedy("data@0.05"))
    return FaultRule(stage, share, drop=True)


def parse_delay(text: str) -> FaultRule:
    """``SECONDS`` (at the content's end) or ``STAGE:SECONDS``, with ``@SHARE``.  Raises ``SettingError``."""
    rest, share = _split(text)
    word, colon, seconds = rest.rpartition(":")
    stage = _stage(word) if colon else "end"
    if stage is None or _SECONDS.fullmatch(seconds) is None:
        raise SettingError("this is not a delay", where=text, remedy=_remedy("rcpt:0.5"))
    return FaultRule(stage, share, delay=float(seconds))


def _stage(word: str) -> str | None:
    """The stage that a word names, or None."""
    word = "helo" if word in ("ehlo", "lhlo") else word
    return word if word in STAGES else None


def _split(text: str) -> tuple[str, float]:
    rest, at, share = text.strip().lower().partition("@")
    if at and (_SHARE.fullmatch(share) is None or float(share) > 1.0):
        raise SettingError("what follows @ is no share", where=text, remedy="write a number from 0 to 1, as in @0.1")
    return rest, float(share) if at else 1.0


def _remedy(example: str) -> str:
    return f'write it like "{example}", with one of the stages {", ".join(STAGES)}'
