"""A question means the same as SQL and as a predicate, whatever is asked of whatever there is."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import LocalError, MethodVerdict
from posthouse.spool import BUCKETS, FIELDS, Condition, RecipientRow
from posthouse.spool.filters import matches, summarized, text_of_conditions
from posthouse.spool.history import Origin, encode, packed_accepted
from posthouse.spool.ids import number_of, text_of
from posthouse.spool.sqlite.queries.search import count, select, summary
from posthouse.spool.sqlite.rows import STATES
from posthouse.spool.sqlite.storage.schema import create

NOW = 1_700_000_000.0
TEXT = st.text("aAbB%_\\.@é*", max_size=5)
SECONDS = st.sampled_from([-10.0, 0.0, *BUCKETS, 300.5, 1e7])
SMALL = st.integers(0, 4).map(float)
NUMBERS = st.integers(1 << 40, (1 << 40) + 5)
WORDS = st.sampled_from(["pass", "fail", "none"])
VERDICTS = st.lists(
    st.builds(
        MethodVerdict,
        st.sampled_from(["spf", "dkim", "dmarc", "arc"]),
        WORDS,
        st.just("x.test"),
        st.just("it says so"),
        st.sampled_from(["", "none", "reject"]),
    ),
    max_size=3,
).map(tuple)


@st.composite
def rows(draw: st.DrawFn) -> list[RecipientRow]:
    keys = draw(st.lists(st.tuples(NUMBERS, st.integers(0, 2)), unique=True, max_size=8))
    verdicts = {number: draw(VERDICTS) for number in sorted({number for number, _ in keys})}
    return [
        RecipientRow(
            text_of(number),
            key,
            draw(TEXT),
            draw(TEXT),
            draw(TEXT).lower(),
            state := draw(st.sampled_from(STATES)).value,
            int(draw(SMALL)),
            NOW - draw(SECONDS),
            NOW + draw(SECONDS),
            int(draw(SMALL)),
            draw(TEXT),
            draw(st.sampled_from(["", "smtp://x:1"])),
            state == "waiting" and draw(st.booleans()),
            verdicts=verdicts[number],
        )
        for number, key in sorted(keys)
    ]


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(sorted(FIELDS)))
    op = draw(st.sampled_from(FIELDS[field].kind.operators))
    values: dict[str, st.SearchStrategy[str | float]] = {
        "state": st.sampled_from(["waiting", "deferred", "active", "held", "delivered", "failed"]),
        "age": SECONDS,
        "due": SECONDS,
        "size": SMALL,
        "attempts": SMALL,
        **dict.fromkeys(("spf", "dkim", "dmarc", "arc"), WORDS | st.just("reject")),
        "id": st.one_of(NUMBERS.map(text_of), st.just("nonsense")),
    }
    other = draw(TEXT) if field in ("from", "to") and op != "~" else ""
    return Condition(field, op, draw(values.get(field, TEXT)), other)


def database(some: list[RecipientRow]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    create(connection)
    numbers = {state.value: number for number, state in enumerate(STATES)}
    connection.executemany(
        f"INSERT INTO recipient VALUES ({','.join('?' * 17)})",
        [
            (
                *(number_of(row.id), row.key, row.destination, numbers[row.state], row.attempts, row.due, row.due),
                *(7 if row.active else None, "", row.last, row.received, row.size, row.sender, row.address),
                *(row.route, 0, 0),
            )
            for row in some
        ],
    )
    connection.executemany(
        "INSERT OR IGNORE INTO story VALUES (?, '', '', '', ?)",
        [(number_of(row.id), encode((packed_accepted(NOW, "", 1, Origin(verdicts=row.verdicts)),))) for row in some],
    )
    return connection


@given(rows(), st.lists(conditions(), max_size=3))
@settings(max_examples=400, deadline=None)
def test_sql_and_predicate_agree(some: list[RecipientRow], asked: list[Condition]) -> None:
    connection = database(some)
    wanted = [row._replace(verdicts=()) for row in some if matches(asked, row, NOW)]
    found = select(connection, asked, NOW, 100, None)
    assert found == wanted, text_of_conditions(asked)
    assert count(connection, asked, NOW) == len(wanted)
    for nth in range(len(wanted)):
        assert select(connection, asked, NOW, 1, (wanted[nth].id, wanted[nth].key)) == wanted[nth + 1 : nth + 2]
    if all(row.state in ("waiting", "held") for row in wanted):
        table = [(row.destination, row.state, row.received) for row in wanted]
        assert summary(connection, asked, NOW) == summarized(table, NOW)
    connection.close()


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*@x", "a@x", True),
        ("*@x", "a@xx", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*b*c*", "abcabc", True),
        ("*bc*b*", "abc", False),
        ("", "", True),
        ("*", "", True),
        ("A@X", "a@x", True),
        ("É", "é", False),
    ],
)
def test_wildcards(pattern: str, text: str, expected: bool) -> None:
    row = RecipientRow(text_of(1), 0, text, "", "", "waiting", 0, NOW, NOW, 0)
    asked = [Condition("from", "=", pattern)]
    assert matches(asked, row, NOW) is expected
    assert (select(database([row]), asked, NOW, 1, None) == [row]) is expected


def test_questions_as_people_write_them() -> None:
    asked = [Condition("domain", "=", "x.test"), Condition("age", ">", 3600.0), Condition("reply", "~", "no such user")]
    assert text_of_conditions([*asked, Condition("from", "=", "")]) == (
        'domain:x.test age>3600 reply~"no such user" from:""'
    )


@pytest.mark.parametrize(
    "wrong",
    [
        Condition("state", "=", "gone"),
        Condition("state", ">", "held"),
        Condition("age", "=", "1h"),
        Condition("to", "=", 5.0),
        Condition("destination", "=", "x'; DROP TABLE message"),
        Condition("size", "= 1 OR", 5.0),
    ],
)
def test_what_has_no_meaning_is_our_fault(wrong: Condition) -> None:
    with pytest.raises(LocalError):
        select(database([]), [wrong], NOW, 1, None)
