"""Templates: Jinja with autoescape everywhere, and what every template finds.

Beside the data of its page a template finds ``t(key)`` for texts, ``url(path)`` and ``same_page(name=value)`` for
addresses, ``csrf()`` for the hidden field of a form that posts, ``in_words(sentence)`` for an error, ``note(text)`` for
a reason or a note of the daemon, ``when(seconds)`` for a moment, ``asset(name)`` for the address of a file of
``console/static``, ``inline(name)`` for its text, ``style`` for the style sheets, and ``page``, the ``PageRequest``.
Filters: ``size`` (octets), ``number``, ``duration``.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from posthouse.console.assets import Assets
from posthouse.console.page_request import PageRequest
from posthouse.console.problem_sentences import problem_sentence
from posthouse.core.units import size_in_words
from posthouse.service.operations.monitor.session_notes_zh import chinese_note

__all__ = ["duration", "environment", "moment", "page_context"]

#: Words of English, and not only names and numbers.
_WORDS = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")
_UNITS = {"en": ("ms", "s", "min", "h", "d"), "zh": ("毫秒", "秒", "分钟", "小时", "天")}
_HERE = os.path.join(os.path.dirname(__file__), "templates")


@cache
def environment() -> Environment:
    """The environment of all templates."""
    found = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    found.filters["size"] = size_in_words
    found.filters["number"] = lambda value: f"{value:,}"
    found.filters["duration"] = _duration
    return found


def page_context(page: PageRequest, assets: Assets) -> Mapping[str, Any]:
    """What every template finds."""
    return {
        "page": page,
        "t": page.text,
        "url": page.url,
        "same_page": page.same_page,
        "csrf": partial(_csrf, page),
        "in_words": partial(_in_words, page),
        "note": partial(_note, page),
        "when": moment,
        "asset": lambda name: page.url(assets.path(name)),
        "inline": assets.inline,
        "style": assets.style,
    }


def _csrf(page: PageRequest) -> Markup:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(page.csrf_token)


def _in_words(page: PageRequest, sentence: str) -> Markup:
    """The sentence of an error in the reader's language, or marked as English."""
    words, language = problem_sentence(sentence, page.language)
    return escape(words) if language == page.language else Markup('<span lang="{}">{}</span>').format(language, words)


def _note(page: PageRequest, text: str, most: int = 100_000) -> Markup:
    """A reason or a note of the daemon in the reader's language, cut behind ``most`` characters; what another program
    has said is marked as English."""
    words = chinese_note(text) if page.language == "zh" else text
    shown = words if len(words) <= most else f"{words[:most]}…"
    if page.language != "zh" or words != text or not _WORDS.search(text):
        return escape(shown)
    return Markup('<span lang="en">{}</span>').format(shown)


def moment(seconds: float | None) -> Markup:
    """A moment in Unix time as a ``time`` element, in the server's zone; a script of the page makes it relative."""
    if seconds is None or not math.isfinite(seconds):
        return Markup("")
    try:
        local = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return Markup("")
    offset = time.strftime("%z", local)
    machine = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}{offset[:3]}:{offset[3:]}"
    words = time.strftime("%Y-%m-%d %H:%M:%S", local)
    # Digits and signs only, so nothing is escaped; Markup.format took 1/5 of the time of a page with 200 moments.
    return Markup(f'<time datetime="{machine}" title="{words} {offset}" data-relative>{words}</time>')


def duration(seconds: float, language: str = "en") -> str:
    """Seconds in the largest units that say enough: 340 ms, 12 s, 5 min, 2 d 4 h; in Chinese, 2 天 4 小时."""
    milliseconds, second, minute, hour, day = _UNITS["zh" if language == "zh" else "en"]
    if seconds < 1:
        return f"{seconds * 1000:.0f} {milliseconds}"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} {second}"
    for unit, name, below, small in ((86_400, day, 3_600, hour), (3_600, hour, 60, minute)):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {small}" if rest else "")
    return f"{whole // 60} {minute}"


@pass_context
def _duration(context: Context, seconds: float) -> str:
    return duration(seconds, context["page"].language)
