"""Dates of header fields (RFC 5322 §3.3).

The time and the zone's offset are arguments; no clock is read.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import lru_cache

from posthouse.core import LocalError

__all__ = ["date_of", "format_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1)


@lru_cache(maxsize=64)
def date_of(seconds: int, offset: int) -> str:
    """``format_date`` of whole seconds; the last 64 are cached, because many messages have the same date."""
    if not -1440 < offset < 1440:
        raise LocalError(f"a zone {offset} minutes from UTC does not exist; give less than a day")
    try:
        at = _EPOCH + timedelta(seconds=seconds, minutes=offset)
    except OverflowError as error:
        raise LocalError(f"{seconds} s is outside the years 1 to 9999; give seconds since 1970") from error
    sign, minutes = ("-", -offset) if offset < 0 else ("+", offset)
    return (
        f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04d} "
        f"{at.hour:02d}:{at.minute:02d}:{at.second:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}"
    )


def format_date(seconds: float, offset_minutes: int = 0) -> str:
    """``Mon, 23 Nov 2026 08:46:22 +0100`` (RFC 5322 §3.3).

    ``seconds`` since 1970-01-01T00:00Z, fractions cut; ``offset_minutes`` is local time minus UTC, less than a day
    either way.  Raises ``LocalError`` outside the years 1 to 9999.
    """
    try:
        whole = math.floor(seconds)
    except (ValueError, OverflowError) as error:
        raise LocalError(f"{seconds} is not a time; give seconds since 1970") from error
    return date_of(whole, offset_minutes)
