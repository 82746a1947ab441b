"""The grammar of SPF records (RFC 7208 §4.5, §4.6.1, §12): what is a record, what is a term, and what is refused."""

from __future__ import annotations

import sys

import pytest

from posthouse.mailauth.spf import spf_record as record
from posthouse.mailauth.spf.macros import Macro
from posthouse.mailauth.spf.spf_record import SpfRecord, SyntaxFault, is_spf, parse_record, select


def parsed(terms: str) -> SpfRecord:
    found = parse_record(f"v=spf1 {terms}".encode())
    assert isinstance(found, SpfRecord), found
    return found


def fault(terms: str) -> SyntaxFault:
    found = parse_record(f"v=spf1 {terms}".encode())
    assert isinstance(found, SyntaxFault), found
    return found


@pytest.mark.parametrize("text", [b"v=spf1", b"v=spf1 ", b"V=SPF1 -all", b"v=spf1 junk", b"v=spf1 \xff"])
def test_a_record_begins_with_the_version_and_a_space_or_its_end(text: bytes) -> None:
    assert is_spf(text)


@pytest.mark.parametrize(
    "text", [b"", b"v=spf10 -all", b"v=spf1\t-all", b"v=spf1\n", b" v=spf1", b"v=spf2.0/pra", b"spf1"]
)
def test_other_texts_are_no_record(text: bytes) -> None:
    assert not is_spf(text)


def test_records_are_selected_among_all_texts() -> None:
    assert select((b"other", b"v=spf1 -all", b"v=spf10", "10 mx")) == [b"v=spf1 -all"]


def test_an_empty_record_is_a_record() -> None:
    assert parse_record(b"v=spf1") == SpfRecord(())
    assert parse_record(b"v=spf1    ") == SpfRecord(())


@pytest.mark.parametrize(
    ("term", "match"), [("all", "pass"), ("+all", "pass"), ("-ALL", "fail"), ("~all", "softfail"), ("?all", "neutral")]
)
def test_the_qualifier_says_what_a_match_means(term: str, match: str) -> None:
    (found,) = parsed(term).terms
    assert (found.kind, found.match, found.text) == ("all", match, term)


@pytest.mark.parametrize(
    "term",
    [
        *("a", "A", "mx", "ptr", "a/24", "a//64", "a/24//64", "mx/0", "mx//0", "a/32//128"),
        *("a:example.org", "a:example.org.", "mx:example.org/8", "a:example.org//9", "ptr:example.org"),
        *(
            "include:_spf.example.org",
            "exists:%{i}.example.org",
            "exists:foo=bar.example.org",
            "exists:a/b.example.org",
        ),
        *("a:%{d}", "a:%{d}/24", "include:%{d2}", "exists:%{ir}.%{v}.%{h}", "a:%{d1r}//12", "exists:%{L-}.example.org"),
        *(
            "a:example.%%",
            "a:foo.%_",
            "exists:%-",
            "a:.com",
            "a:-.example-1.x-1",
            "a:example.1a",
            "a:example.a1",
            "a:x.1-2",
        ),
        *("ip4:192.0.2.1", "ip4:192.0.2.0/24", "ip4:0.0.0.0/0", "IP4:255.255.255.255/32"),
        *(
            "ip6:::",
            "ip6:::/0",
            "ip6:2001:db8::1",
            "ip6:2001:DB8::/32",
            "ip6:::ffff:192.0.2.1/96",
            "ip6:1:2:3:4:5:6:7:8/128",
        ),
        *("redirect=example.org", "exp=explain.example.org", "exp=%{d}", "REDIRECT=%{o}.example.org"),
        *("moo.cow-far_out=man", "default=pass", "x=", "x=%{c}%{r}%{t}", "all=x", "x=a/b:c=d", "a=192.0.2.1"),
        *("exists:%{d127}", "exists:%{d001}", "exists:%{d99999999999999999999}", "exists:%{lR+-,/_=.}.example.org"),
    ],
)
def test_terms_of_the_grammar(term: str) -> None:
    parsed(term)


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("all.", "all stands alone"),
        ("all:example.org", "all stands alone"),
        ("all/8", "all stands alone"),
        ("--all", "no mechanism"),
        ("-all=x", "all stands alone"),
        ("- all", "no mechanism"),
        ("a\t-all", "needs a colon"),
        ("a:", "the domain is missing"),
        ("mx:", "the domain is missing"),
        ("a:/24", "the domain is missing"),
        ("a:museum", "no domain with two labels or more"),
        ("a:museum.", "no domain with two labels or more"),
        ("a:example.org..", "cannot be the last label"),
        ("a:example.-a", "cannot be the last label"),
        ("a:example.a-", "cannot be the last label"),
        ("a:111.222.33.44", "cannot be the last label"),
        ("a:example.org:8080", "cannot be the last label"),
        ("a:example.org}", "cannot be the last label"),
        ("a:example.org/33", "too large"),
        ("a//129", "too large"),
        ("a/024", "needs a colon"),
        ("a/", "needs a colon"),
        ("a//", "needs a colon"),
        ("a/24/64", "too large"),
        ("a/24/16", "needs a colon"),
        ("a:example.org/24/64", "too large"),
        ("a:example.org/24/16", "cannot be the last label"),
        ("a:example.org/", "cannot be the last label"),
        ("a/24:example.org", "needs a colon"),
        ("a.example.org", "needs a colon"),
        ("include", "include needs a colon"),
        ("include:", "the domain is missing"),
        ("include:example.org/24", "cannot be the last label"),
        ("exists", "exists needs a colon"),
        ("exists:example.org/24", "cannot be the last label"),
        ("ptr:", "the domain is missing"),
        ("ptr/24", "ptr needs a colon"),
        ("ip4", "ip4 needs a colon"),
        ("ip4:", "no IPv4 address"),
        ("ip4:192.0.2", "no IPv4 address"),
        ("ip4:192.0.2.1.5", "no IPv4 address"),
        ("ip4:192.0.2.01", "no IPv4 address"),
        ("ip4:192.0.2.256", "no IPv4 address"),
        ("ip4:2001:db8::1", "no IPv4 address"),
        ("ip4:192.0.2.1/33", "no prefix length"),
        ("ip4:192.0.2.1/", "no prefix length"),
        ("ip4:192.0.2.1/08", "no prefix length"),
        ("ip4:192.0.2.1//32", "no prefix length"),
        ("ip4:192.0.2.1:25", "no IPv4 address"),
        ("ip6:", "no IPv6 address"),
        ("ip6:192.0.2.1", "no IPv6 address"),
        ("ip6:fe80::1%eth0", "no IPv6 address"),
        ("ip6:::1/129", "no prefix length"),
        ("ip6:::1//64", "no prefix length"),
        ("ip6:1:2:3:4:5:6:7", "no IPv6 address"),
        ("redirect=", "the domain is missing"),
        ("redirect:example.org", "no mechanism"),
        ("exp=", "the domain is missing"),
        ("exp=example", "two labels"),
        ("-redirect=example.org", "no mechanism"),
        ("redirect=example.org redirect=example.org", "must not stand twice"),
        ("exp=a.example Exp=b.example", "must not stand twice"),
        ("1x=y", "no mechanism"),
        ("=y", "no mechanism"),
        ("x=%", "% that begins no macro"),
        ("x=%z", "% that begins no macro"),
        ("x=%{q}", "allowed nowhere"),
        ("exists:%{i", "begins no macro"),
        ("exists:%{}.example.org", "begins no macro"),
        ("exists:%{i5x}.example.org", "begins no macro"),
        ("exists:%{ri}.example.org", "begins no macro"),
        ("exists:%{d0}", "uses 0 parts"),
        ("exists:%{d000}.example.org", "uses 0 parts"),
        ("exists:%{c}", "allowed in explanations alone"),
        ("include:%{r}.example.org", "allowed in explanations alone"),
        ("exp=%{t}.example.org", "allowed in explanations alone"),
        ("redirect=%(d).example.org", "begins no macro"),
        ("a:ex\x7fample.org", "printable ASCII"),
        ("foo", "'foo' is no mechanism"),
        ("foo:example.org", "'foo' is no mechanism"),
        ("ip5:192.0.2.1", "'ip5' is no mechanism"),
        ("a:münchen.example", "not ASCII"),
    ],
)
def test_what_is_not_in_the_grammar_is_named(term: str, problem: str) -> None:
    found = fault(term)
    assert problem in found.problem
    assert ";" in found.problem, "the problem has a remedy"


def test_a_syntax_error_anywhere_is_found_also_behind_all() -> None:
    assert fault("-all ip4:nonsense").term == "ip4:nonsense"


def test_what_follows_all_is_ignored_and_a_redirect_beside_it_too() -> None:
    found = parsed("redirect=example.org a -all mx exp=x.example.org foo=bar")
    assert [term.text for term in found.terms] == ["a", "-all"]
    assert found.redirect is None
    assert found.ignored == ("mx", "redirect=example.org")
    assert found.explanation == ("x.example.org",)
    assert found.unknown == ("foo=bar",)


def test_a_network_is_compared_by_its_prefix() -> None:
    (found,) = parsed("ip4:192.0.2.77/24").terms
    assert found.network == 0xC00002
    assert found.shift4 == 8


def test_a_macro_is_read_into_its_parts() -> None:
    (found,) = parsed("exists:%{S12r+-}.x.%{d}").terms
    assert found.domain == (Macro("s", 12, True, "+-", True), ".x.", Macro("d", 0, False, "", False))


def lines_run(text: bytes) -> int:
    """Lines of Python that parsing runs."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        record._parse(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a ",
            "ip4:192.0.2.1 ",
            "x=%%%%%%%% ",
            "a/1/1/1 ",
            "exists:%{l}.a.b ",
            "%%",
            "/1",
            "a.",
            "x-",
            "1",
            "=",
            "x=%{l}",
        )
    ],
)
def test_parsing_is_linear_in_the_length(unit: str) -> None:
    for opening in ("v=spf1 ", "v=spf1 a:", "v=spf1 x="):
        short = lines_run((opening + unit * 500).encode())
        long = lines_run((opening + unit * 1000).encode())
        assert long <= 2 * short + 50


def test_long_records_are_not_kept() -> None:
    before = record._cached.cache_info().currsize
    parse_record(b"v=spf1 " + b"ip4:192.0.2.1 " * 1000)
    assert record._cached.cache_info().currsize == before
    parse_record(b"v=spf1 ip4:198.51.100.1 -all exp=only.in.this.test.example")
    assert parse_record(b"v=spf1 ip4:198.51.100.1 -all exp=only.in.this.test.example") is parse_record(
        b"v=spf1 ip4:198.51.100.1 -all exp=only.in.this.test.example"
    )
