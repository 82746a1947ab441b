"""What an HTML message makes use of: elements, attributes, and of CSS properties, selectors, functions and units.

The scan is by regular expressions that read each character a bounded number of times, because the HTML is anybody's; it
finds what is written, not what a browser would make of it.  Each use has a key, by which ``html_support`` asks for it:

    =====================  ===================================================================
    ``<video>``            an element; ``input:text`` an input of a type
    ``attr:align``         an attribute
    ``prop:color``         a CSS property; ``decl:display:flex`` a property with its value
    ``at:@import``         a rule; ``media:hover`` a media feature
    ``:hover`` ``::after`` pseudo-classes and pseudo-elements
    ``sel:child``          a kind of selector or combinator
    ``fn:calc``            a function; ``unit:rem`` a unit; ``word:initial`` a word in a value
    ``image:webp``         a picture's format, by its name or ``data:`` address
    ``link:mailto``        a kind of link (``link:local`` within the message)
    ``html:comment``       comments, ``html:doctype``, ``css:comment``, ``css:nesting``
    =====================  ===================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from posthouse.message.reading.readable_text import attributes_of, pieces_of_html

__all__ = ["features_in"]

_LONGEST_VALUE: Final = 2000
_BARE: Final = ("hidden", "required", "inert", "popover")
_QUOTED: Final = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_CHUNK: Final = re.compile(r"([^{};]*+)([{};]|\Z)")
_DECLARATION: Final = re.compile(r"\s*+(--[\w-]++|-?[a-zA-Z][a-zA-Z-]*+)\s*+:\s*+(.++)", re.DOTALL)
_FUNCTION: Final = re.compile(r"(?<![\w-])([a-z][a-z-]*+)\(")
_UNIT: Final = re.compile(r"(?<![\w#.-])[+-]?(?:[0-9]++(?:\.[0-9]++)?|\.[0-9]++)(%|[a-z]{1,4}\b)")
_WORD: Final = re.compile(r"!?[a-z][a-z-]*+")
_PSEUDO: Final = re.compile(r"::?[a-z][a-z-]*+")
_MEDIA: Final = re.compile(r"\(\s*+(?:-webkit-)?(?:min-|max-)?([a-z-]++)")
_NAME: Final = r"[a-z0-9_*\]\)-]"
_SELECTORS: Final = {
    "sel:adjacent": re.compile(r"\+(?![0-9n])"),
    "sel:sibling": re.compile(r"~(?!=)"),
    "sel:child": re.compile(r">"),
    "sel:class": re.compile(r"\.[a-z_-]"),
    "sel:id": re.compile(r"#[a-z_-]"),
    "sel:attribute": re.compile(r"\["),
    "sel:universal": re.compile(r"\*(?!=)"),
    "sel:grouping": re.compile(r","),
    "sel:type": re.compile(r"(?:^|[\s,>+~])[a-z]"),
    "sel:chaining": re.compile(_NAME + r"[.#\[]"),
    "sel:descendant": re.compile(_NAME + r"\s++(?![>+~,\s])[a-z.#*\[:]"),
}
_FORMATS: Final = {"jpeg": "jpg", "svg+xml": "svg", "x-icon": "ico", "tif": "tiff", "heic": "heif"}


def features_in(source: str) -> Counter[str]:
    """Each key with the number of its uses."""
    found: Counter[str] = Counter()
    if re.match(r"\s*+<!doctype html\s*+>", source[:1000], re.IGNORECASE):
        found["html:doctype"] += 1
    found["html:comment"] += source.count("<!--")
    for name, _, written in pieces_of_html(source):
        if name and not name.startswith("/"):
            _element(found, name, written)
    for sheet in _style_sheets(source):
        _style_sheet(found, sheet)
    return +found


def _element(found: Counter[str], name: str, written: str) -> None:
    found[f"<{name}>"] += 1
    attributes = attributes_of(written)
    for each in attributes:
        found[f"attr:{each}"] += 1
    bare = _QUOTED.sub("", written[:16_384]).lower().split()
    for each in _BARE:
        if each in bare:
            found[f"attr:{each}"] += 1
    if name == "input":
        found[f"input:{attributes.get('type', 'text').lower()[:20]}"] += 1
    if name == "button":
        found[f"button:{attributes.get('type', 'submit').lower()[:20]}"] += 1
    if name == "meta" and attributes.get("name", "").lower() in ("color-scheme", "supported-color-schemes"):
        found["meta:color-scheme"] += 1
    target = attributes.get("href", "").strip().lower()
    if name in ("a", "area") and target.startswith(("#", "mailto:")):
        found["link:local" if target.startswith("#") else "link:mailto"] += 1
    if name == "img":
        _picture(found, attributes.get("src", ""))
    if style := attributes.get("style"):
        for each in style.split(";"):
            _declaration(found, each)


def _picture(found: Counter[str], address: str) -> None:
    text = address.strip().lower()
    if text.startswith("data:image/"):
        found["image:base64"] += 1
        ending = re.split(r"[;,]", text[11:60])[0]
    else:
        name = text.split("?")[0].split("#")[0].rpartition("/")[2]
        ending = name.rpartition(".")[2] if "." in name else ""
    if ending.replace("+", "").isalnum() and len(ending) < 9:
        found[f"image:{_FORMATS.get(ending, ending)}"] += 1


def _style_sheets(source: str) -> Iterator[str]:
    lowered, at = source.lower(), 0
    while (opened := lowered.find("<style", at)) >= 0:
        begin = lowered.find(">", opened)
        if begin < 0:
            return
        end = lowered.find("</style", begin)
        yield source[begin + 1 : end if end >= 0 else len(source)]
        if end < 0:
            return
        at = end


def _style_sheet(found: Counter[str], sheet: str) -> None:
    text = _without_comments(found, sheet)
    blocks: list[bool] = []  # the open blocks: whether each is a rule with a selector
    for match in _CHUNK.finditer(text):
        chunk, end = match[1].strip(), match[2]
        if end == "{":
            rule = not chunk.startswith("@")
            if rule and blocks and blocks[-1]:
                found["css:nesting"] += 1
            if rule:
                _selector(found, chunk)
            else:
                _at_rule(found, chunk)
            blocks.append(rule)
        elif chunk.startswith("@"):
            _at_rule(found, chunk)
        elif chunk:
            _declaration(found, chunk)
        if end == "}" and blocks:
            blocks.pop()


def _without_comments(found: Counter[str], sheet: str) -> str:
    """A style sheet without its comments; one that does not close goes to the end (CSS Syntax §4.3.2)."""
    pieces, at = [], 0
    while (opened := sheet.find("/*", at)) >= 0:
        pieces.append(sheet[at:opened])
        found["css:comment"] += 1
        closed = sheet.find("*/", opened + 2)
        if closed < 0:
            return " ".join(pieces)
        at = closed + 2
    return " ".join([*pieces, sheet[at:]])


def _at_rule(found: Counter[str], text: str) -> None:
    text = text[:_LONGEST_VALUE].lower()
    name = re.split(r"[\s(\"']", text, maxsplit=1)[0]
    found[f"at:{name}"] += 1
    if name == "@media":
        for each in _MEDIA.findall(text):
            found[f"media:{each}"] += 1


def _selector(found: Counter[str], text: str) -> None:
    text = _QUOTED.sub("", text[:_LONGEST_VALUE].lower())
    for each in set(_PSEUDO.findall(text)):
        found[each] += 1
    for key, pattern in _SELECTORS.items():
        if pattern.search(text):
            found[key] += 1


def _declaration(found: Counter[str], text: str) -> None:
    match = _DECLARATION.match(text[:_LONGEST_VALUE])
    if match is None:
        return
    name, value = match[1].lower(), _QUOTED.sub("", match[2].strip().lower())
    if name.startswith("--"):
        found["css:variable"] += 1
        return
    found[f"prop:{name}"] += 1
    found[f"decl:{name}:{value.removesuffix('!important').strip()[:40]}"] += 1
    for prefix, pattern in (("fn:", _FUNCTION), ("unit:", _UNIT), ("word:", _WORD)):
        for each in set(pattern.findall(value)):
            found[prefix + each] += 1
