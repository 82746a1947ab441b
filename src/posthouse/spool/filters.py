"""Filters of the queue: a conjunction of conditions, each on one field of a recipient.

``FIELDS`` declares every field once: its name, kind, attribute, help text and aliases.  The kind decides the operators
(here), the predicate (``matches``), the SQL (``sqlite.queries.filter_terms``) and how a value is written
(``service.operations.filter_language``), so a new field of an existing kind is one more row of the table.

Text is compared without regard to the case of ASCII letters, as SQLite's LIKE does; ``*`` stands for any characters,
and ``~`` asks whether the text contains the value.  Settled recipients are left out unless a condition on
``state`` names them.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from posthouse.core import LocalError, MethodVerdict
from posthouse.spool.ids import number_of

__all__ = [
    "BUCKETS",
    "Condition",
    "FIELDS",
    "FieldKind",
    "FilterField",
    "LargestDestinations",
    "RecipientRow",
    "STATES",
    "SummaryRow",
    "checked",
    "matches",
    "summarized",
    "text_of_conditions",
    "text_of_numbers",
]

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NUMBERS: Final = tuple(_ORDER)
_TEXT: Final = ("=", "!=", "~")


class FieldKind(enum.Enum):
    """Kind of a field's values.  ``operators`` are those that it takes, ``textual`` says that values are text."""

    TEXT = ("text", _TEXT, True)
    ADDRESS = ("address", _TEXT, True)
    DOMAIN = ("domain", _TEXT, True)  # A-labels, stored in lower case
    STATE = ("state", ("=", "!="), True)
    ID = ("id", _NUMBERS, True)  # a queue id; ids are ordered by the time of their making
    SIZE = ("size", _NUMBERS, False)  # octets
    COUNT = ("count", _NUMBERS, False)
    SINCE = ("since", _NUMBERS, False)  # seconds that have passed since the time in the row
    VERDICT = ("verdict", ("=", "!="), True)  # the word of a method of message authentication
    UNTIL = ("until", _NUMBERS, False)  # seconds that are left until the time in the row; below 0 if it has passed

    def __init__(self, _name: str, operators: tuple[str, ...], textual: bool) -> None:
        self.operators = operators
        self.textual = textual


class FilterField(NamedTuple):
    """One field of the filter language.

    Attributes:
        attribute: the attribute of ``RecipientRow``, and the column of the ``recipient`` table, with its value.
        meaning: what the field is, for ``--help`` and the manual.
        example: a condition with it.
        aliases: names that other systems have for it; errors suggest the field to users who write one of them.
    """

    name: str
    kind: FieldKind
    attribute: str
    meaning: str
    example: str
    aliases: tuple[str, ...] = ()


#: Every field by name, in the order in which the manual explains them.
FIELDS: Final[Mapping[str, FilterField]] = MappingProxyType(
    {
        each.name: each
        for each in (
            FilterField(
                "domain",
                FieldKind.DOMAIN,
                "destination",
                "the domain that the mail goes to",
                "domain:example.org",
                ("destination", "host"),
            ),
            FilterField(
                "state",
                FieldKind.STATE,
                "state",
                "waiting (deferred and active too), deferred (tried before), active (being tried now), held, or, while "
                "others of the message wait, delivered or failed",
                "state:deferred",
                ("status",),
            ),
            FilterField(
                "age",
                FieldKind.SINCE,
                "received",
                "time since the message was received",
                "age>1h",
                ("older", "received"),
            ),
            FilterField(
                "due",
                FieldKind.UNTIL,
                "due",
                "time until the next attempt; below 0 if it is overdue",
                "due<10m",
                ("next",),
            ),
            FilterField(
                "from",
                FieldKind.ADDRESS,
                "sender",
                'the sender; "" is the null reverse-path of delivery reports',
                "from:*@example.net",
                ("sender", "mail"),
            ),
            FilterField(
                "to",
                FieldKind.ADDRESS,
                "address",
                "the recipient, or the alias, list or moved address that led to it",
                "to:bob@example.org",
                ("recipient", "rcpt"),
            ),
            FilterField(
                "reply",
                FieldKind.TEXT,
                "last",
                "the text of the last attempt's result",
                'reply~"4.7"',
                ("error", "reason", "last"),
            ),
            FilterField("size", FieldKind.SIZE, "size", "the size of the message", "size>1M", ("bytes", "octets")),
            FilterField("attempts", FieldKind.COUNT, "attempts", "attempts made", "attempts>=3", ("tries",)),
            FilterField("id", FieldKind.ID, "id", "the queue id", "id:3x9k0d5n2c7hb"),
            FilterField("spf", FieldKind.VERDICT, "spf", "what SPF said of the message", "spf:softfail"),
            FilterField("dkim", FieldKind.VERDICT, "dkim", "what DKIM said of the message", "dkim:fail"),
            FilterField(
                "dmarc",
                FieldKind.VERDICT,
                "dmarc",
                "what DMARC said of the message, or the policy that it failed",
                "dmarc:reject",
            ),
            FilterField("arc", FieldKind.VERDICT, "arc", "what ARC said of the message", "arc:pass"),
        )
    }
)


class Condition(NamedTuple):
    """One condition.  ``value`` is text where the field's kind is textual, else a number of seconds, octets or
    attempts.  ``other`` is another spelling of an address, which counts like ``value``; "" without one."""

    field: str
    op: str
    value: str | float
    other: str = ""

    def __str__(self) -> str:
        """As users write it, with seconds and octets as plain numbers."""
        value = self.value if isinstance(self.value, str) else f"{self.value:.12g}"
        if value == "" or " " in value:
            value = f'"{value}"'
        return f"{self.field}{':' if self.op == '=' else self.op}{value}"


class RecipientRow(NamedTuple):
    """One recipient as a listing shows it.

    ``id`` and ``key`` name it; times in calendar seconds; ``sender`` is "" for the null reverse-path; ``state`` is
    ``waiting``, ``held``, ``delivered`` or ``failed``; ``active`` while it is leased; ``route`` is what an operator
    put in the place of its route, "" for none; ``last`` how the last attempt ended, in words; ``originals`` the other
    addresses that the client named and that led to this recipient; ``verdicts`` those of message authentication, as far
    as the row was read for a filter that asks for them.
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
    originals: tuple[str, ...] = ()
    verdicts: tuple[MethodVerdict, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipient's own address and those that led to it."""
        return (self.address, *self.originals)


#: The upper ends of the summary's ages, in seconds; the last column has what is older.
BUCKETS: Final = (300.0, 3600.0, 14_400.0, 86_400.0, 432_000.0)


class SummaryRow(NamedTuple):
    """Numbers of recipients that wait for one destination, by age: one count for each of ``BUCKETS`` and one for the
    older.

    ``waiting`` and ``held`` part the same recipients by state; ``oldest`` is when the oldest was received.
    """

    destination: str
    ages: tuple[int, ...]
    waiting: int
    held: int
    oldest: float

    @property
    def total(self) -> int:
        """All of them; those that are delivered or failed too, where a condition asked for them."""
        return sum(self.ages)


class LargestDestinations(NamedTuple):
    """The summary of the largest destinations, and the numbers of recipients and of destinations in all."""

    rows: Sequence[SummaryRow]
    recipients: int
    destinations: int


#: The values of a field of kind STATE; ``waiting`` has the deferred and active ones too.
STATES: Final = ("waiting", "deferred", "active", "held", "delivered", "failed")
_SETTLED: Final = frozenset({"delivered", "failed"})
_FOLD: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def checked(conditions: Sequence[Condition]) -> tuple[list[tuple[FilterField, Condition]], bool]:
    """The field of each condition, with the condition, its domain in lower case; and whether recipients that are
    delivered or failed are asked for.

    Raises ``LocalError`` for a field, operator or value that ``FIELDS`` does not allow.
    """
    fields, settled = [], False
    for condition in conditions:
        name, op, value, _ = condition
        field = FIELDS.get(name)
        if field is None or op not in field.kind.operators:
            raise LocalError(f"there is no condition {name!r} {op!r}")
        if isinstance(value, str) is not field.kind.textual:
            what = "text" if field.kind.textual else "a number"
            raise LocalError(f"{name!r} is compared with {what}, not with {value!r}")
        if field.kind is FieldKind.STATE:
            if value not in STATES:
                raise LocalError(f"there is no state {value!r}; there are {', '.join(STATES)}")
            settled = settled or (op == "=" and value in _SETTLED)
        elif field.kind is FieldKind.DOMAIN:
            condition = Condition(name, op, str(value).translate(_FOLD))
        fields.append((field, condition))
    return fields, settled


def matches(conditions: Sequence[Condition], row: RecipientRow, now: float) -> bool:
    """Whether ``row`` meets all conditions.  Raises ``LocalError`` as ``checked`` does."""
    fields, settled = checked(conditions)
    if row.state in _SETTLED and not settled:
        return False
    return all(_matches(field, condition, row, now) for field, condition in fields)


def _matches(field: FilterField, condition: Condition, row: RecipientRow, now: float) -> bool:
    _, op, wanted, other_spelling = condition
    if other_spelling:
        either = (condition._replace(op="=", value=each, other="") for each in (wanted, other_spelling))
        return any(_matches(field, each, row, now) for each in either) is (op == "=")
    if field.attribute == "address" and row.originals:
        found = any(
            _matches(
                field, condition._replace(op="~" if op == "~" else "="), row._replace(address=each, originals=()), now
            )
            for each in row.addresses
        )
        return found is (op != "!=")
    if field.kind is FieldKind.VERDICT:
        said = any(each.method == field.attribute and wanted in (each.result, each.policy) for each in row.verdicts)
        return said is (op == "=")
    value = getattr(row, field.attribute)
    match field.kind:
        case FieldKind.STATE:
            return _is_in_state(row, str(wanted)) is (op == "=")
        case FieldKind.TEXT | FieldKind.ADDRESS | FieldKind.DOMAIN:
            text, part = str(value).translate(_FOLD), str(wanted).translate(_FOLD)
            return part in text if op == "~" else _like(text, part) is (op == "=")
        case FieldKind.ID:
            number, other = number_of(str(value)), number_of(str(wanted))
            return _ORDER[op](-1 if number is None else number, -1 if other is None else other)
        case FieldKind.SINCE:
            return _ORDER[op](max(0.0, now - value), wanted)  # it came before the calendar was set back
        case FieldKind.UNTIL:
            return _ORDER[op](value - now, wanted)
        case _:
            return _ORDER[op](value, wanted)


def _is_in_state(row: RecipientRow, state: str) -> bool:
    if state == "active":
        return row.state == "waiting" and row.active
    if state == "deferred":
        return row.state == "waiting" and row.attempts > 0
    return row.state == state


def _like(text: str, pattern: str) -> bool:
    """Whether ``text`` matches the pattern, in which ``*`` stands for any characters."""
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
    """The whole filter as users write it, for the audit log."""
    return " ".join(map(str, conditions)) or "all"


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
