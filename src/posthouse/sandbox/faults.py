"""Fault rules of the sink, and how the command line writes them.

A rule applies at one stage of the dialogue, to all of its moments or to a random share of them:

    ==========  =====================================================
    stage       the moment
    ==========  =====================================================
    connect     the connection; the opening reply
    helo        HELO, EHLO, LHLO
    mail        MAIL
    rcpt        RCPT, for each recipient
    data        DATA (or the first BDAT), before any content
    end         the content's end: the final reply
    ==========  =====================================================
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from posthouse.core import Reply, SettingError

__all__ = ["FaultRule", "STAGES", "parse_delay", "parse_drop", "parse_fail"]

STAGES: Final = ("connect", "helo", "mail", "rcpt", "data", "end")

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
    if match is None or match[1] not in STAGES:
        raise SettingError("this is not a failure", where=text, remedy=_remedy("rcpt:450@0.1"))
    code, enhanced = int(match[2]), match[3] or f"{match[2][0]}.0.0"
    if enhanced[0] != match[2][0]:
        raise SettingError(f"{enhanced} contradicts {code}", where=text, remedy="begin both with the same digit")
    if code == 421:
        raise SettingError("421 ends the session", where=text, remedy=f"write --drop {match[1]}")
    if match[1] == "connect" and code != 554:
        raise SettingError("a connection is refused with 554", where=text, remedy="write connect:554")
    return FaultRule(match[1], share, Reply(code, "" if match[1] == "connect" else enhanced, "Refused on demand"))


def parse_drop(text: str) -> FaultRule:
    """``STAGE`` or ``STAGE@SHARE``: cut the connection there.  Raises ``SettingError``."""
    stage, share = _split(text)
    if stage not in STAGES:
        raise SettingError("this is not a stage", where=text, remedy=_remedy("data@0.05"))
    return FaultRule(stage, share, drop=True)


def parse_delay(text: str) -> FaultRule:
    """``SECONDS`` (at the content's end) or ``STAGE:SECONDS``, with ``@SHARE``.  Raises ``SettingError``."""
    rest, share = _split(text)
    stage, colon, seconds = rest.rpartition(":")
    stage = stage if colon else "end"
    if stage not in STAGES or _SECONDS.fullmatch(seconds) is None:
        raise SettingError("this is not a delay", where=text, remedy=_remedy("rcpt:0.5"))
    return FaultRule(stage, share, delay=float(seconds))


def _split(text: str) -> tuple[str, float]:
    rest, at, share = text.strip().lower().partition("@")
    if at and (_SHARE.fullmatch(share) is None or float(share) > 1.0):
        raise SettingError("what follows @ is no share", where=text, remedy="write a number from 0 to 1, as in @0.1")
    return rest, float(share) if at else 1.0


def _remedy(example: str) -> str:
    return f'write it like "{example}", with one of the stages {", ".join(STAGES)}'
