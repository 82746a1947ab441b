"""Filters as SQL: the conditions of ``spool.filters`` on the columns of the ``recipient`` table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.spool.filters import Condition, FieldKind, asks_for_settled, checked
from posthouse.spool.ids import number_of

__all__ = ["where"]

_STATES: Final = {
    "waiting": "state = 0",
    "deferred": "state = 0 AND attempts > 0",
    "active": "state = 0 AND slot IS NOT NULL",
    "held": "state = 1",
    "delivered": "state = 2",
    "failed": "state = 3",
}
#: More time since a moment means an earlier moment.
_TURNED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}

_Values = list[str | float | int]


def where(conditions: Sequence[Condition], now: float) -> tuple[list[str], _Values]:
    """Terms to be joined by AND, and their parameters.  Raises ``LocalError`` as ``filters.checked`` does."""
    terms: list[str] = []
    values: _Values = []
    for each in conditions:
        field, (_, op, value) = checked(each)
        if field.kind is FieldKind.STATE:
            term = _STATES[str(value)]
            terms.append(f"({term})" if op == "=" else f"NOT ({term})")
        elif field.kind is FieldKind.DOMAIN and op != "~" and "*" not in str(value):
            terms.append(f"{field.attribute} {op} ?")  # stored in lower case, so the index can be used
            values.append(value)
        elif field.kind is FieldKind.ID:
            number = number_of(str(value))
            terms.append(f"message {op} ?")
            values.append(-1 if number is None else number)
        elif isinstance(value, str):
            terms.append(_like(field.attribute, op, value, values))
        elif field.kind is FieldKind.SINCE:
            terms.append(f"{field.attribute} {_TURNED.get(op, op)} ?")
            values.append(now - value)
        else:
            terms.append(f"{field.attribute} {op} ?")
            values.append(now + value if field.kind is FieldKind.UNTIL else value)
    if not asks_for_settled(conditions):
        terms.append("state < 2")
    return terms, values


def _like(column: str, op: str, value: str, values: _Values) -> str:
    if op == "~":
        values.append(f"%{_escaped(value)}%")
        return f"{column} LIKE ? ESCAPE '\\'"
    values.append("%".join(_escaped(part) for part in value.split("*")))
    return f"{column} {'LIKE' if op == '=' else 'NOT LIKE'} ? ESCAPE '\\'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
