"""Mailboxes as people write them (RFC 5322 §3.4), and how they are written back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.message import Mailbox, parse_mailboxes
from posthouse.message.mailboxes import write_mailbox


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("langrui@sohu.com", "", Address("langrui", "sohu.com")),
        ("<langrui@sohu.com>", "", Address("langrui", "sohu.com")),
        ("Lang Rui <LangRui@SOHU.com>", "Lang Rui", Address("LangRui", "sohu.com")),
        ("郎锐 <langrui@sohu.com>", "郎锐", Address("langrui", "sohu.com")),
        ("郎锐<郎锐@搜狐.cn>", "郎锐", Address("郎锐", "搜狐.cn")),
        ('"Smith, John" <john@example.org>', "Smith, John", Address("john", "example.org")),
        (r'"a \"b\" <c@d>" <john@example.org>', 'a "b" <c@d>', Address("john", "example.org")),
        ('"a b"@example.org', "", Address("a b", "example.org")),
        ('X <"a,b@c"@example.org>', "X", Address("a,b@c", "example.org")),
        ("root@[192.0.2.1]", "", Address("root", "[192.0.2.1]")),
        ("root@[IPv6:2001:db8::1]", "", Address("root", "[IPv6:2001:db8::1]")),
        ("J. R. O'Neil (sales) <j@example.org>", "J. R. O'Neil (sales)", Address("j", "example.org")),
        ('John "Bob" Dobbs <b@x.test>', "John Bob Dobbs", Address("b", "x.test")),
        ('"John" Dobbs <b@x.test>', "John Dobbs", Address("b", "x.test")),
        ('"A" "B" <b@x.test>', "A B", Address("b", "x.test")),
        ('"A""B"<b@x.test>', "A B", Address("b", "x.test")),
        (r'The "Giant; \"Big\"" Box <b@x.test>', 'The Giant; "Big" Box', Address("b", "x.test")),
        ('"Lang, Rui" 郎锐 <b@x.test>', "Lang, Rui 郎锐", Address("b", "x.test")),
        ("a..b@docomo.ne.jp", "", Address("a..b", "docomo.ne.jp")),
        ("A <a.@docomo.ne.jp>", "A", Address("a.", "docomo.ne.jp")),
    ],
)
def test_one_mailbox(text: str, name: str, address: Address) -> None:
    assert parse_mailboxes(text) == [Mailbox(name, address)]


def test_lists_in_every_form() -> None:
    a, b, c = Address("a", "x.org"), Address("b", "x.org"), Address("c", "x.org")
    want = [Mailbox("", a), Mailbox("B, b", b), Mailbox("C", c)]
    assert parse_mailboxes('a@x.org, "B, b" <b@x.org>,, C <c@x.org>') == want
    assert parse_mailboxes([a, ("B, b", b), "C <c@x.org>"]) == want
    assert parse_mailboxes((Mailbox("", a), Mailbox("B, b", b), Mailbox("C", c))) == want
    assert parse_mailboxes(()) == parse_mailboxes("") == parse_mailboxes(" , ") == []
    assert parse_mailboxes(a) == [Mailbox("", a)]
    assert parse_mailboxes(("A", a)) == [Mailbox("A", a)]
    assert parse_mailboxes(("a@x.org", "b@x.org")) == [Mailbox("", a), Mailbox("", b)]


@pytest.mark.parametrize(
    "text",
    [
        "langrui",
        "@sohu.com",
        "a@",
        "a b@sohu.com",
        "a@b@c",
        "a@-x.org",
        "a@x..org",
        "a@x.org.",
        "Smith, John <john@x.org>",
        "<a@x.org> <b@x.org>",
        "a@x.org <b@x.org>",
        '"open <a@x.org>',
        'a "open <a@x.org>',
        '"a"@"b" <a@x.org>',
        "a@x.org>",
        "<a@x.org",
        "a@[192.0.2.1",
        "a@x.org\r\nBcc: b@x.org",
        '"a\r\nBcc: b@x.org" <a@x.org>',
        "a\x00@x.org",
        "a@x\u2028y.org",
        "x" * 65 + "@x.org",
        "a@" + "x" * 256,
        "a@" + "x" * 64 + ".test",
        "a@b_c.test",
        "A <a@_dmarc.b.test>",
        "\ud800@x.org",
        '""@x.org',
    ],
)
def test_what_is_unclear_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(LocalError, match=r"\w+ \w+ \w+"):
        parse_mailboxes(text, "To")


@pytest.mark.parametrize(
    "address",
    [
        Address("a\r\nX: y", "x.org"),
        Address("a", "x.org\r\nX: y"),
        Address("a", "x.org> SIZE=1"),
        Address("", "x.org"),
        Address("a", ""),
        Address("a\tb", "x.org"),
    ],
)
def test_values_are_validated_too(address: Address) -> None:
    for value in (address, ("Name", address)):
        with pytest.raises(LocalError):
            parse_mailboxes(value)
    with pytest.raises(LocalError, match="U\\+000A"):
        parse_mailboxes(("Name\nX: y", Address("a", "x.org")))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=100),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=16),
)
@settings(deadline=None)
def test_what_is_written_without_encoding_reads_back(name: str, local: str) -> None:
    mailbox = Mailbox(name, Address(local, "example.org"))
    tokens = write_mailbox(mailbox, utf8=True)
    odd = any(character.isspace() and character != " " for character in local)
    if odd:
        with pytest.raises(LocalError):
            parse_mailboxes(mailbox.address)
    elif not any(token.startswith("=?") for token in tokens):
        collapsed = mailbox._replace(name=" ".join(name.split()))
        assert parse_mailboxes(" ".join(tokens)) == [collapsed]
    ascii_only = Mailbox(name, Address("a", "example.org"))
    assert all(token.isascii() for token in write_mailbox(ascii_only))
