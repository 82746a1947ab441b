"""Questions about the queue: conditions as values, and what they mean.

A question is a conjunction of ``Condition``s.  Each means the same twice: as SQL with parameters, for the rows
(``where``), and as a predicate on a ``RecipientRow`` (``matches``), for messages that have no recipient rows yet and
for the
queue in memory.  Text is compared without regard to the case of ASCII letters, as SQLite's LIKE does.

    ============  ===============  ====================================================================================
    field         operators        value
    ============  ===============  ====================================================================================
    domain        = != ~           destination (A-labels); ``*`` stands for any letters
    state         = !=             waiting (deferred ones included), deferred, active (leased now), held; and, for
                                   messages of which others wait, delivered and failed
    age           = != > >= < <=   seconds since the message was received
    from, to      = != ~           an address; ``*`` stands for any letters; "" is the null reverse-path
    reply         = != ~           how the last attempt ended, in words; ``*`` stands for any letters
    size          = != > >= < <=   octets
    attempts      = != > >= < <=   attempts made
    id            = != > >= < <=   queue id
    due           = != > >= < <=   seconds until the next attempt; below 0 if it is overdue
    ============  ===============  ====================================================================================

``~`` asks whether the text contains the value.  Settled recipients are left out unless a condition on ``state`` names
them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from posthouse.core import LocalError
from posthouse.spool.ids import number_of

__all__ = [
    "BUCKETS",
    "Condition",
    "FIELDS",
    "RecipientRow",
    "SummaryRow",
    "matches",
    "summarized",
    "text_of_conditions",
    "text_of_numbers",
    "where",
]


class Condition(NamedTuple):
    """One condition; see the module's table.  ``value`` is a number where the table says seconds, octets or attempts,
    and text elsewhere."""

    field: str
    op: str
    value: str | float

    def __str__(self) -> str:
        """As people write it, with seconds and octets as plain numbers."""
        value = self.value if isinstance(self.value, str) else f"{self.value:.12g}"
        if value == "" or " " in value:
            value = f'"{value}"'
        return f"{self.field}{':' if self.op == '=' else self.op}{value}"


class RecipientRow(NamedTuple):
    """One recipient as a listing shows it.

    ``id`` and ``key`` name it; times in calendar seconds; ``sender`` is "" for the null reverse-path; ``state`` is
    ``waiting``, ``held``, ``delivered`` or ``failed``; ``active`` while it is leased; ``route`` is what an operator
    put in the place of its route, "" for none; ``last`` how the last attempt ended, in words.
    """

    id: str
    key: int
    sender: str
    address: str
    destination: str
    state: str
    attempts: int
    received: float
    due: float
    size: int
    last: str = ""
    route: str = ""
    active: bool = False


#: The upper ends of the summary's ages, in seconds; the last column has what is older.
BUCKETS: Final = (300.0, 3600.0, 14_400.0, 86_400.0, 432_000.0)


class SummaryRow(NamedTuple):
    """How many recipients wait for one destination, by age: one count for each of ``BUCKETS`` and one for the older.

    ``waiting`` and ``held`` part the same recipients by state; ``oldest`` is when the oldest was received.
    """

    destination: str
    ages: tuple[int, ...]
    waiting: int
    held: int
    oldest: float

    @property
    def total(self) -> int:
        """All of them."""
        return self.waiting + self.held


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NUMBERS: Final = tuple(_COMPARE)
_TEXT: Final = ("=", "!=", "~")

#: Fields and the operators that each takes.
FIELDS: Final = {
    "domain": _TEXT,
    "state": ("=", "!="),
    "age": _NUMBERS,
    "from": _TEXT,
    "to": _TEXT,
    "reply": _TEXT,
    "size": _NUMBERS,
    "attempts": _NUMBERS,
    "id": _NUMBERS,
    "due": _NUMBERS,
}

_COLUMNS: Final = {"domain": "destination", "from": "sender", "to": "address", "reply": "last"}
_STATES: Final = {
    "waiting": "state = 0",
    "deferred": "state = 0 AND attempts > 0",
    "active": "state = 0 AND slot IS NOT NULL",
    "held": "state = 1",
    "delivered": "state = 2",
    "failed": "state = 3",
}
_SETTLED: Final = frozenset({"delivered", "failed"})
_FOLD: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def where(conditions: Sequence[Condition], now: float) -> tuple[list[str], list[str | float | int]]:
    """SQL terms to be joined by AND, on the columns of ``recipient``, and their parameters.

    Raises ``LocalError`` for a condition that the table does not have.
    """
    terms: list[str] = []
    values: list[str | float | int] = []
    for condition in conditions:
        field, op, value = _checked(condition)
        if field == "state":
            term = _STATES[str(value)]
            terms.append(f"({term})" if op == "=" else f"NOT ({term})")
        elif field in _COLUMNS:
            terms.append(_text_term(_COLUMNS[field], op, str(value), values))
        else:
            column, op, number = _number_term(field, op, value, now)
            terms.append(f"{column} {op} ?")
            values.append(number)
    if not _asks_for_settled(conditions):
        terms.append("state < 2")
    return terms, values


def _checked(condition: Condition) -> Condition:
    field, op, value = condition
    if op not in FIELDS.get(field, ()):
        raise LocalError(f"there is no condition {field!r} {op!r}")
    if field == "state" and value not in _STATES:
        raise LocalError(f"there is no state {value!r}; there are {', '.join(_STATES)}")
    text = field in _COLUMNS or field in ("state", "id")
    if isinstance(value, str) is not text:
        raise LocalError(f"{field!r} is compared with {'text' if text else 'a number'}, not with {value!r}")
    if field == "domain":
        return Condition(field, op, str(value).translate(_FOLD))
    return condition


def _asks_for_settled(conditions: Sequence[Condition]) -> bool:
    return any(field == "state" and op == "=" and value in _SETTLED for field, op, value in conditions)


def _text_term(column: str, op: str, value: str, values: list[str | float | int]) -> str:
    if op == "~":
        values.append(f"%{_escaped(value)}%")
        return f"{column} LIKE ? ESCAPE '\\'"
    if column == "destination" and "*" not in value:  # stored in lower case: the index can be used
        values.append(value)
        return f"{column} {op} ?"
    values.append("%".join(_escaped(part) for part in value.split("*")))
    return f"{column} {'LIKE' if op == '=' else 'NOT LIKE'} ? ESCAPE '\\'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number_term(field: str, op: str, value: str | float, now: float) -> tuple[str, str, float | int]:
    if field == "id":
        number = number_of(str(value))
        return "message", op, -1 if number is None else number
    assert not isinstance(value, str)
    if field == "age":  # older than: received before
        return "received", _TURNED.get(op, op), now - value
    if field == "due":
        return "due", op, now + value
    return field, op, value


_TURNED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


def matches(conditions: Sequence[Condition], row: RecipientRow, now: float) -> bool:
    """Does ``row`` fulfil all conditions?  Raises ``LocalError`` as ``where`` does."""
    if row.state in _SETTLED and not _asks_for_settled(conditions):
        return False
    return all(_matches(_checked(condition), row, now) for condition in conditions)


def _matches(condition: Condition, row: RecipientRow, now: float) -> bool:
    field, op, value = condition
    if field == "state":
        found = (
            (row.state == "waiting" and row.active)
            if value == "active"
            else (row.state == "waiting" and row.attempts > 0)
            if value == "deferred"
            else row.state == value
        )
        return found if op == "=" else not found
    if field in _COLUMNS:
        text = str(getattr(row, _COLUMNS[field])).translate(_FOLD)
        wanted = str(value).translate(_FOLD)
        if op == "~":
            return wanted in text
        return _like(text, wanted) is (op == "=")
    if field == "id":
        number, other = number_of(row.id), number_of(str(value))
        return _COMPARE[op](-1 if number is None else number, -1 if other is None else other)
    return _COMPARE[op](_number(row, field, now), value)


def _number(row: RecipientRow, field: str, now: float) -> float:
    if field == "age":
        return now - row.received
    if field == "due":
        return row.due - now
    return float(row.size if field == "size" else row.attempts)


def _like(text: str, pattern: str) -> bool:
    """Does ``text`` match, ``*`` standing for any letters?"""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    if not text.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)


def text_of_conditions(conditions: Sequence[Condition]) -> str:
    """The whole question as people write it, for the audit log."""
    return " ".join(map(str, conditions))


def text_of_numbers(numbers: Sequence[int]) -> str:
    """Messages of inboxes by their numbers, for the audit log; of more than 100 numbers the first 100."""
    text = " ".join(f"number:{number}" for number in numbers[:100])
    return f"{text} and {len(numbers) - 100} more" if len(numbers) > 100 else text


def summarized(rows: Sequence[tuple[str, str, float]], now: float) -> list[SummaryRow]:
    """The summary of recipients given as (destination, state, received); most first."""
    table: dict[str, tuple[list[int], list[int], list[float]]] = {}
    for destination, state, received in rows:
        ages, states, oldest = table.setdefault(destination, ([0] * (len(BUCKETS) + 1), [0, 0], [received]))
        ages[sum(now - received >= end for end in BUCKETS)] += 1
        states[state == "held"] += 1
        oldest[0] = min(oldest[0], received)
    found = [
        SummaryRow(name, tuple(ages), states[0], states[1], oldest[0]) for name, (ages, states, oldest) in table.items()
    ]
    return sorted(found, key=lambda row: (-row.total, row.destination))
