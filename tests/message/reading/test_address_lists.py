"""Address fields as RFC 5322 has them, with its obsolete forms, and as programs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address
from posthouse.message.mailboxes import Mailbox, write_mailbox
from posthouse.message.reading.address_lists import read_mailboxes


def read(value: str) -> tuple[list[tuple[str, str]], set[str]]:
    codes: set[str] = set()
    found = read_mailboxes(value, tell=lambda code, text: codes.add(code))
    return [(each.name, str(each.address or "")) for each in found], codes


@pytest.mark.parametrize(
    ("value", "mailboxes"),
    [
        ("", []),
        ("a@x.test", [("", "a@x.test")]),
        ("<a@x.test>", [("", "a@x.test")]),
        ("Ann <a@x.test>", [("Ann", "a@x.test")]),
        ('"Smith, Ann" <a@x.test>, b@y.test', [("Smith, Ann", "a@x.test"), ("", "b@y.test")]),
        (r'"A \"B\" \\ C" <a@x.test>', [('A "B" \\ C', "a@x.test")]),
        ('"a b"@x.test', [("", '"a b"@x.test')]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("a@x.test (Ann (the first))", [("Ann (the first)", "a@x.test")]),
        ("Ann (work) <a@x.test>", [("Ann", "a@x.test")]),
        ("A.N. Other <a@x.test>", [("A.N. Other", "a@x.test")]),
        ("a . b @ x . test", [("", "a.b@x.test")]),
        ("<@r1.test,@r2.test:a@x.test>", [("", "a@x.test")]),
        ("a@x.test,, ,b@y.test,", [("", "a@x.test"), ("", "b@y.test")]),
        ("Team: a@x.test, Ben <b@y.test>;", [("", "a@x.test"), ("Ben", "b@y.test")]),
        ("undisclosed-recipients:;", []),
        ("Team: a@x.test;, c@z.test", [("", "a@x.test"), ("", "c@z.test")]),
        ("=?utf-8?q?Sm=C3=ADth=2C_Ann?= <a@x.test>, b@y.test", [("Smíth, Ann", "a@x.test"), ("", "b@y.test")]),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c <a@x.test>", [("ab c", "a@x.test")]),
        ('"=?utf-8?q?=C3=A9?=" <a@x.test>', [("é", "a@x.test")]),
        ("任平 <任平@例子.测试>", [("任平", "任平@例子.测试")]),
        ("a@x.test.", [("", "a@x.test")]),
    ],
)
def test_what_the_rfc_allows_and_what_is_harmless(value: str, mailboxes: list[tuple[str, str]]) -> None:
    assert read(value) == (mailboxes, set())


@pytest.mark.parametrize(
    ("value", "mailboxes", "code"),
    [
        ("a@x.test; b@y.test", [("", "a@x.test"), ("", "b@y.test")], "semicolon"),
        ("a@x.test <b@y.test>", [("a@x.test", "b@y.test")], "address-as-name"),
        ("Ann a@x.test", [("Ann", "a@x.test")], "bare-address"),
        ("root", [("root", "")], "no-address"),
        ("Ann <>", [("Ann", "")], "no-address"),
        ("<root>", [("root", "")], "no-address"),
        ("Ann <a@x.test, b@y.test", [("Ann", "a@x.test"), ("", "b@y.test")], "open-angle"),
        ('"', [], "open-quotation"),
        ('"Ann <a@x.test>', [("Ann <a@x.test>", "")], "open-quotation"),
        ("a@x.test (Ann", [("Ann", "a@x.test")], "open-comment"),
        ("A <a@x.test> B <b@y.test>", [("A", "a@x.test"), ("", "b@y.test")], "missing-comma"),
        ("=?utf-8?q?j=C3=B6rg=40x=2Etest?=", [("", "jörg@x.test")], "encoded-address"),
    ],
)
def test_what_programs_write_instead(value: str, mailboxes: list[tuple[str, str]], code: str) -> None:
    found, codes = read(value)
    assert found == mailboxes
    assert code in codes


def test_a_mailbox_knows_its_group() -> None:
    first, second = read_mailboxes("My Team: a@x.test; b@y.test")
    assert (first.group, second.group) == ("My Team", "")


def test_the_number_of_mailboxes_is_bounded() -> None:
    found, codes = read("a@x.test," * 20_000)
    assert len(found) == 10_000
    assert "too-many-mailboxes" in codes


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=30)
LOCALS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, LOCALS), max_size=5))
def test_what_we_write_is_read_back(people: list[tuple[str, str]]) -> None:
    mailboxes = [Mailbox(name, Address(local, "x.test")) for name, local in people]
    value = ", ".join(" ".join(write_mailbox(each)) for each in mailboxes)
    found = read_mailboxes(value)
    assert [(each.name, each.address) for each in found] == [(each.name, each.address) for each in mailboxes]


@given(st.text('ab@<>,;:()[]"\\ .=?qQ', max_size=40))
def test_anything_is_read(value: str) -> None:
    assert all(each.name or each.address is not None for each in read_mailboxes(value))
