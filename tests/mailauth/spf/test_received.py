"""The Received-SPF field (RFC 7208 §9.1), and the properties of RFC 8601."""

from __future__ import annotations

import re
from typing import Any

import pytest

from posthouse.mailauth import answer
from posthouse.mailauth.spf import check_spf, received_spf

ZONE: dict[str, Any] = {
    "example.org": {"TXT": ["v=spf1 ip4:192.0.2.0/24 include:inc.test -all"]},
    "inc.test": {"TXT": ["v=spf1 ip6:2001:db8::/32"]},
    "two.test": {"TXT": ["v=spf1", "v=spf1"]},
    "default.test": {"TXT": ["v=spf1"]},
}


def field(ip: str, mail_from: str, helo: str = "out.example.org") -> str:
    written = received_spf(answer(check_spf(ip, mail_from, helo), ZONE), "mx.example.net").decode("ascii")
    assert written.endswith("\r\n")
    assert all(len(line) <= 998 for line in written.split("\r\n"))
    return written


def test_the_field_has_what_the_result_was_made_of() -> None:
    assert field("192.0.2.1", "ann@example.org") == (
        "Received-SPF: pass (mx.example.net: ip4:192.0.2.0/24 in the SPF record of example.org matches 192.0.2.1)\r\n"
        "\treceiver=mx.example.net;\r\n"
        "\tclient-ip=192.0.2.1;\r\n"
        '\tenvelope-from="ann@example.org";\r\n'
        "\thelo=out.example.org;\r\n"
        "\tidentity=mailfrom;\r\n"
        "\tmechanism=ip4\r\n"
    )


@pytest.mark.parametrize(
    ("ip", "mail_from", "parts"),
    [
        ("2001:db8::1", "ann@example.org", ['client-ip="2001:db8::1"', "mechanism=include"]),
        ("198.51.100.1", "ann@example.org", ["Received-SPF: fail", "mechanism=all"]),
        ("192.0.2.1", "", ["Received-SPF: none", "identity=helo", "mechanism=default"]),
        ("192.0.2.1", "ann@default.test", ["Received-SPF: neutral", "mechanism=default"]),
        ("192.0.2.1", "ann@two.test", ["permerror", 'problem="two.test publishes 2 SPF records; one is allowed"']),
    ],
)
def test_the_pairs_of_other_results(ip: str, mail_from: str, parts: list[str]) -> None:
    written = field(ip, mail_from)
    for part in parts:
        assert part in written
    assert ("envelope-from" in written) == bool(mail_from)


@pytest.mark.parametrize(
    "hostile", ['a" ; mechanism=all; x="', "x\r\nX-Injected: yes", "x\x00y\x7f", "ü\u2028", "(" * 50, "\\", "x" * 5000]
)
def test_what_a_peer_chooses_stays_in_its_pair(hostile: str) -> None:
    for written in (field("192.0.2.1", f"{hostile}@example.org", hostile), field("192.0.2.1", "", hostile)):
        unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', re.sub(r"\([^()]*\)", "", written))
        assert written.count("\r\n") == written.count("\r\n\t") + 1
        assert re.fullmatch(r"Received-SPF: \w+ (\r\n\t[a-z-]+=[^;\"]*(\"\")?;)+\r\n\t[a-z]+=\w+\r\n", unquoted), (
            unquoted
        )


def test_the_properties_are_those_of_authentication_results() -> None:
    assert answer(check_spf("192.0.2.1", "<ann@example.org>", "x.test"), ZONE).properties == (
        ("smtp.mailfrom", "ann@example.org"),
    )
    assert answer(check_spf("192.0.2.1", "", "x.test"), ZONE).properties == (("smtp.helo", "x.test"),)
