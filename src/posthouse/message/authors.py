"""Authors of a message: the addresses in From and Sender (RFC 5322 §3.6.2), read strictly.

A submission server that checks them must not read another address than a mail program shows.  So what the grammar does
not allow is an error and no guess: two From fields, two addresses behind each other, text behind an address.  The
obsolete forms (§4.4) and groups (RFC 6854) are read.  Many programs show the display name alone, so an address in it
counts as one more author: bare (``ann@x.test <bob@x.test>``), quoted, in encoded words (RFC 2047), as the name of a
group, or in a comment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Final

from posthouse.core import Address

__all__ = ["Unreadable", "authors", "from_addresses"]

#: Octets of a field, and mailboxes in it.
_FIELD_AT_MOST: Final = 16_384
_USUAL_AT_MOST: Final = 500
_MAILBOXES_AT_MOST: Final = 100

_FIELD: Final = re.compile(rb"[!-9;-~]++[ \t]*+:")
_NAMED: Final = re.compile(rb"(from|sender)[ \t]*+:", re.IGNORECASE)
_INITIALS: Final = (b"F", b"f", b"S", b"s")
# From as most messages have it: a phrase or a quoted string, and one address; nothing of it needs a closer look.
_WORD: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
_USUAL: Final = re.compile(
    rb'[ \t]*+(?:(?:(?:%s[ \t]*+)*+|"[^"\\\r\n]*+"[ \t]*+)(<))?'
    rb"(%s(?:\.%s)*+)@(%s(?:\.%s)*+)(>)?[ \t]*+" % ((_WORD,) * 5)
)
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t]+)
    | (?P<quoted>"(?:[^"\\]|\\.)*+")
    | (?P<literal>\[[^\[\]\\<>@,;:"]*+\])
    | (?P<special>[<>@,;:.])
    | (?P<atom>[^\x00-\x20()<>@,;:.\[\]\\"\x7f]++)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
#: An address in a display name, with the letters and signs that other signs are compatible to (``＠``).
_SHOWN: Final = re.compile(r"""([^\s<>()\[\]",;:@]++)@([^\s<>()\[\]",;:@]+\.[^\s<>()\[\]",;:@.]+)""")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

_Token = tuple[str, str]


class Unreadable(ValueError):
    """The authors cannot be told; the message is the end of a sentence, and quotes nothing of the field."""


def authors(headers: bytes) -> list[Address]:
    """The addresses in From and in Sender, at least one.

    ``headers`` is everything before the first empty line, also lines that are no fields.  Raises ``Unreadable``.
    """
    found = _fields(headers, (b"from", b"sender"))
    named = _addresses("From", found[b"from"])
    if b"sender" in found:
        sender = _addresses("Sender", found[b"sender"])
        if len(sender) > 1:
            raise Unreadable("Sender has more than one address")
        named += sender
    return named


def from_addresses(headers: bytes) -> list[Address]:
    """The addresses in From, at least one, without those that only a display name or a comment shows.

    DMARC judges these (RFC 9989 §5.3.1).  ``headers`` as for ``authors``.  Raises ``Unreadable``.
    """
    value = _fields(headers, (b"from",))[b"from"]
    usual = _USUAL.fullmatch(value) if len(value) <= _USUAL_AT_MOST and value.isascii() else None
    if usual is not None and (usual[1] is None) == (usual[4] is None):
        return [Address(usual[2].decode(), usual[3].decode())]
    return _addresses("From", value, shown=False)


def _fields(headers: bytes, names: Collection[bytes]) -> dict[bytes, bytes]:
    """The values of the fields of these names; From is there."""
    found: dict[bytes, bytes] = {}
    # Programs differ in what they take for the end of a line, and a field that only some see must not pass.
    ends = headers.count(b"\r\n")
    if headers.count(b"\r") != ends or headers.count(b"\n") != ends:
        raise Unreadable("a header line ends with CR or LF alone")
    lines = headers.split(b"\r\n")
    for at, line in enumerate(lines):
        match = _NAMED.match(line) if line[:1] in _INITIALS else None
        if match is None or match[1].lower() not in names:
            continue
        name = match[1].lower()
        if name in found:
            raise Unreadable(f"the message has two {name.decode().title()} fields")
        found[name] = line[match.end() :] + _folded(name, lines, at + 1)
    if b"from" not in found:
        raise Unreadable("the message has no From field")
    return found


def _folded(name: bytes, lines: list[bytes], at: int) -> bytes:
    """The lines from ``at`` on that continue a field."""
    value = b""
    while at < len(lines) and lines[at][:1] in (b" ", b"\t") and len(value) <= _FIELD_AT_MOST:
        value += lines[at]
        at += 1
    if at < len(lines) and lines[at][:1] not in (b"", b" ", b"\t") and _FIELD.match(lines[at]) is None:
        raise Unreadable(f"a line behind {name.decode().title()} is no field")
    return value


def _addresses(name: str, value: bytes, *, shown: bool = True) -> list[Address]:
    if len(value) > _FIELD_AT_MOST:
        raise Unreadable(f"{name} is longer than {_FIELD_AT_MOST:,} octets")
    comments: list[str] = []
    try:
        found = _List(_tokens(value.decode("utf-8", "replace"), comments), shown).read()
        for comment in comments if shown else ():
            found += _shown(comment)
    except ValueError as error:
        raise Unreadable(f"{name} cannot be read: {error}") from error
    if not found:
        raise Unreadable(f"{name} has no address")
    if len(found) > _MAILBOXES_AT_MOST:
        raise Unreadable(f"{name} has more than {_MAILBOXES_AT_MOST} addresses")
    return found


def _tokens(text: str, comments: list[str]) -> list[_Token]:
    """The value's tokens without spaces; those of one kind that touch stay apart.  What stands in parentheses is
    appended to ``comments``."""
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] == "(":
            end = _behind_comment(text, at)
            comments.append(_ESCAPED.sub(r"\1", text[at:end]))
            at = end
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError("a character stands where the grammar has none")
        at = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append((kind, match[0]))
    return tokens


def _behind_comment(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        match = _COMMENT.match(text, at)
        if match is None:
            break
        at = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return at
    raise ValueError("a comment does not end")


class _List:
    """Reader of an address list (RFC 5322 §3.4)."""

    def __init__(self, tokens: list[_Token], shown: bool) -> None:
        self._tokens = tokens
        self._shown = shown  # addresses in display names count
        self._at = 0
        self._in_group = False
        self._found: list[Address] = []

    def read(self) -> list[Address]:
        """The addresses.  Raises ValueError."""
        while self._at < len(self._tokens):
            words = self._until("<,;:>")
            end = self._next()
            if end == "<":
                self._angle(words)
            elif end == ":":
                self._open_group(words)
            elif end == ">":
                raise ValueError("> stands without <")
            else:
                if words:
                    self._found.append(_address(words))
                self._ended(end)
        if self._in_group:
            raise ValueError("a group does not end")
        return self._found

    def _until(self, ends: str) -> list[_Token]:
        start = self._at
        while self._at < len(self._tokens) and self._tokens[self._at][1] not in ends:
            self._at += 1
        return self._tokens[start : self._at]

    def _next(self) -> str:
        """The next token's text, "" at the end."""
        self._at += 1
        return self._tokens[self._at - 1][1] if self._at <= len(self._tokens) else ""

    def _angle(self, words: list[_Token]) -> None:
        """``name <address>``, or ``<@route:address>``."""
        if ("special", "@") in words:
            if self._shown:
                self._found.append(_address(words))
        elif self._shown:
            self._found += _shown(_text(words))
        inside = self._until("<>;")
        if self._next() != ">":
            raise ValueError("< stands without >")
        if inside[:1] == [("special", "@")]:  # obs-route
            colon = next((at for at, token in enumerate(inside) if token == ("special", ":")), len(inside))
            inside = inside[colon + 1 :]
        self._found.append(_address(inside))
        end = self._next()
        if end not in ("", ",", ";"):
            raise ValueError("text stands behind an address")
        self._ended(end)

    def _open_group(self, words: list[_Token]) -> None:
        if self._in_group or not words or ("special", "@") in words:
            raise ValueError("a colon stands where no group begins")
        if self._shown:
            self._found += _shown(_text(words))
        self._in_group = True

    def _ended(self, end: str) -> None:
        """A mailbox has ended, or nothing stood before a comma; ``;`` ends the group."""
        if end != ";":
            return
        if not self._in_group:
            raise ValueError("a semicolon stands outside a group")
        self._in_group = False
        if self._next() not in ("", ","):
            raise ValueError("text stands behind a group")


def _text(words: list[_Token]) -> str:
    """The display name that these tokens are: a space between two words, none beside a dot."""
    made = ""
    for kind, text in words:
        if made and made[-1] != "." and kind != "special":
            made += " "
        made += _ESCAPED.sub(r"\1", text[1:-1]) if kind == "quoted" else text
    return made


def _shown(name: str) -> Iterator[Address]:
    """The addresses that a person reads in a display name or a comment."""
    if "=?" in name:
        from posthouse.message.reading.encoded_text import decode_words

        name = decode_words(name).text
    for match in _SHOWN.finditer(unicodedata.normalize("NFKC", name)):
        yield Address(match[1], match[2])


def _address(tokens: list[_Token]) -> Address:
    """The address that the tokens are (addr-spec).  Raises ValueError."""
    at = next((number for number, token in enumerate(tokens) if token == ("special", "@")), -1)
    if at < 0:
        raise ValueError("a name stands where an address is wanted")
    local, domain = tokens[:at], tokens[at + 1 :]
    if len(domain) == 1 and domain[0][0] == "literal":
        host = domain[0][1]
    else:
        host = _dotted(domain, ("atom",))
    return Address(_dotted(local, ("atom", "quoted")), host)


def _dotted(tokens: list[_Token], kinds: tuple[str, ...]) -> str:
    """Words with a dot between each two."""
    for number, (kind, text) in enumerate(tokens):
        if text != "." if number % 2 else kind not in kinds:
            raise ValueError("an address has a form that is not allowed")
    if len(tokens) % 2 == 0:
        raise ValueError("an address has a form that is not allowed")
    return "".join(_ESCAPED.sub(r"\1", text[1:-1]) if kind == "quoted" else text for kind, text in tokens)
