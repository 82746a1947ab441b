"""HTML written anew within bounds: well nested, and no deeper than a browser's own parser can bear.

A parser of HTML spends time that grows with the square of the depth, and some open elements (``b``, ``font``) are made
again in each paragraph behind them, so that a small message can stand for a page of gigabytes.  Here the source is cut
into tags and text by searches that never go back, and written anew with the depth of all elements, of such formatting
elements, and the number of tags bounded.  The result is not safe to show; ``mail_html`` makes it so.
"""

from __future__ import annotations

import html
import re
from typing import Final

__all__ = ["bounded_html", "exceeds_bounds"]

_LONGEST: Final = 1 << 20  # characters of source
_MOST_TAGS: Final = 20_000
#: Signs that are written as a reference (``&amp;``): a parser's time grows with the square of their number.
_MOST_REFERENCES: Final = 50_000
_DEEPEST: Final = 200
_FORMATTING_DEPTH: Final = 24
_MOST_ATTRIBUTES: Final = 40
_FORMATTING: Final = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
#: Elements whose content is no HTML.  Of a style sheet it is kept, of the others it is left out.
_RAW: Final = frozenset(
    {
        "iframe",
        "noembed",
        "noframes",
        "noscript",
        "plaintext",
        "script",
        "style",
        "template",
        "textarea",
        "title",
        "xmp",
    }
)
#: Elements whose end tag may be missing: the next one of the same name ends them.
_UNCLOSED: Final = frozenset({"dd", "dt", "li", "option", "p", "td", "th", "tr"})
_NAME: Final = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9]{0,30})(?=[\s/>]|$)")
_TAG: Final = re.compile(r"""(?s)<[^"'<>]*+(?:(?:"[^"]{0,20000}+"|'[^']{0,20000}+')[^"'<>]*+)*+>""")
_START: Final = re.compile(r"<[a-zA-Z]")
_ATTRIBUTE: Final = re.compile(
    r"""(?s)([a-zA-Z][a-zA-Z0-9_-]{0,40})(?:\s{0,20}+=\s{0,20}+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++)))?"""
)


class _BoundedWriter:
    """The document written anew: its pieces, and the elements that are open."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self._open: list[str] = []
        self._formatting = 0
        self.tags = 0
        self._references = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more is written."""
        return self.tags >= _MOST_TAGS or self._references >= _MOST_REFERENCES

    def text(self, source: str) -> None:
        """Write text, which may have references."""
        self._append(html.escape(html.unescape(source), quote=False))

    def _append(self, written: str) -> None:
        self._references += written.count("&")
        if self._references < _MOST_REFERENCES:
            self.made.append(written)

    def start(self, name: str, attributes: str) -> None:
        """Write a start tag, if there is room for it."""
        self.tags += 1
        if name in _UNCLOSED and self._open and self._open[-1] == name:
            self.end(name)
        if name not in _VOID:
            formatting = name in _FORMATTING
            if len(self._open) >= _DEEPEST or (formatting and self._formatting >= _FORMATTING_DEPTH):
                return
            self._open.append(name)
            self._formatting += formatting
        found: dict[str, str] = {}
        for match in _ATTRIBUTE.finditer(attributes):
            found.setdefault(match[1].lower(), html.unescape(match[2] or match[3] or match[4] or ""))
            if len(found) >= _MOST_ATTRIBUTES:
                break
        written = "".join(f' {each}="{html.escape(value)}"' for each, value in found.items())
        self._append(f"<{name}{written}>")

    def end(self, name: str) -> None:
        """Write an end tag, and those of the elements within."""
        if name not in self._open:
            return
        while True:
            last = self._open.pop()
            self._formatting -= last in _FORMATTING
            self.made.append(f"</{last}>")
            if last == name:
                return


def bounded_html(source: str) -> str:
    """The HTML written anew: well nested, without comments and scripts; what is beyond the bounds is left out."""
    source = source[:_LONGEST].replace("\x00", "")
    lowered = "".join(sign.lower() if sign.isascii() else sign for sign in source)
    writer = _BoundedWriter()
    at, size = 0, len(source)
    while at < size and not writer.is_full:
        opened = source.find("<", at)
        if opened < 0:
            opened = size
        if opened > at:
            writer.text(source[at:opened])
        at = opened
        if at >= size:
            break
        if source.startswith("<!--", at):
            end = source.find("-->", at + 4)
            at = size if end < 0 else end + 3
            continue
        name = _NAME.match(source, at + 1, at + 40)
        if name is None:
            at = _behind_no_tag(writer, source, at)
            continue
        whole = _TAG.match(source, at)
        end = whole.end() if whole is not None else source.find(">", at) + 1
        if not end:
            break  # a tag that never ends
        element = name[2].lower()
        if name[1]:
            writer.end(element)
        elif element in _RAW:
            closing = lowered.find(f"</{element}", end)
            if element == "style" and closing >= 0:
                writer.made.append(f"<style>{source[end:closing].replace('<', '')}</style>")
            end = size if closing < 0 else closing
            writer.tags += 1
        else:
            writer.start(element, source[name.end() : end - 1])
        at = end
    return "".join(writer.made)


def exceeds_bounds(source: str) -> bool:
    """Whether ``bounded_html`` ends before the source does; comments and scripts count as if they were shown."""
    return (
        len(source) > _LONGEST
        or source.count("&") >= _MOST_REFERENCES
        or (source.count("<") >= _MOST_TAGS and len(_START.findall(source)) >= _MOST_TAGS)
    )


def _behind_no_tag(writer: _BoundedWriter, source: str, at: int) -> int:
    """Where to go on behind a ``<`` that begins no tag of an element: it is text, or a declaration to leave out."""
    if source[at + 1 : at + 2] in ("!", "?", "/"):
        end = source.find(">", at)
        return len(source) if end < 0 else end + 1
    writer.text("&lt;")
    return at + 1
