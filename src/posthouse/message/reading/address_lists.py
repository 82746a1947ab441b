"""Mailboxes of address fields as other programs wrote them (RFC 5322 §3.4, §4.4), read without ever refusing one.

The list is taken apart before encoded words are decoded, so a comma within a name never separates mailboxes.  Time is
linear: one expression cuts the value into tokens, and each token is looked at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from posthouse.core import Address
from posthouse.message.reading.encoded_text import decode_words

__all__ = ["ReadMailbox", "read_mailboxes"]

_MOST: Final = 10_000
_TOKEN: Final = re.compile(
    r"""(?sx)
    (?P<space>[ \t\r\n]++) | (?P<quoted>"(?:[^"\\]|\\.)*+"?) | (?P<literal>\[[^\]\[<>,;"]*+\]?)
    | (?P<special>[<>,;:@()\]]) | (?P<atom>[^\s"()<>,;:@\[\]]++) | (?P<other>.)
    """
)
# One mailbox of the usual forms, up to its comma: nothing in it needs a closer look.
_ATOM: Final = r"""[^\s"\\()<>,;:@\[\]?]++"""
_HOST: Final = r"[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+"
_USUAL: Final = re.compile(
    rf"""[ \t]*+(?:(?:"([^"\\@]*+)"|([^"\\()<>,;:@\[\]]*+))[ \t]*+<({_ATOM})@({_HOST})>|({_ATOM})@({_HOST}))"""
    r"[ \t]*+(?:,|\Z)"
)
_IN_COMMENT: Final = re.compile(r"(?s)\\.|[()]")
_ESCAPED: Final = re.compile(r"(?s)\\(.)")
_ENCODED_ADDRESS: Final = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?]*\?=")


class ReadMailbox(NamedTuple):
    """One mailbox: its display name, "" for none, and its address, None where there is none."""

    name: str
    address: Address | None
    #: The name of the group that it stands in (RFC 5322 §3.4), "" outside of one.
    group: str = ""

    def __str__(self) -> str:
        if self.address is None:
            return self.name
        return f"{self.name} <{self.address}>" if self.name else str(self.address)


#: Called with the code and the sentence of a defect.
_Tell = Callable[[str, str], object]


class _Item:
    """The tokens of one mailbox."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str]] = []  # kind and text, before the angle bracket or without one
        self.angle: list[tuple[str, str]] | None = None
        self.behind: list[tuple[str, str]] = []  # behind the angle bracket
        self.comment = ""

    @property
    def empty(self) -> bool:
        return not (self.words or self.comment or self.angle is not None)


def read_mailboxes(value: str, hints: Sequence[str] = (), tell: _Tell = lambda code, text: None) -> list[ReadMailbox]:
    """The mailboxes of a field's unfolded value in their order; at most 10,000.

    An empty group gives none.  ``tell`` hears of each thing that RFC 5322 does not allow.
    """
    return _ListReader(hints, tell).read(value)


class _ListReader:
    def __init__(self, hints: Sequence[str], tell: _Tell) -> None:
        self._hints = hints
        self._tell = tell
        self._found: list[ReadMailbox] = []
        self._group = ""
        self._item = _Item()
        self._closed = True  # no angle bracket is open

    def read(self, value: str) -> list[ReadMailbox]:
        at, size = self._usual(value), len(value)
        while at < size and len(self._found) < _MOST:
            match = _TOKEN.match(value, at)
            assert match is not None  # one of the kinds takes any character
            assert match.lastgroup is not None
            kind, text, at = match.lastgroup, match[0], match.end()
            if text == "(":
                at = self._comment(value, at)
            elif kind == "special":
                self._special(text)
            else:
                self._word(kind, text)
        if len(self._found) >= _MOST:
            self._tell("too-many-mailboxes", f"the field has more than {_MOST} mailboxes, and the rest is not read")
        self._end_item()
        return self._found

    def _usual(self, value: str) -> int:
        """Read mailboxes of the usual forms; returns where another one begins."""
        at = 0
        for _ in range(_MOST):
            match = _USUAL.match(value, at)
            if match is None:
                break
            quoted, phrase, local, domain, bare, bare_domain = match.groups()
            if bare is not None:
                self._found.append(ReadMailbox("", Address(bare, bare_domain)))
            else:
                name = phrase if quoted is None else quoted
                if "=?" in name:
                    name = decode_words(name, self._hints).text
                self._found.append(ReadMailbox(" ".join(name.split()), Address(local, domain)))
            at = match.end()
        return at

    def _comment(self, value: str, start: int) -> int:
        """Read a comment from behind its parenthesis on; returns where it ends."""
        depth, at = 1, start
        for match in _IN_COMMENT.finditer(value, start):
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            at = match.end()
            if not depth:
                break
        else:
            self._tell("open-comment", "a comment does not end, and what follows it is read as part of it")
            at = len(value) + 1
        if not self._item.comment:
            self._item.comment = _ESCAPED.sub(r"\1", value[start : at - 1]).strip()
        return at

    def _word(self, kind: str, text: str) -> None:
        item = self._item
        if kind == "quoted" and (len(text) < 2 or not text.endswith('"')):
            self._tell("open-quotation", "a quotation does not end, and what follows it is read as part of it")
        if not self._closed:
            assert item.angle is not None
            item.angle.append((kind, text))
        elif item.angle is not None:
            item.behind.append((kind, text))
        elif item.words or kind != "space":
            item.words.append((kind, text))

    def _special(self, sign: str) -> None:
        item = self._item
        if sign == "<" and self._closed:
            if item.angle is not None:  # a second address without a comma
                self._tell("missing-comma", "two mailboxes stand without a comma between them; both are read")
                self._end_item()
                item = self._item
            item.angle, self._closed = [], False
        elif sign == ">" and not self._closed:
            self._closed = True
        elif sign == "," and not self._closed and item.angle and item.angle[0][1] == "@":
            item.angle = [("special", "@")]  # a source route (RFC 5322 §4.4) has commas
        elif sign in ",;":
            self._separator(sign)
        elif sign == ":" and not self._closed:
            item.angle = []  # what stands before it was a route
        elif sign == ":" and item.words and not any(text == "@" for _, text in item.words):
            self._group = self._phrase(item.words)
            self._item = _Item()
        elif sign == "@":
            self._word("special", sign)
        else:
            self._word("other", sign)

    def _separator(self, sign: str) -> None:
        if sign == ";" and not self._group and not self._item.empty:
            self._tell("semicolon", "a semicolon stands between mailboxes, and is read as a comma")
        self._end_item()
        if sign == ";":
            self._group = ""

    def _end_item(self) -> None:
        item, self._item = self._item, _Item()
        if not self._closed:
            self._tell("open-angle", "an address in angle brackets does not end; it is read up to the next comma")
            self._closed = True
        if item.empty:
            return
        if item.angle is not None:
            self._add(self._phrase(item.words), item.angle, item)
        elif any(text == "@" for _, text in item.words):
            words, address = _cut_at_address(item.words)
            if words:
                self._tell("bare-address", "a name stands before an address that has no angle brackets")
            self._add(self._phrase(words), address, item)
        elif item.words:
            self._without_address(item)

    def _without_address(self, item: _Item) -> None:
        text = self._phrase(item.words)
        encoded = _ENCODED_ADDRESS.search("".join(text for _, text in item.words))
        local, at, domain = text.rpartition("@")
        if encoded is not None and at and local and domain and " " not in text:  # all of it is one encoded word
            self._tell("encoded-address", "an address is written as an encoded word, which RFC 2047 §5 forbids")
            self._found.append(ReadMailbox("", Address(local, domain), self._group))
            return
        self._tell("no-address", "a mailbox has no address")
        if text:
            self._found.append(ReadMailbox(text, None, self._group))

    def _add(self, name: str, tokens: list[tuple[str, str]], item: _Item) -> None:
        address = self._address(tokens)
        if address is None:
            self._tell("no-address", "angle brackets hold no address")
            name = name or "".join(text for _, text in tokens).strip()
        if "@" in name and address is not None and name.strip().lower() != str(address).lower():
            self._tell("address-as-name", "the display name looks like an address, and is another one")
        if not name and item.comment:
            name = decode_words(item.comment, self._hints).text.strip()
        if name or address is not None:
            self._found.append(ReadMailbox(name, address, self._group))

    def _address(self, tokens: list[tuple[str, str]]) -> Address | None:
        plain = [(kind, text) for kind, text in tokens if kind != "space"]
        last = max((n for n, (_, text) in enumerate(plain) if text == "@"), default=-1)
        if last < 1:
            return None
        local = "".join(_unquoted(kind, text) for kind, text in plain[:last])
        domain = "".join(text for _, text in plain[last + 1 :]).rstrip(".")
        return Address(local, domain) if domain else None

    def _phrase(self, words: Sequence[tuple[str, str]]) -> str:
        """The display name that tokens mean: quotations opened, encoded words decoded, one space between words."""
        text = "".join(_unquoted(kind, text) for kind, text in words)
        return " ".join(decode_words(text, self._hints).text.split())


def _unquoted(kind: str, text: str) -> str:
    if kind != "quoted":
        return text
    inner = text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:]
    return _ESCAPED.sub(r"\1", inner)


def _cut_at_address(words: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Words without angle brackets: those of the name, and the last of the form ``local@domain``.

    White space beside the at sign and beside dots belongs to the address (RFC 5322 §4.4).
    """
    last = max(n for n, (_, text) in enumerate(words) if text == "@")
    start = _reach(words, last, -1)
    return words[:start], words[start : _reach(words, last, 1) + 1]


def _reach(words: list[tuple[str, str]], at: int, step: int) -> int:
    """The last word of an address in one direction from its at sign."""
    here = at
    while 0 <= at + step < len(words):
        at += step
        kind, text = words[at]
        if kind == "space":
            continue
        touching = at == here + step
        before, behind = (text, words[here][1]) if step < 0 else (words[here][1], text)
        if not (touching or before.endswith((".", "@")) or behind.startswith((".", "@"))):
            break
        here = at
    return here
