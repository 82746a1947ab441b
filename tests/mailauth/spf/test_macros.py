"""Macro expansion (RFC 7208 §7): the RFC's examples, transformers, escapes, lengths, and bounded work."""

from __future__ import annotations

import pytest

from posthouse.mailauth import answer
from posthouse.mailauth.spf import check_spf
from posthouse.mailauth.spf.macros import (
    LONGEST_EXPLANATION,
    expand_domain,
    expand_explanation,
    parse_domain_spec,
    parse_explanation,
)

V6 = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"


def expanded(macro: str, ip: str = "192.0.2.3", sender: str = "strong-bad@email.example.com") -> str:
    """What an explanation with this text says; the zone makes every check fail."""
    zone = {
        sender.rpartition("@")[2]: {"TXT": ["v=spf1 exp=why.example.net -all"]},
        "why.example.net": {"TXT": [macro]},
    }
    return answer(
        check_spf(ip, sender, "Mx.Example.org", receiver="mx.example.net", now=1764403200.9), zone
    ).explanation


@pytest.mark.parametrize(
    ("macro", "value"),
    [  # RFC 7208 §7.4
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        # §7.2, §7.3
        ("%{h}", "Mx.Example.org"),
        ("%{i}", "192.0.2.3"),
        ("%{c}", "192.0.2.3"),
        ("%{r}", "mx.example.net"),
        ("%{t}", "1764403200"),
        ("%{p}", "unknown"),
        ("%{d127}", "email.example.com"),
        ("%{d00002}", "example.com"),
        ("%{s@}", None),
        ("%%|%_|%-", "%| |%20"),
        ("100%% of %{d}", "100% of email.example.com"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{L-}", "strong.bad"),
        ("%{S.}", "strong-bad%40email.example.com"),
        ("%{D2R}", "example.email"),
        ("", ""),
    ],
)
def test_the_values_of_macros(macro: str, value: str | None) -> None:
    assert expanded(macro) == (value or "")


def test_the_macros_of_an_ipv6_client() -> None:
    assert expanded("%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01") == f"{V6}.ip6._spf.example.com"
    assert expanded("%{i}", "2001:db8::cb01") == "2.0.0.1.0.d.b.8" + ".0" * 20 + ".c.b.0.1"
    assert expanded("%{c}", "2001:db8::cb01") == "2001:db8::cb01"


def test_parts_are_separated_by_any_of_the_delimiters_and_joined_by_dots() -> None:
    sender = "a+b,c/d_e=f-g@example.com"
    assert expanded("%{l+,/_=-}", sender=sender) == "a.b.c.d.e.f.g"
    assert expanded("%{l2+,/_=-}", sender=sender) == "f.g"
    assert expanded("%{lr+_}", sender=sender) == "e=f-g.b,c/d.a"
    assert expanded("%{l+}", sender="a.b+c@example.com") == "a.b.c"


def test_empty_parts_stay() -> None:
    assert expanded("%{lr-}", sender="a--b@example.com") == "b..a"


def test_characters_that_are_not_unreserved_are_escaped_by_an_upper_case_letter() -> None:
    assert expanded("%{L}", sender="a!#$&'*/=?^`{|}b.c_d~e-f@example.com") == (
        "a%21%23%24%26%27%2A%2F%3D%3F%5E%60%7B%7C%7Db.c_d~e-f"
    )


def name(spec: str, **values: str) -> str:
    return expand_domain(parse_domain_spec(spec), values)


def test_a_long_name_loses_labels_on_its_left() -> None:
    domain = ".".join(["x" * 60] * 4)
    assert name("%{l}.%{d}", l="y" * 9, d=domain) == f"{'y' * 9}.{domain}"
    assert name("%{l}.%{d}", l="y" * 10, d=domain) == domain
    at_most = "a." * 126 + "b"
    assert len(at_most) == 253
    assert name("%{d}", d=at_most) == at_most
    assert name("%{l}.%{d}", l="c", d=at_most) == at_most
    assert name("%{l}%{d}", l="c", d=at_most) == at_most.partition(".")[2]
    assert name("%{l}.%{d}", l="x" * 60_000, d="example.org") == "example.org"
    assert name("%{l}", l="x" * 60_000) == ""


def test_a_final_dot_is_not_counted() -> None:
    at_most = "a." * 126 + "b"
    assert name("%{d}.example.", d="x") == "x.example"
    assert name("a.b.", d="x") == "a.b"
    assert name("%{d}.bb.", d=at_most[4:]) == "a." * 124 + "b.bb"


class Counting(dict[str, str]):
    """Values that count how often they are read."""

    reads = 0

    def __getitem__(self, key: str) -> str:
        self.reads += 1
        return super().__getitem__(key)


@pytest.mark.parametrize("value", ["", ".", "x", "x" * 300, "a.b." * 100])
def test_expansion_reads_a_bounded_number_of_macros(value: str) -> None:
    values = Counting(l=value, d="example.org")
    expand_domain(parse_domain_spec("%{l1}" * 10_000), values)
    assert values.reads <= 512
    values.reads = 0
    said = expand_explanation(parse_explanation("%{l1}" * 10_000), values)
    assert values.reads <= 512
    assert len(said) <= LONGEST_EXPLANATION
