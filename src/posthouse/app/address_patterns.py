"""Address patterns: recipients with named parts, such as ``orders+{tag}@example.com``.

A pattern is text with parameters.  ``{name}`` stands for one or more characters, and its part of the address is given
to the handler; ``*`` stands for one or more characters that nothing is told of; ``{{`` and ``}}`` are braces.  A
parameter ends where the text behind it first occurs; the last one of a side takes the rest.  So matching takes one pass
over the address, whatever a client sends.

Letters match in any case, because the application's domain is its own (RFC 5321 §2.3.11); a parameter keeps the case in
which the client wrote it.  The domain may be written as U-labels or A-labels.
"""

from __future__ import annotations

import enum
import re
import typing
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from posthouse.core import Address, LocalError
from posthouse.protocol.grammar import GrammarError, lookup_domain, parse_domain

__all__ = ["AddressPattern", "Converter", "converter_of"]

_MOST_PARAMETERS: Final = 8
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\*|[^{}*]+|[{}]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

#: Turns the text of a parameter into its value; raises ``ValueError`` for a text that is none.
Converter = Callable[[str], object]


class _Side(NamedTuple):
    """The local part or the domain of a pattern: text, then each parameter ("" for ``*``) with the text behind it."""

    start: str
    rest: tuple[tuple[str, str], ...]


class AddressPattern:
    """One pattern.

    ``names`` are its parameters.  A pattern without "@" matches any domain.  Raises ``LocalError`` for what is no
    pattern.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise LocalError('a handler of recipients needs a pattern: @app.recipient("orders+{number}@example.com")')
        self.text = text
        local, at, domain = _parted(text)
        self._local = _side(local, text)
        self._domain = _domain_side(domain, text) if at else None
        named = [name for side in (self._local, self._domain) if side for name, _ in side.rest if name]
        if len(set(named)) != len(named):
            raise LocalError(f'the pattern "{text}" has a parameter twice; give each a name of its own')
        if len(named) > _MOST_PARAMETERS:
            raise LocalError(f'the pattern "{text}" has more than {_MOST_PARAMETERS} parameters')
        self.names: tuple[str, ...] = tuple(named)

    def match(self, address: Address) -> dict[str, str] | None:
        """The parameters' texts, None if the address does not match.

        An address without a domain (``<Postmaster>``, RFC 5321 §4.5.1) is looked for by its local part.
        """
        found = _matched(self._local, address.local)
        if found is None or self._domain is None or not address.domain:
            return found
        domain = address.domain if self._domain.rest else lookup_domain(address.domain)
        more = _matched(self._domain, domain)
        return None if more is None else found | more

    def __repr__(self) -> str:
        return f"AddressPattern({self.text!r})"


def _parted(text: str) -> tuple[str, str, str]:
    """A pattern's local part, its "@" and its domain; an "@" within braces separates nothing."""
    at = re.sub(r"\{[^{}]*\}", lambda found: "x" * len(found[0]), text).rfind("@")
    return (text, "", "") if at < 0 else (text[:at], "@", text[at + 1 :])


def _side(part: str, whole: str) -> _Side:
    start, rest = "", list[tuple[str, str]]()
    for token in _TOKEN.finditer(part):
        word = token[0]
        if word in ("{", "}"):
            raise LocalError(
                f'the pattern "{whole}" has a single brace; write {{name}} for a parameter, {{{{ for a brace'
            )
        if token[1] is not None or word == "*":
            name = token[1] or ""
            if word != "*" and not name.isidentifier():
                raise LocalError(f'the pattern "{whole}" has the parameter "{name}", which is no name of Python')
            if rest and not rest[-1][1]:
                raise LocalError(f'the pattern "{whole}" has two parameters in a row; put a character between them')
            rest.append((name, ""))
            continue
        word = _folded(word[0] if word in ("{{", "}}") else word)
        if rest:
            rest[-1] = (rest[-1][0], rest[-1][1] + word)
        else:
            start += word
    if not part:
        raise LocalError(f'the pattern "{whole}" has nothing on one side of its @; write * for anything')
    return _Side(start, tuple(rest))


def _domain_side(domain: str, whole: str) -> _Side:
    if "{" not in domain and "*" not in domain and not domain.startswith("["):
        try:
            parse_domain(domain)
            return _Side(_folded(lookup_domain(domain)), ())
        except GrammarError as error:
            raise LocalError(f'the pattern "{whole}" has no right domain: {error}') from error
    return _side(domain, whole)


def _folded(text: str) -> str:
    """The text in lower case, with as many characters as it has when it is composed."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFC", text)
    return "".join([low if len(low := each.lower()) == 1 else each for each in composed])


def _matched(side: _Side, text: str) -> dict[str, str] | None:
    """The parameters in a side of an address, None if it does not match."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    folded = _folded(text)
    start, rest = side
    if not rest:
        return {} if folded == start else None
    if not folded.startswith(start):
        return None
    found: dict[str, str] = {}
    at = len(start)
    for number, (name, behind) in enumerate(rest, 1):
        if number == len(rest):
            end = len(folded) - len(behind)
            if end <= at or not folded.endswith(behind):
                return None
        else:
            end = folded.find(behind, at + 1)
            if end < 0:
                return None
        if name:
            found[name] = text[at:end]
        at = end + len(behind)
    return found


# Types of parameters --------------------------------------------------------------------------------------------------


def converter_of(annotation: Any) -> Converter | None:
    """The converter to the type of a parameter: ``str``, ``int``, ``float``, ``uuid.UUID``, an ``Enum`` or a
    ``Literal`` of texts; None for any other type."""
    if annotation is str or annotation is None:
        return str
    if annotation is int:
        return _integer
    if annotation is float:
        return _number
    if annotation is uuid.UUID:
        return _uuid
    if typing.get_origin(annotation) is typing.Literal:
        return _one_of({str(value): value for value in typing.get_args(annotation)})
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _one_of({str(member.value): member for member in annotation})
    return None


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("not a whole number of at most 18 digits")
    return int(text)


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("not a number")
    return float(text)


def _uuid(text: str) -> uuid.UUID:
    if _UUID.fullmatch(text) is None:
        raise ValueError("not a UUID")
    return uuid.UUID(text)


def _one_of(values: Mapping[str, object]) -> Converter:
    folded = {_folded(text): value for text, value in values.items()}

    def convert(text: str) -> object:
        try:
            return folded[_folded(text)]
        except KeyError:
            raise ValueError(f"not one of {', '.join(values)}") from None

    return convert
