"""The filter language: which recipients of which messages are meant.

A filter is conditions side by side, all of which must hold: ``domain:example.org state:deferred age>1h``.  A condition
is a field, an operator and a value, without spaces between them; a value with spaces in it stands in double quotes,
where a backslash keeps the next sign from meaning anything.  It is read once, here, into the conditions of
``spool.query``, which knows what they mean; nothing of what people wrote becomes SQL.

What cannot be meant raises ``FilterError``: one sentence with cause and remedy, and the place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from posthouse.core import SettingError
from posthouse.core.units import read_duration, read_size
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.spool.filters import FIELDS, Condition
from posthouse.spool.ids import number_of

__all__ = ["FIELD_HELP", "FieldHelp", "FilterError", "MOST_CONDITIONS", "parse_filter"]

#: Conditions of one filter, and signs of its text.
MOST_CONDITIONS: Final = 50
_LONGEST: Final = 4000


class FilterError(SettingError):
    """A filter that cannot be meant.  ``text`` is the whole filter, ``position`` the sign that is at fault, from 0."""

    def __init__(self, message: str, remedy: str, text: str, position: int) -> None:
        super().__init__(f"{message} (at sign {position + 1})", remedy=remedy)
        self.text = text
        self.position = position


class FieldHelp(NamedTuple):
    """One field for the manual and for ``--help``: its name, what it means, and an example."""

    name: str
    meaning: str
    example: str


#: Every field, in the order in which it is explained.
FIELD_HELP: Final = (
    FieldHelp("domain", "the domain that the mail goes to", "domain:example.org"),
    FieldHelp("state", "waiting, deferred (tried before), active (being tried now) or held", "state:deferred"),
    FieldHelp("age", "how long ago the message was received", "age>1h"),
    FieldHelp("due", "how long until the next attempt; below 0 if that is overdue", "due<10m"),
    FieldHelp("from", 'the sender; "" is the null reverse-path of reports', "from:*@example.net"),
    FieldHelp("to", "the recipient", "to:bob@example.org"),
    FieldHelp("reply", "how the last attempt ended, in words", 'reply~"4.7"'),
    FieldHelp("size", "the size of the message", "size>1M"),
    FieldHelp("attempts", "attempts made", "attempts>=3"),
    FieldHelp("id", "the queue id", "id:3x9k0d5n2c7hb"),
)

_EXAMPLES: Final = {each.name: each.example for each in FIELD_HELP}
_ALIASES: Final = {
    "recipient": "to",
    "rcpt": "to",
    "sender": "from",
    "mail": "from",
    "destination": "domain",
    "host": "domain",
    "status": "state",
    "error": "reply",
    "reason": "reply",
    "last": "reply",
    "next": "due",
    "tries": "attempts",
    "older": "age",
    "received": "age",
    "bytes": "size",
    "octets": "size",
}
_STATES: Final = ("waiting", "deferred", "active", "held", "delivered", "failed")
_STATE_ALIASES: Final = {
    "hold": "held",
    "leased": "active",
    "queued": "waiting",
    "bounced": "failed",
    "sent": "delivered",
}

_FIELD = re.compile(r"[A-Za-z]+")
_OPERATOR = re.compile(r"!=|>=|<=|==|=>|=<|!~|[:=~<>]")
_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,15}")
_CODE = re.compile(r"[245](?:[0-9]{2}|\.[0-9]{1,3}(?:\.[0-9]{1,3})?)")


def parse_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter; none for an empty one, which means everything.  Raises ``FilterError``."""
    if len(text) > _LONGEST:
        raise FilterError(f"the filter is longer than {_LONGEST} signs", "make it shorter", text[:80], 0)
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
        found.append(_condition(text, position, word.end()))
        if len(found) > MOST_CONDITIONS:
            raise FilterError(f"there are more than {MOST_CONDITIONS} conditions", "leave some out", text, position)
        position = word.end()
    return tuple(found)


class _InvalidFilter(Exception):
    """The value cannot be meant: cause and remedy."""


def _condition(text: str, start: int, end: int) -> Condition:
    """The condition that is written between two places."""
    field = _FIELD.match(text, start, end)
    sign = _OPERATOR.match(text, field.end(), end) if field is not None else None
    if field is None or sign is None:
        raise FilterError(*_free_word(text[start:end]), text, start)
    name = field[0].lower()
    if name not in FIELDS:
        raise FilterError(f'there is no field "{field[0]}"', _near_field(name), text, start)
    op = _meant(name, sign, text)
    value = text[sign.end() : end]
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        value = _ESCAPED.sub(r"\1", quoted[1])
    elif name not in ("from", "to"):  # there, quotes within are those of a local part
        value = _QUOTED.sub(lambda part: _ESCAPED.sub(r"\1", part[1]), value)
    if not value and not (quoted and name == "from"):
        raise FilterError(f'"{name}" is compared with nothing', f"write a value, as in {_EXAMPLES[name]}", text, end)
    try:
        return Condition(name, op, _READERS[name](value))
    except _InvalidFilter as wrong:
        cause, remedy = wrong.args
        raise FilterError(cause, remedy, text, sign.end()) from None


def _meant(name: str, sign: re.Match[str], text: str) -> str:
    """The operator as ``spool.query`` knows it."""
    op = {":": "=", "==": "=", "=>": ">=", "=<": "<="}.get(sign[0], sign[0])
    if op in FIELDS[name]:
        return op
    usual = {"=": ":"}
    known = " ".join(usual.get(each, each) for each in FIELDS[name])
    remedy = f"it takes {known}, as in {_EXAMPLES[name]}"
    raise FilterError(f'"{name}" cannot be compared with {sign[0]}', remedy, text, sign.start())


def _near_field(name: str) -> str:
    """What to write in the place of a field that does not exist."""
    meant = _nearest(name)
    if meant is not None:
        return f'did you mean "{meant}", as in {_EXAMPLES[meant]}?'
    return f"the fields are {', '.join(_EXAMPLES)}, as in {_EXAMPLES['domain']}"


def _nearest(name: str) -> str | None:
    close = difflib.get_close_matches(name, FIELDS, 1, 0.5)
    return _ALIASES.get(name) or (close[0] if close else None)


def _free_word(word: str) -> tuple[str, str]:
    """Cause and remedy for a word that is no condition: what it looks like tells what may be meant."""
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
    if word.lower() in _STATES or word.lower() in _STATE_ALIASES:
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
            return shown, f"write a field, an operator and a value, as in {_EXAMPLES[near]}"
    return shown, f"write a field, an operator and a value, as in {_EXAMPLES['domain']}"


# Values ---------------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value


def _address(value: str) -> str:
    return value[1:-1] if value.startswith("<") and value.endswith(">") else value


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
    if state in _STATES:
        return state
    near = difflib.get_close_matches(state, _STATES, 1, 0.5)
    remedy = f"did you mean state:{near[0]}?" if near else f"there are {', '.join(_STATES)}"
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


def _age(value: str) -> float:
    seconds = _duration(value)
    if seconds < 0:
        raise _InvalidFilter("an age is never below 0", "leave the minus sign out")
    return seconds


def _size(value: str) -> float:
    try:
        return read_size(value)
    except ValueError:
        remedy = "write a number of octets, or one with K, M or G, as in 500K or 1.5M"
        raise _InvalidFilter(f'"{value}" is no size', remedy) from None


def _count(value: str) -> float:
    if _NUMBER.fullmatch(value) is None:
        raise _InvalidFilter(f'"{value}" is no whole number', "write one such as 3")
    return float(value)


def _id(value: str) -> str:
    if number_of(value.lower()) is None:
        raise _InvalidFilter(
            f'"{value}" is no queue id', "write the 13 letters and digits that `posthouse queue list` shows"
        )
    return value.lower()


_READERS: Final[dict[str, Callable[[str], str | float]]] = {
    "domain": _domain,
    "state": _state,
    "age": _age,
    "due": _duration,
    "from": _address,
    "to": _address,
    "reply": _text,
    "size": _size,
    "attempts": _count,
    "id": _id,
}
