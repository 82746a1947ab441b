"""Authors: what From and Sender name is read in every legal form, and nothing else is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message import authors as module
from posthouse.message.authors import Unreadable, authors, from_addresses


def read(headers: bytes) -> list[str]:
    return [str(each) for each in authors(headers)]


@pytest.mark.parametrize(
    ("field", "addresses"),
    [
        (b"From: ann@x.test", ["ann@x.test"]),
        (b"FROM : ann@x.test", ["ann@x.test"]),
        (b"from\t:ann@x.test", ["ann@x.test"]),
        (b"From: Ann <ann@x.test>", ["ann@x.test"]),
        (b"From:\r\n Ann\r\n\t<ann@x.test>", ["ann@x.test"]),
        (b"From: Ann Q. Lee <ann@x.test>", ["ann@x.test"]),
        (b"From: ann@x.test (Ann (the \\) first))", ["ann@x.test"]),
        (b"From: (a, c) ann (x) @ (y) x . test", ["ann@x.test"]),
        (b'From: "Ann @ work" <ann@x.test>', ["ann@x.test"]),
        (b'From: "boss@x.test" <ann@x.test>', ["boss@x.test", "ann@x.test"]),
        (b'From: "The boss <boss@x.test>" <ann@x.test>', ["boss@x.test", "ann@x.test"]),
        (b'From: "bo\\ss\\@x.test" <ann@x.test>', ["boss@x.test", "ann@x.test"]),
        (b'From: "ann@x.test" <ann@x.test>', ["ann@x.test", "ann@x.test"]),
        (b"From: ann@x.test (boss@x.test)", ["ann@x.test", "boss@x.test"]),
        (b"From: ann@x.test (the (boss\\@x.test))", ["ann@x.test", "boss@x.test"]),
        (b'From: "boss@x.test": ann@x.test;', ["boss@x.test", "ann@x.test"]),
        (b'From: "=?utf-8?q?boss=40x=2Etest?=" <ann@x.test>', ["boss@x.test", "ann@x.test"]),
        (b"From: =?utf-8?q?boss=40x.test?= <ann@x.test>", ["boss@x.test", "ann@x.test"]),
        (b"From: =?utf-8?q?boss=40?= =?us-ascii?q?x.test?= <ann@x.test>", ["boss@x.test", "ann@x.test"]),
        (b"From: =?utf-8?b?Ym9zc0B4LnRlc3Q=?= <ann@x.test>", ["boss@x.test", "ann@x.test"]),
        ("From: boss\uff20x.test <ann@x.test>".encode(), ["boss@x.test", "ann@x.test"]),
        (b'From: "a, \\" b" <ann@x.test>', ["ann@x.test"]),
        (b"From: =?utf-8?q?boss=40x=2Etest?= <ann@x.test>", ["boss@x.test", "ann@x.test"]),
        (b"From: =?utf-8?q?Ann=2C_at_work?= <ann@x.test>", ["ann@x.test"]),
        (b"From: \xe9\xff Ann <ann@x.test>", ["ann@x.test"]),
        ("From: 郎锐 <郎@例子.测试>".encode(), ["郎@例子.测试"]),
        (b"From: ann@x.test <bob@x.test>", ["ann@x.test", "bob@x.test"]),
        (b"From: ann@x.test, Bob <bob@x.test>", ["ann@x.test", "bob@x.test"]),
        (b"From: , ann@x.test, , bob@x.test,", ["ann@x.test", "bob@x.test"]),
        (b"From: Team: ann@x.test, Bob <bob@x.test>;", ["ann@x.test", "bob@x.test"]),
        (b"From: Team: ann@x.test;, bob@x.test", ["ann@x.test", "bob@x.test"]),
        (b"From: <@a.test,@b.test:ann@x.test>", ["ann@x.test"]),
        (b'From: "ann"@x.test', ["ann@x.test"]),
        (b"From: ann@[192.0.2.1]", ["ann@[192.0.2.1]"]),
        (b"From: ann@x.test\r\nSender: bob@x.test", ["ann@x.test", "bob@x.test"]),
        (b"Subject: From: x@y.test\r\nFrom: ann@x.test\r\nTo: <boss@x.test>", ["ann@x.test"]),
        (b"X-From: x@y.test\r\nFrom: ann@x.test\r\nResent-From: boss@x.test", ["ann@x.test"]),
    ],
)
def test_every_legal_form_is_read(field: bytes, addresses: list[str]) -> None:
    assert read(field) == addresses


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"Subject: x",
        b"Sender: ann@x.test",
        b"From:",
        b"From: Ann",
        b"From: <>",
        b"From: Nobody:;",
        b"From: ann@x.test\r\nFrom: ann@x.test",
        b"From: ann@x.test\r\nX: y\r\nfrom : boss@x.test",
        b"From: <ann@x.test> <boss@x.test>",
        b"From: <ann@x.test> boss@x.test",
        b"From: ann@x.test boss@x.test",
        b'From: "Ann" ann@x.test',
        b"From: ann@x.test>",
        b"From: <ann@x.test",
        b"From: ann@x.test (comment",
        b'From: "ann <ann@x.test>',
        b"From: ann..lee@x.test",
        b"From: ann@",
        b"From: @x.test",
        b"From: ann@x@y.test",
        b"From: a: b: ann@x.test;;",
        b"From: ann@x.test; boss@x.test",
        b"From: Team: ann@x.test; boss@x.test",
        b"From: Team: ann@x.test",
        b"From: ann@x.test\x00",
        b"From: ann@x.test\r\nboss@x.test\r\nTo: b@x.test",
        b"X: y\nFrom: boss@x.test\r\nFrom: ann@x.test",
        b"X: y\rFrom: boss@x.test\r\nFrom: ann@x.test",
        b"From: ann@x.test\r\nSender: ann@x.test, bob@x.test",
        b"From: ann@x.test\r\nSender: ann@x.test\r\nSender: boss@x.test",
        b"From: " + b"a" * 20_000 + b"@x.test",
        b"From: " + b"a@x.test, " * 200,
        b"From: " + b"(" * 10_000,
    ],
)
def test_what_two_programs_could_read_differently_is_refused(field: bytes) -> None:
    with pytest.raises(Unreadable):
        authors(field)


@given(st.lists(st.sampled_from([*'<>(),;:.@"\\[] \t', "a", "b@x.test", "\r\n ", "é", "\0"]), max_size=30).map("".join))
def test_garbage_is_read_or_refused(value: str) -> None:
    try:
        found = authors(b"From: " + value.encode())
    except Unreadable:
        return
    assert found


PIECES = st.sampled_from(
    [
        "ann",
        "x.test",
        "@",
        "<",
        ">",
        " ",
        "\t",
        ".",
        ",",
        '"',
        "\\",
        "(",
        ")",
        ":",
        ";",
        "Ann",
        "b",
        "[",
        "]",
        "\r\n ",
        "é",
        "=",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_usual_form_of_from_is_read_as_every_other(value: str) -> None:
    """The short way and the reader of the whole grammar give the same."""
    field = f"From: {value}\r\n".encode()

    def read_so(usual: object) -> list[str] | str:
        saved = module._USUAL_AT_MOST
        module._USUAL_AT_MOST = usual  # type: ignore[misc,assignment]
        try:
            return [str(each) for each in from_addresses(field)]
        except Unreadable as error:
            return str(error)
        finally:
            module._USUAL_AT_MOST = saved  # type: ignore[misc]

    assert read_so(500) == read_so(-1)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b" ann@x.test", "ann@x.test"),
        (b" <ann@x.test>", "ann@x.test"),
        (b" Ann Lee <ann.lee@X.test> ", "ann.lee@X.test"),
        (b' "Lee, Ann (boss@y.test)" <ann@x.test>', "ann@x.test"),
        (b" boss@y.test <ann@x.test>", "ann@x.test"),
        (b" Ann (boss@y.test) <ann@x.test>", "ann@x.test"),
    ],
)
def test_only_the_address_in_from_is_the_author(value: bytes, address: str) -> None:
    assert [str(each) for each in from_addresses(b"From:" + value + b"\r\nSender: a@b.test\r\n")] == [address]


@pytest.mark.parametrize(
    "value",
    [
        b"ann@x.test>",
        b"<ann@x.test",
        b"Ann ann@x.test",
        b"a@b.test c@d.test",
        b"<a@b.test> x",
        b"a>b@c.test",
        b"a@b.test> ",
        b"<a@b.test ",
    ],
)
def test_what_is_no_address_is_not_guessed(value: bytes) -> None:
    with pytest.raises(Unreadable):
        from_addresses(b"From: " + value + b"\r\n")
