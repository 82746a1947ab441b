"""Texts that a test wants: with ``*`` for any characters and ``?`` for one, or a compiled regular expression."""

from __future__ import annotations

import functools
import re

__all__ = ["Wanted", "fits", "wanted_text"]

#: A text with wildcards, which the whole value has to fit, or a regular expression to be found in it.
Wanted = str | re.Pattern[str]


def fits(wanted: Wanted, value: str, *, exact_case: bool = False) -> bool:
    """Whether a value is what is wanted; capitals count with ``exact_case``, and as a regular expression says."""
    if isinstance(wanted, str):
        return _compiled(wanted, exact_case).fullmatch(value) is not None
    return wanted.search(value) is not None


def wanted_text(wanted: Wanted) -> str:
    """What is wanted, for a sentence."""
    return repr(wanted) if isinstance(wanted, str) else f"/{wanted.pattern}/"


@functools.lru_cache(maxsize=256)
def _compiled(wanted: str, exact_case: bool) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    text = "".join(parts.get(each) or re.escape(each) for each in re.sub(r"\*+", "*", wanted))
    return re.compile(text, re.DOTALL if exact_case else re.DOTALL | re.IGNORECASE)
