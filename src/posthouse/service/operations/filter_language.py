"""The filter language: the text by which users select recipients of messages.

A filter is a list of conditions, all of which must hold: ``domain:example.org state:deferred age>1h``.  A condition is
a field, an operator and a value, without spaces between them; a value with spaces stands in double quotes, where a
backslash takes the next character as it is.  The fields are those of ``spool.filters.FIELDS``; this module reads the
text into conditions, by the kind of each field, and no text of the user becomes SQL.  The word ``all`` is no condition.

An invalid filter raises ``FilterError``: one sentence with cause and remedy, and the place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Final

from posthouse.core import SettingError
from posthouse.core.units import read_duration, read_size
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.service.operations.spelling import other_spelling
from posthouse.spool.filters import FIELDS, STATES, Condition, FieldKind, FilterField
from posthouse.spool.ids import number_of

__all__ = ["EVERYTHING", "FilterError", "MOST_CONDITIONS", "fields_help", "parse_filter"]

#: The filter that selects every message.
EVERYTHING: Final = "all"
#: Conditions of one filter, and characters of its text.
MOST_CONDITIONS: Final = 50
_LONGEST: Final = 4000


class FilterError(SettingError):
    """An invalid filter.  ``text`` is the whole filter, ``position`` the index of the character at fault."""

    def __init__(self, message: str, remedy: str, text: str, position: int) -> None:
        super().__init__(f"{message} (at character {position + 1})", remedy=remedy)
        self.text = text
        self.position = position


_ALIASES: Final = {alias: field.name for field in FIELDS.values() for alias in field.aliases}
_STATE_ALIASES: Final = {
    "hold": "held",
    "leased": "active",
    "queued": "waiting",
    "bounced": "failed",
    "sent": "delivered",
}

#: The words of RFC 8601 §2.7, and the policies of DMARC.
_VERDICTS: Final = (
    *("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror", "quarantine", "reject"),
)

_FIELD = re.compile(r"[A-Za-z]+")
_OPERATOR = re.compile(r"!=|>=|<=|==|=>|=<|!~|[:=~<>]")
_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,15}")
_CODE = re.compile(r"[245](?:[0-9]{2}|\.[0-9]{1,3}(?:\.[0-9]{1,3})?)")


def fields_help() -> list[tuple[str, str, str]]:
    """Name, meaning and example of each field, for ``--help`` and the manual."""
    return [(field.name, field.meaning, field.example) for field in FIELDS.values()]


def parse_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter; none for ``all`` and for an empty one.  Raises ``FilterError``."""
    if len(text) > _LONGEST:
        raise FilterError(f"the filter is longer than {_LONGEST} characters", "make it shorter", text[:80], 0)
    found: list[Condition] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        word = _WORD.match(text, position)
        if word is None or (word.end() < len(text) and not text[word.end()].isspace()):
            at = position if word is None else word.end()
            raise FilterError("the quotation mark that opens here never closes", 'write "…" around the value', text, at)
        if word[0].lower() != EVERYTHING:
            found.append(_condition(text, position, word.end()))
        if len(found) > MOST_CONDITIONS:
            raise FilterError(f"there are more than {MOST_CONDITIONS} conditions", "leave some out", text, position)
        position = word.end()
    return tuple(found)


class _InvalidFilter(Exception):
    """An invalid value: cause and remedy."""


def _condition(text: str, start: int, end: int) -> Condition:
    """The condition that is written between two places."""
    name = _FIELD.match(text, start, end)
    sign = _OPERATOR.match(text, name.end(), end) if name is not None else None
    if name is None or sign is None:
        raise FilterError(*_free_word(text[start:end]), text, start)
    field = FIELDS.get(name[0].lower())
    if field is None:
        raise FilterError(f'there is no field "{name[0]}"', _near_field(name[0].lower()), text, start)
    op = _operator(field, sign, text)
    value = text[sign.end() : end]
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        value = _ESCAPED.sub(r"\1", quoted[1])
    elif field.kind is not FieldKind.ADDRESS:  # quotes within an address are those of its local part
        value = _QUOTED.sub(lambda part: _ESCAPED.sub(r"\1", part[1]), value)
    if not value and not (quoted and field.name == "from"):
        raise FilterError(
            f'"{field.name}" is compared with nothing', f"write a value, as in {field.example}", text, end
        )
    try:
        read = _READERS[field.kind](value)
        is_name = field.kind is FieldKind.ADDRESS and op != "~"
        return Condition(field.name, op, read, _spelled_otherwise(read) if is_name else "")
    except _InvalidFilter as wrong:
        cause, remedy = wrong.args
        raise FilterError(cause, remedy, text, sign.end()) from None


def _operator(field: FilterField, sign: re.Match[str], text: str) -> str:
    """The operator as ``Condition`` has it."""
    op = {":": "=", "==": "=", "=>": ">=", "=<": "<="}.get(sign[0], sign[0])
    if op in field.kind.operators:
        return op
    known = " ".join(":" if each == "=" else each for each in field.kind.operators)
    remedy = f"it takes {known}, as in {field.example}"
    raise FilterError(f'"{field.name}" cannot be compared with {sign[0]}', remedy, text, sign.start())


def _near_field(name: str) -> str:
    """What to write in the place of a field that does not exist."""
    near = _nearest(name)
    if near is not None:
        return f'did you mean "{near.name}", as in {near.example}?'
    return f"the fields are {', '.join(FIELDS)}, as in {FIELDS['domain'].example}"


def _nearest(name: str) -> FilterField | None:
    close = difflib.get_close_matches(name, FIELDS, 1, 0.5)
    found = _ALIASES.get(name) or (close[0] if close else None)
    return None if found is None else FIELDS[found]


def _free_word(word: str) -> tuple[str, str]:
    """Cause and remedy for a word that is no condition; the remedy is guessed from what the word looks like."""
    bare = word.strip("<>")
    shown = f'"{word[:60]}" is no condition'
    if word.lower() in ("and", "&&"):
        return shown, "conditions stand side by side and must all hold: leave it out"
    if word.lower() in ("or", "||", "not", "(", ")"):
        return shown, "conditions stand side by side and must all hold: ask twice, or use != for not"
    if number_of(word.lower()) is not None:
        return shown, f"did you mean id:{word.lower()}?"
    if _CODE.fullmatch(word):
        return shown, f"did you mean reply~{word}?"
    if word.lower() in STATES or word.lower() in _STATE_ALIASES:
        return shown, f"did you mean state:{_STATE_ALIASES.get(word.lower(), word.lower())}?"
    if "@" in bare and '"' not in bare:
        return shown, f"did you mean to:{bare}, or from:{bare}?"
    if re.fullmatch(r"[\w.*-]+\.[\w-]+", word):
        return shown, f"did you mean domain:{word}?"
    letters = _FIELD.match(word)
    if letters is not None:
        name = letters[0].lower()
        near = _nearest(name)
        if near is not None:
            return shown, f"write a field, an operator and a value, as in {near.example}"
    return shown, f"write a field, an operator and a value, as in {FIELDS['domain'].example}"


# Values ---------------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value


def _address(value: str) -> str:
    return value[1:-1] if value.startswith("<") and value.endswith(">") else value


def _spelled_otherwise(address: object) -> str:
    """An address, or a pattern, with its domain in the other spelling (A-labels, U-labels): the spool has what the
    client wrote.  "" if there is none."""
    if not isinstance(address, str) or "@" not in address:
        return ""
    other = other_spelling(address)
    return "" if other == address else other


def _domain(value: str) -> str:
    """In A-labels where it is a whole name; patterns and parts as they are, in lower case."""
    name = value.removesuffix(".") or value
    if name.isascii():
        return name.lower()
    try:
        return domain_to_ascii(name)
    except GrammarError:
        raise _InvalidFilter(f'"{value}" is no domain name', "write it whole, or as its A-labels (xn--…)") from None


def _state(value: str) -> str:
    state = _STATE_ALIASES.get(value.lower(), value.lower())
    if state in STATES:
        return state
    near = difflib.get_close_matches(state, STATES, 1, 0.5)
    remedy = f"did you mean state:{near[0]}?" if near else f"there are {', '.join(STATES)}"
    raise _InvalidFilter(f'there is no state "{value}"', remedy)


def _duration(value: str) -> float:
    """Seconds; a minus sign and ``now`` are known here only."""
    if value == "now":
        return 0.0
    try:
        seconds = read_duration(value.removeprefix("-"))
    except ValueError:
        remedy = "write a number and a unit (s m h d w), as in 90s, 1h or 1d12h"
        raise _InvalidFilter(f'"{value}" is no duration', remedy) from None
    return -seconds if value.startswith("-") else seconds


def _since(value: str) -> float:
    seconds = _duration(value)
    if seconds < 0:
        raise _InvalidFilter("this time is never below 0", "leave the minus sign out")
    return seconds


def _size(value: str) -> float:
    try:
        return float(read_size(value))
    except ValueError:
        remedy = "write a number of octets, or one with K, M or G, as in 500K or 1.5M"
        raise _InvalidFilter(f'"{value}" is no size', remedy) from None


def _count(value: str) -> float:
    if _NUMBER.fullmatch(value) is None:
        raise _InvalidFilter(f'"{value}" is no whole number', "write one such as 3")
    return float(value)


def _verdict(value: str) -> str:
    word = value.lower()
    if word in _VERDICTS:
        return word
    near = difflib.get_close_matches(word, _VERDICTS, 1, 0.5)
    remedy = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(_VERDICTS)}"
    raise _InvalidFilter(f'there is no result "{value}"', remedy)


def _id(value: str) -> str:
    if number_of(value.lower()) is None:
        raise _InvalidFilter(
            f'"{value}" is no queue id', "write the 13 letters and digits that `posthouse queue list` shows"
        )
    return value.lower()


_READERS: Final[dict[FieldKind, Callable[[str], str | float]]] = {
    FieldKind.TEXT: _text,
    FieldKind.ADDRESS: _address,
    FieldKind.DOMAIN: _domain,
    FieldKind.STATE: _state,
    FieldKind.ID: _id,
    FieldKind.SIZE: _size,
    FieldKind.COUNT: _count,
    FieldKind.SINCE: _since,
    FieldKind.UNTIL: _duration,
    FieldKind.VERDICT: _verdict,
}
