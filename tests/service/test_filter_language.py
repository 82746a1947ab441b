"""The filter language: what is written, what is meant, and what is said about mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.service.operations import filter_language
from posthouse.service.operations.filter_language import MOST_CONDITIONS, FilterError, fields_help, parse_filter
from posthouse.spool import filters
from posthouse.spool.filters import FIELDS, Condition, FieldKind, FilterField, RecipientRow, matches, text_of_conditions
from posthouse.spool.sqlite.queries.filter_terms import where


def test_the_example_of_the_manual() -> None:
    text = 'domain:example.org state:deferred age>1h from:*@x reply~"4.7" size>1M attempts>=3'
    assert parse_filter(text) == (
        Condition("domain", "=", "example.org"),
        Condition("state", "=", "deferred"),
        Condition("age", ">", 3600.0),
        Condition("from", "=", "*@x"),
        Condition("reply", "~", "4.7"),
        Condition("size", ">", 1_000_000.0),
        Condition("attempts", ">=", 3.0),
    )


def test_nothing_means_everything() -> None:
    assert parse_filter("") == parse_filter(" \t\n") == ()


@pytest.mark.parametrize(
    ("text", "field", "op", "value"),
    [
        ("DOMAIN:Example.ORG.", "domain", "=", "example.org"),
        ("domain=*.example.org", "domain", "=", "*.example.org"),
        ("domain:例子.test", "domain", "=", "xn--fsqu00a.test"),
        ("domain!=example.org", "domain", "!=", "example.org"),
        ("domain~example", "domain", "~", "example"),
        ("state:HELD", "state", "=", "held"),
        ("state!=hold", "state", "!=", "held"),
        ("from:<>", "from", "=", ""),
        ('from:""', "from", "=", ""),
        ("from:<ann@example.org>", "from", "=", "ann@example.org"),
        ('to:"a b"@example.org', "to", "=", '"a b"@example.org'),
        ('to:"*@example.org"', "to", "=", "*@example.org"),
        ('reply~"no such \\"user\\""', "reply", "~", 'no such "user"'),
        ('reply~no" such "user', "reply", "~", "no such user"),
        ("reply~4.7.1", "reply", "~", "4.7.1"),
        ("age>90", "age", ">", 90.0),
        ("age>=1d12h", "age", ">=", 129_600.0),
        ("age<1w", "age", "<", 604_800.0),
        ("age=>1.5h", "age", ">=", 5400.0),
        ("due<now", "due", "<", 0.0),
        ("due<-5m", "due", "<", -300.0),
        ("due>1h", "due", ">", 3600.0),
        ("size<500K", "size", "<", 500_000.0),
        ("size>1.5MiB", "size", ">", 1_572_864.0),
        ("size>=2g", "size", ">=", 2e9),
        ("size:10", "size", "=", 10.0),
        ("attempts!=0", "attempts", "!=", 0.0),
        ("id:3X9K0D5N2C7HB", "id", "=", "3x9k0d5n2c7hb"),
        ("id>=3x9k0d5n2c7hb", "id", ">=", "3x9k0d5n2c7hb"),
    ],
)
def test_what_is_meant(text: str, field: str, op: str, value: str | float) -> None:
    (found,) = parse_filter(text)
    assert found == Condition(field, op, value)
    where([found], 1e9)  # the spool takes it


@pytest.mark.parametrize(
    ("text", "position", "cause", "remedy"),
    [
        ("age>1h sate:held", 7, 'no field "sate"', 'did you mean "state", as in state:deferred?'),
        ("recipient:bob", 0, 'no field "recipient"', 'did you mean "to"'),
        ("colour:red", 0, 'no field "colour"', "the fields are domain, state"),
        ("state:helt", 6, 'no state "helt"', "did you mean state:held?"),
        ("state:xyzzy", 6, 'no state "xyzzy"', "there are waiting"),
        ("age>soon", 4, "no duration", "1d12h"),
        ("age>5x", 4, "no duration", "s m h d w"),
        ("age>-5m", 4, "never below 0", "minus"),
        ("age~5m", 3, "cannot be compared with ~", "age>1h"),
        ("domain>x", 6, "cannot be compared with >", "domain:example.org"),
        ("size>big", 5, "no size", "1.5M"),
        ("attempts>=2_5", 10, "no whole number", "3"),
        ("attempts>=٣", 10, "no whole number", "3"),
        ("id:abc", 3, "no queue id", "queue list"),
        ("domain:", 7, "compared with nothing", "domain:example.org"),
        ('to:""', 5, "compared with nothing", "to:bob@example.org"),
        ("domain:a..例", 7, "no domain name", "xn--"),
        ('reply~"busy', 6, "never closes", "around the value"),
        ('"', 0, "never closes", "around the value"),
        ("hello", 0, '"hello" is no condition', "as in domain:example.org"),
        ("domain example.org", 0, '"domain" is no condition', "as in domain:example.org"),
        ("age>1h and size>1M", 7, '"and" is no condition', "leave it out"),
        ("age>1h or size>1M", 7, '"or" is no condition', "ask twice"),
        ("4.7.1", 0, "is no condition", "did you mean reply~4.7.1?"),
        ("held", 0, "is no condition", "did you mean state:held?"),
        ("example.org", 0, "is no condition", "did you mean domain:example.org?"),
        ("<bob@example.org>", 0, "is no condition", "did you mean to:bob@example.org, or from:bob@example.org?"),
        ("3x9k0d5n2c7hb", 0, "is no condition", "did you mean id:3x9k0d5n2c7hb?"),
        (":x", 0, "is no condition", "domain:example.org"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, position: int, cause: str, remedy: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(text)
    error = raised.value
    assert (error.text, error.position) == (text, position)
    assert cause in error.message
    assert f"(at character {position + 1})" in error.message
    assert remedy in error.remedy
    assert "\n" not in str(error)


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("op", [":", "!="])
@pytest.mark.parametrize("local", ["u", "李四", "*"])
def test_an_address_is_meant_in_both_spellings_of_its_domain(field: str, op: str, local: str) -> None:
    """The spool has the spelling that the client used."""
    for written, other in (("例子.test", "xn--fsqu00a.test"), ("xn--fsqu00a.test", "例子.test")):
        (condition,) = parse_filter(f"{field}{op}{local}@{written}")
        assert (condition.value, condition.other) == (f"{local}@{written}", f"{local}@{other}")
        for stored in (written, other):
            row = RecipientRow("x", 0, f"U@{stored}", f"U@{stored}", "d", "waiting", 0, 0.0, 0.0, 0)
            if local != "李四":
                assert matches([condition], row, 0.0) is (op == ":")
    assert [each.other for each in parse_filter(f"{field}:u@x.test {field}:*@*.例子.test {field}~u@例子.test")] == [
        ""
    ] * 3


def test_bounds() -> None:
    assert len(parse_filter("age>1h " * MOST_CONDITIONS)) == MOST_CONDITIONS
    with pytest.raises(FilterError, match="more than"):
        parse_filter("age>1h " * (MOST_CONDITIONS + 1))
    with pytest.raises(FilterError, match="longer than"):
        parse_filter("x" * 10_000)


def test_every_field_is_explained_by_an_example_that_works() -> None:
    for name, meaning, example in fields_help():
        (found,) = parse_filter(example)
        assert found.field == name
        assert meaning
    together = " ".join(example for _, _, example in fields_help())
    assert len(parse_filter(together)) == len(FIELDS)


def test_a_new_field_is_one_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the table is parsed, explained, a predicate and SQL."""
    row = FilterField("route", FieldKind.TEXT, "route", "the route that an operator set", "route~relay")
    more = {**FIELDS, "route": row}
    monkeypatch.setattr(filters, "FIELDS", more)
    monkeypatch.setattr(filter_language, "FIELDS", more)
    asked = parse_filter("route~relay")
    assert asked == (Condition("route", "~", "relay"),)
    assert ("route", row.meaning, row.example) in fields_help()
    recipient = RecipientRow("72jhzb4zx8tbr", 0, "", "a@b", "b", "waiting", 0, 0.0, 0.0, 0, route="smtp://relay:25")
    assert filters.matches(asked, recipient, 0.0)
    assert not filters.matches(asked, recipient._replace(route=""), 0.0)
    assert where(asked, 0.0) == (["route LIKE ? ESCAPE '\\'", "state < 2"], ["%relay%"])
    with pytest.raises(FilterError, match='did you mean "route"'):
        parse_filter("rout:x")


def test_what_the_audit_log_says_means_the_same() -> None:
    asked = parse_filter('domain:*.example.org age>1h size>=1Ki from:<> reply~"a b" attempts:2')
    assert parse_filter(text_of_conditions(asked)) == asked


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text('domainage:~<>="\\ 0123456789hM*@.', max_size=60))
def test_any_text_has_a_meaning_or_a_mistake_within_it(text: str) -> None:
    try:
        found = parse_filter(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 - either end is right
    else:
        where(found, 0.0)
