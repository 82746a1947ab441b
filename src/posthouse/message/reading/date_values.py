"""Dates of header fields as programs write them (RFC 5322 §3.3, §4.3), read without ever raising."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from posthouse.message.structured import without_comments

__all__ = ["read_date"]

_MONTHS: Final = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
_DATE: Final = re.compile(
    r"(?i)(?:[a-z]{2,9}\.?,?[ \t]*)?([0-9]{1,2})[ \t-]+([a-z]{3})[a-z]{0,6}\.?[ \t-]+([0-9]{2,4})"
    r"(?:[ \t,]+([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2})(?:[.,][0-9]+)?)?)?"
    r"[ \t]*([+-][ \t]?[0-9]{1,2}:?[0-9]{2}|[a-z]+)?"
)
_C_DATE: Final = re.compile(  # Thu Nov 26 10:00:00 2026
    r"(?i)(?:[a-z]{3},?[ \t]+)?([a-z]{3})[a-z]{0,6}[ \t]+([0-9]{1,2}),?[ \t]+([0-9]{2}):([0-9]{2}):([0-9]{2})[ \t]+"
    r"(?:([a-z]+)[ \t]+)?([0-9]{4})(?:[ \t]+([+-][0-9]{4}))?"
)
_ISO_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T \t]+([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?(?:\.[0-9]+)?[ \t]*"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_ZONES: Final = {
    "ut": 0,
    "utc": 0,
    "gmt": 0,
    "z": 0,
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
    "cet": 1,
    "cest": 2,
    "met": 1,
    "mest": 2,
    "bst": 1,
    "jst": 9,
    "kst": 9,
    "msk": 3,
}


def read_date(value: bytes) -> tuple[datetime | None, bool]:
    """The instant of a Date field, None if there is no date in it; and whether it has the form of RFC 5322 §3.3.

    A zone that is not known, or none, is read as UTC.  A leap second is read as the second before it.
    """
    text = without_comments(value[:200]).decode("ascii", "replace").strip()
    match = _DATE.match(text)
    if match is not None:
        day, month, year, hour, minute, second, zone = match.groups()
        proper = match.end() == len(text) and len(year) == 4 and bool(zone) and not zone.isalpha() and hour is not None
        return _instant(year, _MONTHS.get(month.lower(), 0), day, hour, minute, second, zone), proper
    if (match := _C_DATE.match(text)) is not None:
        month, day, hour, minute, second, name, year, zone = match.groups()
        return _instant(year, _MONTHS.get(month.lower(), 0), day, hour, minute, second, zone or name), False
    if (match := _ISO_DATE.match(text)) is not None:
        year, month, day, hour, minute, second, zone = match.groups()
        return _instant(year, int(month), day, hour, minute, second, zone), False
    return None, False


def _instant(
    year: str, month: int, day: str, hour: str | None, minute: str | None, second: str | None, zone: str | None
) -> datetime | None:
    number = int(year)
    if len(year) < 4:  # RFC 5322 §4.3
        number += 2000 if len(year) == 2 and number < 50 else 1900
    try:
        return datetime(
            number, month, int(day), int(hour or 0), int(minute or 0), min(59, int(second or 0)), tzinfo=_zone(zone)
        )
    except (ValueError, OverflowError):
        return None


def _zone(zone: str | None) -> timezone:
    if not zone or zone.isalpha():
        hours = _ZONES.get((zone or "").lower(), 0)
        return timezone(timedelta(hours=hours)) if hours else UTC
    digits = zone[1:].strip().replace(":", "").zfill(4)
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset >= timedelta(hours=24):
        return UTC
    return timezone(-offset if zone[0] == "-" else offset) if offset else UTC
