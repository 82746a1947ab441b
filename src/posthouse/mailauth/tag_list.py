"""Tag=value lists of DKIM, ARC and DMARC (RFC 6376 §3.2), read strictly.

The grammar is checked as a whole, by a few searches over the octets: time is linear in the length.  Non-ASCII text is
allowed where it is UTF-8 (RFC 8616 §4).  One departure: white space may follow the last ";", because signers write it
and no reader can take it for something else.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

__all__ = ["Malformed64", "TAGS_LIMIT", "TagFault", "TagList", "decode_base64", "read_tags", "split_list", "unfolded"]

#: Most tags of one list; more are malformed.
TAGS_LIMIT: Final = 64

_FOLD = re.compile(rb"\r\n(?=[ \t])")
# tag-name = ALPHA *ALNUMPUNC
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*+")
# VALCHAR, WSP, and what is not ASCII; ";" has been taken by the split.
_NO_VALUE_OCTETS: Final = bytes(octet for octet in range(128) if not (0x20 <= octet <= 0x7E or octet == 0x09))
# Names that need no look at their letters.
_USUAL: Final = frozenset(["v", "a", "b", "bh", "c", "d", "h", "i", "l", "q", "s", "t", "x", "z", "k", "n", "p"])
# ALPHADIGITPS with the padding of RFC 4648.
_BASE64 = re.compile(r"[A-Za-z0-9+/]++={0,2}")
_COLON = re.compile(r"[ \t]*+:[ \t]*+")

TagList = dict[str, str]
"""Tag name → value, in the order of the text; folds are removed, and white space at the ends of each value."""


class TagFault(ValueError):
    """A tag=value list, or the value of a tag, that breaks the grammar; the text says how, in words."""


class Malformed64(TagFault):
    """A value that must be base64 and is not."""


def unfolded(value: bytes) -> bytes:
    """The octets of a value on one line: each CRLF before white space is removed.

    Raises:
        TagFault: A CR or LF remains, which is no folding white space.
    """
    if b"\n" in value or b"\r" in value:
        value = _FOLD.sub(b"", value)
        if b"\n" in value or b"\r" in value:
            raise TagFault("a line end stands where no line is folded")
    return value


def read_tags(value: bytes) -> TagList:
    """The tags of a list: a field's value without its last CRLF, or the text of a DNS record.

    Raises:
        TagFault: The list breaks the grammar: a part without "=", a malformed or repeated name, an empty part, an octet
            that no value may hold, more than ``TAGS_LIMIT`` tags.
    """
    if len(value.translate(None, _NO_VALUE_OCTETS)) != len(value):
        value = unfolded(value)
        if len(value.translate(None, _NO_VALUE_OCTETS)) != len(value):
            raise TagFault("the list holds a control character")
    try:
        text = value.decode("ascii" if value.isascii() else "utf-8")
    except UnicodeDecodeError:
        raise TagFault("the list holds octets that are not UTF-8") from None
    parts = text.split(";", TAGS_LIMIT + 1)
    if not parts[-1].strip(" \t"):
        parts.pop()
    if len(parts) > TAGS_LIMIT:
        raise TagFault(f"the list has more than {TAGS_LIMIT} tags")
    tags: TagList = {}
    for part in parts:
        name, equals, found = part.partition("=")
        name = name.strip(" \t")
        if not equals:
            raise TagFault(_without_equals(part.strip(" \t")))
        if name in tags:
            raise TagFault(f"the tag {name}= stands twice")
        if name not in _USUAL and _NAME.fullmatch(name) is None:
            raise TagFault(f"{name!r:.40} is not the name of a tag")
        tags[name] = found.strip(" \t")
    if not tags:
        raise TagFault("the list is empty")
    return tags


def _without_equals(part: str) -> str:
    if not part:
        return "there is nothing between two semicolons"
    return f"{part!r:.40} has no '=': a tag is written name=value"


def split_list(value: str) -> list[str]:
    """The parts of a colon-separated value (``h=``, ``s=``, ``t=``), without white space around them.

    Raises:
        TagFault: A part is empty.
    """
    parts = _COLON.split(value)
    if "" in parts:
        raise TagFault("there is nothing before or after a colon" if value else "the value is empty")
    return parts


def decode_base64(value: str) -> bytes:
    """The octets that a base64 value stands for; white space in it is ignored (RFC 6376 §2.10).

    Raises:
        Malformed64: The value is empty, holds other characters, or ends early.
    """
    packed = value.replace(" ", "").replace("\t", "")
    try:
        found = binascii.a2b_base64(packed, strict_mode=True)
    except ValueError:  # binascii.Error is one
        if _BASE64.fullmatch(packed) is None:
            raise Malformed64("it holds characters that base64 does not have") from None
        raise Malformed64("its base64 text is incomplete") from None
    if not found:
        raise Malformed64("it is empty")
    return found
