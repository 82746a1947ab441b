"""Sizes in octets and durations in seconds: read from text and written as text, in one place for all packages.

A *size* is a number with an optional unit: ``4096``, ``64K``, ``10MB``, ``1.5MiB``.  K, M, G and T are powers of 1000;
Ki, Mi, Gi and Ti are powers of 1024; a ``B`` may follow.  A *duration* is a number of seconds, or numbers with units:
``90``, ``30s``, ``1d12h``; the units are ms, s, m, h, d and w.  Digits are matched, never handed to ``float`` unseen,
so that ``1e9``, ``2_5`` and digits of other scripts are refused.

The readers raise ``ValueError`` without a sentence: each caller names the place and the remedy itself.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "duration_in_words",
    "read_duration",
    "read_size",
    "short_duration",
    "size_in_words",
    "write_duration",
    "write_size",
]

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s?(?:([KMGT])(I)?)?B?", re.IGNORECASE)
_PREFIXES: Final = "KMGT"

_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s?(ms|[smhdw])")
_PARTS: Final = re.compile(rf"(?:{_PART.pattern})+")
_PLAIN_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

_WORDS: Final = (
    (86_400.0, "day", "天"),
    (3600.0, "hour", "小时"),
    (60.0, "minute", "分钟"),
)


# Sizes --------------------------------------------------------------------------------------------------------------


def read_size(text: str) -> int:
    """Octets.  Raises ``ValueError``."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    number, prefix, binary = match.groups()
    factor = (1024 if binary else 1000) ** (_PREFIXES.index(prefix.upper()) + 1) if prefix else 1
    return round(float(number) * factor) if "." in number else int(number) * factor


def write_size(octets: int) -> str:
    """A size as ``read_size`` takes it, exactly: ``50MiB`` where a binary unit divides it, else a plain number."""
    for power in range(len(_PREFIXES), 0, -1):
        if octets and octets % 1024**power == 0:
            return f"{octets // 1024**power}{_PREFIXES[power - 1]}iB"
    return str(octets)


def size_in_words(octets: int) -> str:
    """A size rounded for people: ``532 B``, ``1.5 KiB``, ``240 MiB``."""
    if octets < 1024:
        return f"{octets} B"
    size, unit = octets / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if size >= 100 else f"{size:.1f} {unit}"


# Durations ----------------------------------------------------------------------------------------------------------


def read_duration(text: str) -> float:
    """Seconds; parts with units are added up.  Raises ``ValueError``."""
    if _PARTS.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if _PLAIN_SECONDS.fullmatch(text):
        return float(text)
    raise ValueError(text)


def write_duration(seconds: float) -> str:
    """A duration as ``read_duration`` takes it, exactly: in the largest of d, h, m that divides it, else in seconds."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def short_duration(seconds: float) -> str:
    """A duration rounded to its largest unit, for columns: ``45s``, ``5m``, ``3h``, ``12d``."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s"


def duration_in_words(seconds: float, lang: str = "en") -> str:
    """A duration in a sentence: ``90 seconds``, ``5 minutes``, ``2.5 hours``; with ``lang="zh"`` ``5 分钟``.

    The unit is the largest that the duration fills twice, or exactly.
    """
    for size, english, chinese in _WORDS:
        if seconds >= size and (seconds >= 2 * size or seconds % size == 0):
            return _counted(f"{seconds / size:.1f}".removesuffix(".0"), english, chinese, lang)
    if 0 < seconds < 1:
        return f"{max(1.0, seconds * 1000):.0f} {'毫秒' if lang == 'zh' else 'ms'}"
    number = f"{seconds:.0f}" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f}"
    return _counted(number, "second", "秒", lang)


def _counted(number: str, english: str, chinese: str, lang: str) -> str:
    if lang == "zh":
        return f"{number} {chinese}"
    return f"{number} {english}{'' if number == '1' else 's'}"
