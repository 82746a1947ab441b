"""Text that people read: HTML as plain text, links, and one-time codes.

HTML is cut into tags and text by searches that never go back, so that time is linear in its length whatever is left
open.  The result is for reading and testing; it is not HTML that was made safe.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

__all__ = ["codes_in", "links_in_html", "links_in_text", "pictures_in_html", "text_of_html"]

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
#: What stands near a one-time code.
_NEAR: Final = re.compile(
    r"(?i)\b(?:code|passcode|pin|otp|one[- ]time|verification|verify|security|confirmation|token|login|sign[- ]in)\b"
    "|验证码|校验码|动态码|动态密码|验证代码|确认码|驗證碼|認證碼|認証コード|確認コード|인증번호|код|c[oó]digo"
)
_CODE: Final = re.compile(
    r"(?<![\w.,/@#-])(?:[A-Z]{1,3}-)?(?:(\d{3})[ \u00a0-](\d{3})|(\d{4,8})"
    r"|([A-Z0-9]{3,4}-[A-Z0-9]{3,4}|(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,8}))"
    r"(?![\w@/-]|[.,]\d)"
)
_NEARBY: Final = 120  # characters between a code and the word that announces it


def _pieces(source: str) -> Iterator[tuple[str, str, str]]:
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


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text[:16_384]):
        found.setdefault(match[1].lower(), html.unescape(match[2] or match[3] or match[4] or ""))
    return found


def text_of_html(source: str) -> str:
    """HTML as lines of text: blocks begin lines, links keep their address, scripts and styles are left out."""
    made: list[str] = []
    links: list[tuple[str, int]] = []
    silent = 0
    for tag, text, attributes in _pieces(source):
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
            words = _attributes(attributes).get("alt", "").strip()
            made.append(f"[{words}]" if words and not silent else "")
        elif tag == "a" and len(links) < 1000:
            links.append((_attributes(attributes).get("href", ""), len(made)))
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
    for tag, text, attributes in _pieces(source):
        if tag in ("a", "area"):
            target = _attributes(attributes).get("href", "").strip()
            if target.lower().startswith(("http:", "https:", "mailto:", "tel:")):
                found[target] = None
        elif text and "://" in text:
            found.update(dict.fromkeys(links_in_text(text)))
    return list(found)


def pictures_in_html(source: str) -> list[str]:
    """The web addresses of the pictures of HTML, each once, in their order."""
    found: dict[str, None] = {}
    for tag, _, attributes in _pieces(source):
        if tag in ("img", "table", "td", "th", "body", "input", "source", "video"):
            named = _attributes(attributes)
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


def codes_in(text: str) -> list[str]:
    """One-time codes in a text, without the blanks and hyphens that group digits; the likeliest first.

    A code is a word of four to eight digits or capital letters that stands near a word such as *code* or *验证码*;
    without such a word there is none.
    """
    announced = [match.span() for match in _NEAR.finditer(text)]
    found: list[tuple[int, int, str]] = []
    nth = 0
    for match in _CODE.finditer(text):
        while nth + 1 < len(announced) and announced[nth + 1][0] <= match.start():
            nth += 1
        distances = [
            match.start() - end if end <= match.start() else (start - match.end()) * 2
            for start, end in announced[nth : nth + 2]
            if end <= match.start() or start >= match.end()
        ]
        near = min(distances, default=_NEARBY + 1)
        if near <= _NEARBY:
            code = match[1] + match[2] if match[1] else match[3] or match[4]
            found.append((near, match.start(), code))
    return list(dict.fromkeys(code for _, _, code in sorted(found)))
