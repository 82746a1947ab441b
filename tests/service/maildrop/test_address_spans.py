"""Addresses in header fields, with and without a domain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.service.maildrop.address_spans import qualified, read_address, spans


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (b" root", [b"root"]),
        (b" root (Cron Daemon), ann@x.example", [b"root", b"ann@x.example"]),
        (b' "a, b" <root>, <c@x.example>\r\n\t, d', [b"root", b"c@x.example", b"d"]),
        (b" team: ann@x.example, bob; , carl", [b"ann@x.example", b"bob", b"carl"]),
        (b" undisclosed-recipients:;", []),
        (b" (a (nested) comment) ann@x.example (more", [b"ann@x.example"]),
        (b" <@a.example,@b.example:ann@x.example>", [b"ann@x.example"]),
        (b' "two words"@x.example', [b'"two words"@x.example']),
        (b" ann@[IPv6:2001:db8::1]", [b"ann@[IPv6:2001:db8::1]"]),
        (b" ann @ x.example", [b"ann@x.example"]),
        (b" ,, ;", []),
        (b"", []),
    ],
)
def test_the_addresses_of_a_field(value: bytes, texts: list[bytes]) -> None:
    found = spans(value)
    assert [each.text for each in found] == texts
    for each in found:
        assert value[each.start : each.end].replace(b" ", b"") == each.text.replace(b" ", b"")


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (b" root\r\n", b" root@h.example\r\n"),
        (b' "Root" <root>, a@x.example (ann)', b' "Root" <root@h.example>, a@x.example (ann)'),
        (b' "a@b" <root>', b' "a@b" <root@h.example>'),
        (b' "a@b"', b' "a@b"@h.example'),
        (b" two words", b" two words"),
        (b" ann@x.example", b" ann@x.example"),
    ],
)
def test_only_what_has_no_domain_gets_one(value: bytes, made: bytes) -> None:
    assert qualified(value, "h.example") == made


def test_an_address_of_the_command_line() -> None:
    assert read_address("root", "h.example") == Address("root", "h.example")
    assert read_address(" <ann@X.example> ", "h.example") == Address("ann", "x.example")
    assert read_address(b"j\xc3\xb6rg@x.example", "h.example") == Address("jörg", "x.example")
    for wrong in ("a b", "a@", "@x.example", b"\xff@x.example", "a\n@x.example"):
        with pytest.raises(LocalError, match="address"):
            read_address(wrong, "h.example")


@given(st.binary(max_size=300))
def test_every_value_is_read(value: bytes) -> None:
    at = 0
    for each in spans(value):
        assert at <= each.start <= each.end <= len(value)
        at = each.end
    qualified(value, "h.example")


@pytest.mark.parametrize("unit", [b"a,", b"(", b"<", b'"', b"a:", b"\\", b"[", b' "', b";"])
def test_the_work_is_linear(unit: bytes) -> None:
    """Quadratic work on 300,000 octets would exceed the time limit of a test."""
    value = unit * 100_000
    assert len(spans(value)) <= 100_001
