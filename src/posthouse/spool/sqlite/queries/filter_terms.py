"""The conditions of a filter as SQL: terms over the columns of the ``recipient`` table, and their parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from posthouse.spool.filters import Condition, FieldKind, checked
from posthouse.spool.history import VERDICTS_AT
from posthouse.spool.ids import number_of

__all__ = ["where"]

_STATE_TERMS: Final = {
    "waiting": "state = 0",
    "deferred": "state = 0 AND attempts > 0",
    "active": "state = 0 AND slot IS NOT NULL",
    "held": "state = 1",
    "delivered": "state = 2",
    "failed": "state = 3",
}
#: More time since a moment means an earlier moment.
_TURNED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
#: A verdict in the first event of the message's history (``history.packed_accepted``).
_VERDICT: Final = (
    f"EXISTS (SELECT 1 FROM story, json_each(CAST(story.told AS TEXT), '$[0][{VERDICTS_AT}]') AS verdict"
    " WHERE story.id = message AND json_extract(verdict.value, '$[0]') = ?"
    " AND (json_extract(verdict.value, '$[1]') = ? OR json_extract(verdict.value, '$[4]') = ?))"
)
_Values = list[str | float | int]


def where(conditions: Sequence[Condition], now: float) -> tuple[list[str], _Values]:
    """Terms to be joined by AND, and their parameters.  Raises ``LocalError`` as ``filters.checked`` does."""
    terms: list[str] = []
    values: _Values = []
    fields, settled = checked(conditions)
    for field, (_, op, value, other) in fields:
        if field.kind is FieldKind.STATE:
            term = _STATE_TERMS[str(value)]
            terms.append(f"({term})" if op == "=" else f"NOT ({term})")
        elif field.kind is FieldKind.VERDICT:
            terms.append(_VERDICT if op == "=" else f"NOT {_VERDICT}")
            values += [field.attribute, value, value]
        elif field.kind is FieldKind.DOMAIN and op != "~" and "*" not in str(value):
            terms.append(f"{field.attribute} {op} ?")  # stored in lower case, so the index can be used
            values.append(value)
        elif field.kind is FieldKind.ID:
            number = number_of(str(value))
            terms.append(f"message {op} ?")
            values.append(-1 if number is None else number)
        elif field.attribute == "address":
            terms.append(_either(_any_address, op, value, other, values))
        elif isinstance(value, str):
            terms.append(_either(partial(_like, field.attribute), op, value, other, values))
        elif field.kind is FieldKind.SINCE:  # what came while the calendar was ahead is 0 s old
            turned = f"{field.attribute} {_TURNED.get(op, op)} ?"
            terms.append(turned if value > 0 else f"max(0.0, ? - {field.attribute}) {op} ?")
            values += [now - value] if value > 0 else [now, value]
        else:
            terms.append(f"{field.attribute} {op} ?")
            values.append(now + value if field.kind is FieldKind.UNTIL else value)
    if not settled:
        terms.append("state < 2")
    return terms, values


def _either(term: Callable[[str, str, _Values], str], op: str, value: str | float, other: str, values: _Values) -> str:
    """The term of a condition whose value may have another spelling."""
    if not other:
        return term(op, str(value), values)
    both = f"({term('=', str(value), values)} OR {term('=', other, values)})"
    return both if op == "=" else f"NOT {both}"


def _like(column: str, op: str, value: str, values: _Values) -> str:
    if op == "~":
        values.append(f"%{_escaped(value)}%")
        return f"{column} LIKE ? ESCAPE '\\'"
    values.append("%".join(_escaped(part) for part in value.split("*")))
    return f"{column} {'LIKE' if op == '=' else 'NOT LIKE'} ? ESCAPE '\\'"


#: The lines of the column ``address`` (``rows.address_column``) as a JSON array.
_LINES: Final = """'["' || replace(replace(replace(address, '\\', '\\\\'), '"', '\\"'), char(10), '","') || '"]'"""


def _any_address(op: str, value: str, values: _Values) -> str:
    """A recipient's own address meets the condition, or one that led to it."""
    one = _like("address", "~" if op == "~" else "=", value, values)
    if op == "~":  # no line end is asked for, so the text is found within one line
        return one
    values.append(values[-1])
    one_of = f"EXISTS (SELECT 1 FROM json_each({_LINES}) WHERE {one.replace('address', 'value')})"
    term = f"CASE WHEN instr(address, char(10)) = 0 THEN {one} ELSE {one_of} END"
    return term if op == "=" else f"NOT ({term})"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
