"""Text that people read: HTML as plain text, and links.

HTML is cut into tags and text by searches that never go back, so that time is linear in its length whatever is left
open.  The result is for reading and testing; it is not HTML that was made safe.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

__all__ = [
    "attributes_of",
    "links_in_html",
    "links_in_text",
    "pictures_in_html",
    "pieces_of_html",
    "text_of_html",
]

_SILENT: Final = frozenset({"head", "script", "style", "template", "title", "noscript"})
#: Elements whose content is no HTML: it ends at their end tag alone.
_RAW: Final = frozenset({"script", "style", "title", "textarea", "template"})
_BLOCKS: Final = frozenset(
    {
        *("address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre"),
        *("section", "table", "tr", "ul"),
    }
)
_PARAGRAPHS: Final = frozenset(["h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"])
_TAG: Final = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9]*)")
# A quotation is looked for within 1,000 characters, so that many that do not close take no long time.
_WHOLE_TAG: Final = re.compile(r"""(?s)<[^"'>]*+(?:(?:"[^"]{0,1000}+"|'[^']{0,1000}+')[^"'>]*+)*+>""")
_ATTRIBUTE: Final = re.compile(
    r"""(?s)(?<![a-zA-Z0-9_:.-])([a-zA-Z_:][a-zA-Z0-9_:.-]*+)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))"""
)
_URL: Final = re.compile(r"""(?i)\b(?:https?://|www\.)[^\s<>"'\u3000-\u303f\uff00-\uffef]{1,2000}""")
_NOT_AT_THE_END: Final = ".,;:!?'\"*_"


def pieces_of_html(source: str) -> Iterator[tuple[str, str, str]]:
    """Text and tags in their order: ("", text, ""), (name, "", attributes) and ("/name", "", "")."""
    lowered = source.lower()
    at, size = 0, len(source)
    if len(lowered) != size:  # a character whose small form has another length: names of tags are ASCII
        lowered = "".join(sign.lower() if sign.isascii() else sign for sign in source)
    while at < size:
        opened = source.find("<", at)
        if opened < 0:
            opened = size
        if opened > at:
            yield "", html.unescape(source[at:opened]), ""
        if opened >= size:
            return
        at = opened
        if source.startswith("<!--", at):
            end = source.find("-->", at + 4)
            at = size if end < 0 else end + 3
            continue
        end = _end_of_tag(source, at)
        if end < 0:
            yield "", html.unescape(source[at:]), ""
            return
        match = _TAG.match(source, at + 1, end)
        if match is None:
            if source[at + 1 : at + 2] in ("!", "?", "/"):
                at = end + 1
            else:
                yield "", "<", ""
                at += 1
            continue
        name = match[2].lower()
        yield match[1] + name, "", source[match.end() : end]
        at = end + 1
        if not match[1] and name in _RAW:
            closing = lowered.find(f"</{name}", at)
            if closing < 0:
                return
            if name not in _SILENT:
                yield "", html.unescape(source[at:closing]), ""
            at = closing


def _end_of_tag(source: str, at: int) -> int:
    """Where a tag ends: at the next ``>`` outside of quotation marks, or at the next of all if one does not close."""
    match = _WHOLE_TAG.match(source, at)
    return match.end() - 1 if match is not None else source.find(">", at)


def attributes_of(text: str) -> dict[str, str]:
    """The attributes of a tag that have values, by name; of the first 16,384 characters."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text[:16_384]):
        found.setdefault(match[1].lower(), html.unescape(match[2] or match[3] or match[4] or ""))
    return found


def text_of_html(source: str) -> str:
    """HTML as lines of text: blocks begin lines, links keep their address, scripts and styles are left out."""
    made: list[str] = []
    links: list[tuple[str, int]] = []
    silent = 0
    for tag, text, attributes in pieces_of_html(source):
        name = tag.removeprefix("/")
        if text:
            if not silent:
                made.append(re.sub(r"\s+", " ", text))
        elif name in _SILENT and name not in _RAW:
            silent = max(0, silent + (-1 if tag.startswith("/") else 1))
        elif tag in ("body", "/head"):
            silent = 0
        elif name == "br":
            made.append("\n")
        elif name in _BLOCKS:
            made.append("\n\n" if name in _PARAGRAPHS else "\n")
            made.append("- " if tag == "li" else "")
        elif tag in ("td", "th"):
            made.append("  ")
        elif tag == "img":
            words = attributes_of(attributes).get("alt", "").strip()
            made.append(f"[{words}]" if words and not silent else "")
        elif tag == "a" and len(links) < 1000:
            links.append((attributes_of(attributes).get("href", ""), len(made)))
        elif tag == "/a" and links:
            target, start = links.pop()
            words = "".join(made[start:]).strip()
            if target.startswith(("http:", "https:", "mailto:")) and target.removeprefix("mailto:") != words:
                made.append(f" <{target}>")
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in "".join(made).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def links_in_html(source: str) -> list[str]:
    """The addresses of the links of HTML, each once, in their order."""
    found: dict[str, None] = {}
    for tag, text, attributes in pieces_of_html(source):
        if tag in ("a", "area"):
            target = attributes_of(attributes).get("href", "").strip()
            if target.lower().startswith(("http:", "https:", "mailto:", "tel:")):
                found[target] = None
        elif text and "://" in text:
            found.update(dict.fromkeys(links_in_text(text)))
    return list(found)


def pictures_in_html(source: str) -> list[str]:
    """The web addresses of the pictures of HTML, each once, in their order."""
    found: dict[str, None] = {}
    for tag, _, attributes in pieces_of_html(source):
        if tag in ("img", "table", "td", "th", "body", "input", "source", "video"):
            named = attributes_of(attributes)
            for name in ("src", "background", "poster"):
                target = named.get(name, "").strip()
                if target.lower().startswith(("http:", "https:")):
                    found[target] = None
    return list(found)


def links_in_text(text: str) -> list[str]:
    """The web addresses in plain text, each once, in their order, without the punctuation of the sentence around."""
    found: dict[str, None] = {}
    for match in _URL.finditer(text):
        url = match[0].rstrip(_NOT_AT_THE_END)
        for opening, closing in ("()", "[]"):
            unopened = url.count(closing) - url.count(opening)
            while unopened > 0 and url.endswith(closing):
                url, unopened = url[:-1].rstrip(_NOT_AT_THE_END), unopened - 1
        if "://" in url and not url.endswith("://"):
            found[url] = None
        elif url.lower().startswith("www.") and "." in url[4:]:
            found[f"http://{url}"] = None
    return list(found)
