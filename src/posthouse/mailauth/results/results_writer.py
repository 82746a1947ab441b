"""Writer of Authentication-Results fields (RFC 8601 §2.2) and of ARC-Authentication-Results (RFC 8617 §4.1.1).

What is written may come from a message or the DNS, so every value is checked or made harmless here: values are quoted
where a token is not enough, comments are escaped, and characters that cannot stand in a header field become ``?``.
Each statement begins a line, and lines end at 78 characters.  A field is read back as what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from posthouse.mailauth.results.authentication_results import AuthenticationResults, MethodResult, ResultProperty

__all__ = ["write_results"]

_LINE: Final = 78
_INDENT: Final = "\t"
_LONGEST: Final = 400  # octets of a value: with each escaped, they fit a line of 998 octets (RFC 5322 §2.1.1)
_KEYWORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?+")
_TOKEN: Final = re.compile(r'[^\x00-\x20\x7f()<>@,;:\\"/\[\]?=]++')
# local-part "@" domain-name, or "@" domain-name (RFC 8601 §2.2): an address needs no quotes.
_ATOM: Final = r'[^\x00-\x20\x7f()<>@,;:\\"\[\].]++'
_ADDRESS: Final = re.compile(rf"(?:{_ATOM}(?:\.{_ATOM})*+)?@[\w.-]++")
_SPECIAL: Final = re.compile(r'(["\\])')
_PARENTHESIS: Final = re.compile(r"([()\\])")
_UNWRITABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def write_results(results: AuthenticationResults, instance: int | None = None) -> bytes:
    """The whole field, folded, with its CRLF.

    Args:
        results: What it says.
        instance: The number of a set of ARC; with it the field is an ARC-Authentication-Results (RFC 8617 §4.1.1).

    Raises ``ValueError`` if a method, a result or the name of a property is no keyword, or the authserv-id is empty.
    """
    opening, *statements = _statements(results)
    name = ["Authentication-Results:"] if instance is None else ["ARC-Authentication-Results:", f"i={instance};"]
    return _folded([*name, *opening], statements)


def _statements(results: AuthenticationResults) -> Iterator[list[str]]:
    """The words of the value: those in front of the first statement, and those of each; lines may end between words."""
    authserv_id = _clean(results.authserv_id)
    if not authserv_id:
        raise ValueError("an Authentication-Results field needs an authserv-id: give the name of this host or domain")
    version = "" if results.version == 1 else f" {results.version}"
    yield [f"{_value(authserv_id)}{version};", *([] if results.results else ["none"])]
    for number, each in enumerate(results.results, 1):
        words = list(_statement(each))
        if number < len(results.results):
            words[-1] += ";"
        yield words


def _statement(result: MethodResult) -> Iterator[str]:
    version = "" if result.version == 1 else f"/{result.version}"
    yield f"{_keyword(result.method)}{version}={_keyword(result.result)}"
    if comment := " ".join(_clean(result.comment).split()):
        escaped = _PARENTHESIS.sub(r"\\\1", comment) if _PARENTHESIS.search(comment) else comment
        yield from f"({escaped})".split(" ")
    if result.reason:
        yield f"reason={_value(_clean(result.reason))}"
    for each in result.properties:
        yield _property(each)


def _property(found: ResultProperty) -> str:
    value = _clean(found.value)
    written = value if "@" in value and _ADDRESS.fullmatch(value) else _value(value)
    return f"{_keyword(found.ptype)}.{_keyword(found.name)}={written}"


@lru_cache(maxsize=256)
def _known_keyword(word: str) -> str:
    if _KEYWORD.fullmatch(word) is None:
        raise ValueError(f"{word[:40]!r} cannot be a word of an Authentication-Results field (RFC 8601 §2.2)")
    return word


def _keyword(word: str) -> str:
    """The word.  Raises ``ValueError`` if it is none."""
    return _known_keyword(word) if len(word) < _LINE else _known_keyword.__wrapped__(word)


def _value(text: str) -> str:
    if _TOKEN.fullmatch(text):
        return text
    return '"' + _SPECIAL.sub(r"\\\1", text) + '"'


def _clean(text: str) -> str:
    """The text without what cannot stand in a header field, at most 400 octets of it."""
    if len(text) <= _LONGEST and text.isascii() and text.isprintable():
        return text
    return _UNWRITABLE.sub("?", text).encode()[:_LONGEST].decode("utf-8", "ignore")


def _folded(opening: list[str], statements: list[list[str]]) -> bytes:
    """The field: each statement begins a line, and a line has as many words as fit."""
    lines = [" ".join(opening)]
    for words in statements:
        line = _INDENT + words[0]
        for word in words[1:]:
            if len(line) + 1 + len(word) > _LINE:
                lines.append(line)
                line = _INDENT + word
            else:
                line += f" {word}"
        lines.append(line)
    return "".join(f"{line}\r\n" for line in lines).encode()
