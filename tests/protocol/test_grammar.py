"""Paths, mailboxes, domains, literals, greetings, xtext: each production with what it takes and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address
from posthouse.protocol.commands import Rcpt
from posthouse.protocol.grammar import (
    GrammarError,
    domain_to_ascii,
    domain_to_unicode,
    has_controls,
    parse_domain,
    parse_greeting_domain,
    parse_literal,
    parse_mailbox,
    parse_parameter,
    parse_path,
    with_ascii_domain,
    xtext_decode,
    xtext_encode,
)
from posthouse.protocol.leniency import utf8_tolerated
from posthouse.protocol.limits import Limits

PROPERTY = settings(max_examples=200, deadline=None)


# Paths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("<langrui@sohu.com>", "langrui", "sohu.com"),
        ("<LangRui@SOHU.Com>", "LangRui", "sohu.com"),
        ("<a@b>", "a", "b"),
        ("<first.last@a-b.c1.example>", "first.last", "a-b.c1.example"),
        ("<!#$%&'*+-/=?^_`{|}~@x.example>", "!#$%&'*+-/=?^_`{|}~", "x.example"),
        ("<1@2>", "1", "2"),
        ('<"a b"@x>', "a b", "x"),
        ('<""@x>', "", "x"),
        ('<"Joe\\,Smith"@x>', "Joe,Smith", "x"),
        ('<"a\\"b\\\\c"@x>', 'a"b\\c', "x"),
        ('<"a>b@c"@x>', "a>b@c", "x"),
        ('<"plain"@x>', "plain", "x"),
        ('<"a..b"@x>', "a..b", "x"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("<a@[IPV6:2001:DB8::1]>", "a", "[IPv6:2001:db8::1]"),
        ("<a@[X-Tag:a>b@c]>", "a", "[x-tag:a>b@c]"),
        ("<@a,@b.example:user@c>", "user", "c"),
        ("<@a:user@c>", "user", "c"),
        ('<@a:"x y"@c>', "x y", "c"),
        ("<Postmaster>", "Postmaster", ""),
        ("<pOSTMASTER>", "pOSTMASTER", ""),
        ("<postmaster@Example.org>", "postmaster", "example.org"),
        ("<用户@例子.中国>", "用户", "例子.中国"),
        ("<用户@xn--fsqu00a.xn--fiqs8s>", "用户", "xn--fsqu00a.xn--fiqs8s"),
        ("<é@Bücher.EXAMPLE>", "é", "bücher.example"),
        ("<e\u0301@x>", "e\u0301", "x"),  # not composed: kept as it came
        ('<"两 个"@x>', "两 个", "x"),
        ("<🐎@x>", "🐎", "x"),
    ],
)
def test_a_path_gives_its_meaning(text: str, local: str, domain: str) -> None:
    assert parse_path(text) == Address(local, domain)


def test_the_null_path_is_none() -> None:
    assert parse_path("<>") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        ">",
        "a@b",
        "<a@b",
        "a@b>",
        "<a>",
        "<@b>",
        "<a@>",
        "<a@@b>",
        "<a@b@c>",
        "<<a@b>>",
        "< a@b>",
        "<a@b >",
        "< >",
        "<a b@c>",
        "<a@b c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a,b@c>",
        "<a(b)@c>",
        '<"a@b>',
        '<"a"b@c>',
        '<"a"."b"@c>',
        '<"a\\"@c>',
        '<a"b"@c>',
        '<"a">',
        "<a\\b@c>",
        "<a@b.>",
        "<a@.b>",
        "<a@b..c>",
        "<a@-b>",
        "<a@b->",
        "<a@b_c>",
        "<a@b\n>",
        "<a\r@b>",
        "<a\x00@b>",
        "<a\x7f@b>",
        '<"a\tb"@c>',
        '<"a\\\nb"@c>',
        '<"a\\é"@c>',
        "<a\x85@b>",
        '<"\x9f"@b>',
        "<a\u2028@b>",
        "<a\u2029@b>",
        "<a\ud800@b>",
        "<a@b\ud800>",
        "<@a>",
        "<@a:>",
        "<@a,:u@c>",
        "<@a,b:u@c>",
        "<@a_b:u@c>",
        "<@a,@b u@c>",
        "<@a:Postmaster>",
        "<a@[192.0.2.1>",
        "<a@[192.0.2.1].example>",
        "<a@192.0.2.1]>",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_path(text)
    assert caught.value.enhanced == "5.1.3"
    assert str(caught.value).isascii()


def test_missing_brackets_name_the_remedy() -> None:
    with pytest.raises(GrammarError, match="write <user@domain>"):
        parse_path("user@example.org")


def test_lengths_are_octets_and_the_limit_itself_is_allowed() -> None:
    assert parse_path(f"<{'a' * 64}@x>") == Address("a" * 64, "x")
    with pytest.raises(GrammarError, match="local part is longer than 64"):
        parse_path(f"<{'a' * 65}@x>")
    assert parse_path(f"<{'é' * 32}@x>") == Address("é" * 32, "x")
    with pytest.raises(GrammarError, match="local part is longer than 64"):
        parse_path(f"<{'é' * 33}@x>")
    with pytest.raises(GrammarError, match="local part is longer than 64"):
        parse_path(f'<"{"a" * 63}"@x>')  # the quotes count: they are on the wire
    whole = "a@" + ".".join(["b" * 63] * 3) + "." + "c" * 60
    assert len(whole) == 254
    assert parse_path(f"<{whole}>") == Address(*whole.split("@"))
    assert parse_mailbox(whole) == Address(*whole.split("@"))
    with pytest.raises(GrammarError, match="path is longer than 256"):
        parse_path(f"<{whole}c>")
    with pytest.raises(GrammarError, match="longer than 254"):
        parse_mailbox(whole + "c")


def test_the_limits_are_arguments() -> None:
    tight = Limits(local_part=3, domain=5, path=10)
    assert parse_path("<abc@d.efg>", Limits(local_part=3, domain=5, path=11)) == Address("abc", "d.efg")
    with pytest.raises(GrammarError, match="path is longer than 10"):
        parse_path("<abc@d.efg>", tight)
    with pytest.raises(GrammarError, match="local part is longer than 3"):
        parse_path("<abcd@d>", tight)
    with pytest.raises(GrammarError, match="domain is longer than 5"):
        parse_path("<a@d.efgh>", tight)
    with pytest.raises(GrammarError, match="literal is longer than 5"):
        parse_path("<a@[1:234]>", Limits(domain=5, path=20))


# Mailboxes without brackets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("renping@sina.com", Address("renping", "sina.com")),
        ("Postmaster", Address("Postmaster")),
        ('"a b"@Sina.com', Address("a b", "sina.com")),
        ("a@[192.0.2.1]", Address("a", "[192.0.2.1]")),
    ],
)
def test_a_mailbox_has_no_brackets(text: str, address: Address) -> None:
    assert parse_mailbox(text) == address


@pytest.mark.parametrize("text", ["", "renping", "<a@b>", " a@b", "a@b ", "@a:b@c", "a@", "@b", '"Postmaster"'])
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        parse_mailbox(text)


# Domains ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("a", "a"),
        ("Example.ORG", "example.org"),
        ("3com.com", "3com.com"),
        ("127.0.0.1", "127.0.0.1"),  # grammatical: labels may be digits
        ("r3---sn.example", "r3---sn.example"),
        ("a" * 63, "a" * 63),
        ("XN--FSQU00A.example", "xn--fsqu00a.example"),
        ("xn--i-7iq.ws", "xn--i-7iq.ws"),  # i❤: IDNA2003's, alive in DNS
        ("faß.de", "faß.de"),
        ("例子.中国", "例子.中国"),
        ("παράδειγμα.gr", "παράδειγμα.gr"),
        ("مثال.إختبار", "مثال.إختبار"),
    ],
)
def test_domains_come_back_in_lower_case(text: str, domain: str) -> None:
    assert parse_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a.-b.c",
        "a_b",
        "a b",
        "a/b",
        "a@b",
        "a" * 64,
        "[192.0.2.1]",
        "xn--",
        "xn--a-",  # decodes to plain ASCII
        "xn---bbk",  # not canonical
        "xn--99999999",  # no Punycode
        "BÜCHER.example",  # upper case is not mapped
        "ｅｘａｍｐｌｅ.com",  # nor full width
        "例子。中国",  # nor the ideographic full stop
        "e\u0301.example",  # not composed
        "\u0301e.example",  # begins with a mark
        "例_子.cn",
        "例子.cn.",
        "❤.ws",
        "a\u200db.example",
        "é" * 60,  # its A-label is too long
        "ü\x00.de",
        "\ud800.de",
    ],
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        parse_domain(text)


@pytest.mark.parametrize(
    ("text", "match"),
    [("a.example.", "leave the dot out"), ("my_host.example", "underscore"), ("", "empty"), ("a..b", "single dots")],
)
def test_a_bad_domain_is_told_which_rule_it_breaks(text: str, match: str) -> None:
    with pytest.raises(GrammarError, match=match):
        parse_domain(text)


def test_a_domain_has_a_length_in_both_forms() -> None:
    label = "a" * 63
    assert parse_domain(f"{label}.{label}.{label}.{label}")
    with pytest.raises(GrammarError, match="longer than 255"):
        parse_domain(f"{label}.{label}.{label}.{label}.b")
    wide = "ü" * 25  # 50 octets, 32 as an A-label
    with pytest.raises(GrammarError, match="longer than 255"):
        parse_domain(".".join([wide] * 6))
    apart = "a\u00fc\u4e2d"  # 6 octets, more as an A-label
    assert len(domain_to_ascii(apart)) > len(apart.encode())
    with pytest.raises(GrammarError, match="longer than 20"):
        parse_domain(f"{apart}.{apart}", Limits(domain=20))


@pytest.mark.parametrize(
    ("unicode", "ascii_"),
    [
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("sohu.com", "sohu.com"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_names_for_dns_and_names_for_people(unicode: str, ascii_: str) -> None:
    assert domain_to_ascii(unicode) == ascii_
    assert domain_to_ascii(ascii_) == ascii_
    assert domain_to_unicode(ascii_) == unicode
    assert domain_to_unicode(unicode) == unicode


def test_names_are_lowered_on_the_way() -> None:
    assert domain_to_ascii("Bücher.EXAMPLE") == "xn--bcher-kva.example"
    assert domain_to_unicode("XN--BCHER-KVA.Example") == "bücher.example"


def test_an_a_label_that_idna2008_would_not_allow_stays_an_a_label() -> None:
    assert domain_to_unicode("xn--i-7iq.ws") == "xn--i-7iq.ws"


def test_an_address_that_a_labels_make_too_long_has_no_other_form() -> None:
    domain = ".".join(["a" * 50] * 3 + ["ü"] * 10 + ["de"])  # 235 octets in A-labels
    address = parse_mailbox(f"{'b' * 18}@{domain}")
    assert len(str(with_ascii_domain(address))) == 254
    longer = parse_mailbox(f"{'b' * 19}@{domain}")
    with pytest.raises(GrammarError, match="longer than 254 octets"):
        with_ascii_domain(longer)
    command, _ = utf8_tolerated(Rcpt(longer), "553")  # a lenient receiver goes on
    assert command.address == longer


@pytest.mark.parametrize("bad", ["", "a..b", "[1.2.3]", "xn--", "Ü.de"])
def test_names_that_are_none_have_no_other_form(bad: str) -> None:
    with pytest.raises(GrammarError):
        domain_to_ascii(bad)
    with pytest.raises(GrammarError):
        domain_to_unicode(bad)


# Address literals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("[0.0.0.0]", "[0.0.0.0]"),
        ("[255.255.255.255]", "[255.255.255.255]"),
        ("[192.000.002.001]", "[192.0.2.1]"),
        ("[IPv6:1:2:3:4:5:6:7:8]", "[IPv6:1:2:3:4:5:6:7:8]"),
        ("[ipv6:ABCD:EF01:2345:6789:abcd:ef01:2345:6789]", "[IPv6:abcd:ef01:2345:6789:abcd:ef01:2345:6789]"),
        ("[IPv6:::]", "[IPv6:::]"),
        ("[IPv6:::1]", "[IPv6:::1]"),
        ("[IPv6:1::]", "[IPv6:1::]"),
        ("[IPv6:1:2:3::4:5:6]", "[IPv6:1:2:3::4:5:6]"),
        ("[IPv6:1:2:3:4:5:6::]", "[IPv6:1:2:3:4:5:6::]"),
        ("[IPv6:1:2:3:4:5:6:192.0.2.1]", "[IPv6:1:2:3:4:5:6:192.0.2.1]"),
        ("[IPv6:::192.0.2.1]", "[IPv6:::192.0.2.1]"),
        ("[IPv6:::FFFF:192.0.02.1]", "[IPv6:::ffff:192.0.2.1]"),
        ("[IPv6:1:2::3:4:192.0.2.1]", "[IPv6:1:2::3:4:192.0.2.1]"),
        ("[IPv6:1:2:3:4::192.0.2.1]", "[IPv6:1:2:3:4::192.0.2.1]"),
        ("[X400:c=de;a=x]", "[x400:c=de;a=x]"),
        ("[x-y:!Zz^~]", "[x-y:!Zz^~]"),
        ("[1:1]", "[1:1]"),
    ],
)
def test_literals_come_back_in_one_spelling(text: str, literal: str) -> None:
    assert parse_literal(text) == literal
    assert parse_literal(literal) == literal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[",
        "192.0.2.1",
        "[192.0.2.1",
        "192.0.2.1]",
        "[192.0.2]",
        "[192.0.2.1.1]",
        "[192.0.2.256]",
        "[192.0.2.999]",
        "[192.0.2.0001]",
        "[192.0.2.-1]",
        "[192.0.2.]",
        "[192. 0.2.1]",
        "[١٩٢.0.2.1]",
        "[2001:db8::1]",
        "[IPv6:]",
        "[IPv6:1]",
        "[IPv6:1:2:3:4:5:6:7]",
        "[IPv6:1:2:3:4:5:6:7:8:9]",
        "[IPv6:1:2:3:4:5:6:7::]",
        "[IPv6:1:2:3:4::5:6:7]",
        "[IPv6:1::2::3]",
        "[IPv6::1]",
        "[IPv6:12345::]",
        "[IPv6:g::]",
        "[IPv6:fe80::1%eth0]",
        "[IPv6:1:2:3:4:5::192.0.2.1]",
        "[IPv6:1:2:3::4:5:192.0.2.1]",
        "[IPv6:1:2:3:4:5:6:7:192.0.2.1]",
        "[IPv6:::192.0.2.256]",
        "[tag]",
        "[tag:]",
        "[:x]",
        "[-tag:x]",
        "[tag-:x]",
        "[t_g:x]",
        "[tag:a b]",
        "[tag:a[b]",
        "[tag:a\\b]",
        "[tag:a]b]",
        "[tag:é]",
        "[tag:a\n]",
        "[tag:" + "a" * 260 + "]",
    ],
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(GrammarError, match="literal"):
        parse_literal(text)


# Greetings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["sohu.com", "[192.0.2.1]", "192.0.2.1", "MY_PRINTER", "a..b", "-", "localhost.", "机器", "[bad", "a" * 255],
)
def test_a_greeting_takes_what_real_clients_say(text: str) -> None:
    assert parse_greeting_domain(text) == text


@pytest.mark.parametrize(
    "text", ["", "a b", "a\tb", "a\r\nb", "a\x00", "a\x85", "a\u2028", "a" * 256, "é" * 128, "\ud800"]
)
def test_a_greeting_is_one_visible_word(text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_greeting_domain(text)
    assert caught.value.enhanced == "5.5.4"


# Parameters and xtext -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keyword", "value"),
    [
        ("SMTPUTF8", "SMTPUTF8", None),
        ("size=1000", "SIZE", "1000"),
        ("X-a1=!<>~", "X-A1", "!<>~"),
        ("1A=b", "1A", "b"),
        ("ORCPT=utf-8;é", "ORCPT", "utf-8;é"),
    ],
)
def test_a_parameter_is_a_keyword_with_or_without_value(text: str, keyword: str, value: str | None) -> None:
    assert parse_parameter(text) == (keyword, value)


@pytest.mark.parametrize(
    "text", ["", "=", "=a", "A=", "A=b=c", "-A=b", "A_B=c", "É=b", "A=b c", "A=\x7f", "A=\x85", "A\n"]
)
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_parameter(text)
    assert caught.value.enhanced == "5.5.4"


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [("", ""), ("abc!~", "abc!~"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("é", "+C3+A9"), ("a\tb", "a+09b")],
)
def test_xtext_both_ways(plain: str, encoded: str) -> None:
    assert xtext_encode(plain) == encoded
    assert xtext_decode(encoded) == plain


def test_xtext_may_encode_more_than_it_must() -> None:
    assert xtext_decode("+41+62c+2b") == "Abc+"


@pytest.mark.parametrize(
    "text", ["+", "a+4", "+4G", "a=b", "a b", "é", "+0A", "+0d", "+00", "+7F", "+C2+85", "+FF", "+C3"]
)
def test_what_is_no_xtext_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        xtext_decode(text)


@pytest.mark.parametrize("text", ["\x00", "a\rb", "\n", "\x1f", "\x7f", "\x80", "\x9f", "\u2028", "\u2029", "\udfff"])
def test_controls_are_seen(text: str) -> None:
    assert has_controls(text)


@pytest.mark.parametrize("text", ["", "a b", "é\u00a0\u200b", "用户 \U0010ffff"])
def test_other_characters_are_no_controls(text: str) -> None:
    assert not has_controls(text)


# Properties ---------------------------------------------------------------------------------------------------------

visible = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda x: not x.startswith("xn--"))
locals_ = st.text(visible, max_size=12)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)


@PROPERTY
@given(locals_, domains)
def test_every_address_written_is_read_back(local: str, domain: str) -> None:
    # A quoted pair holds ASCII only and UTF-8 needs none, so str() can spell every local part.
    assert parse_path(f"<{Address(local, domain)}>") == Address(local, domain)


@PROPERTY
@given(st.text(visible, max_size=40))
def test_xtext_is_its_own_inverse(text: str) -> None:
    encoded = xtext_encode(text)
    assert encoded.isascii()
    assert xtext_decode(encoded) == text


@PROPERTY
@given(st.one_of(st.text(max_size=60), st.text('<>@:,."\\[] aé-_1\n', max_size=30)))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_path, parse_mailbox, parse_domain, parse_literal, parse_greeting_domain, domain_to_ascii):
        with contextlib.suppress(GrammarError):
            parse(text)
    for wrapped in (f"<{text}>", f"<{text}@x>", f"<a@{text}>", f'<"{text}"@x>'):
        try:
            address = parse_path(wrapped)
        except GrammarError:
            continue
        assert address is None or parse_path(f"<{address}>") == address


@PROPERTY
@given(st.text(st.characters(min_codepoint=0x80), min_size=1, max_size=8))
def test_a_u_label_survives_the_way_through_dns(label: str) -> None:
    try:
        ascii_ = domain_to_ascii(label)
    except GrammarError:
        return
    assert ascii_.startswith("xn--")
    assert domain_to_unicode(ascii_) == label
