"""Syntax of SPF records by the grammar of RFC 7208 §12: the result of each record for one client."""

from __future__ import annotations

import pytest

from posthouse.mailauth import answer, check_spf

ZONE: dict[str, object] = {"mx.example.org": {"A": ["192.0.2.2"]}}
HOSTS: dict[str, object] = {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "MX": [[10, "mx.example.org"]]}


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf10 -all", "none"),
        ("v=spf1", "neutral"),
        ("v=spf1 ", "neutral"),
        ("V=SPF1 -ALL", "fail"),
        ("v=spf1  -all  ", "fail"),
        ("v=spf1\t-all", "none"),
        ("v=spf1 -all\ta", "permerror"),
        ("v=spf1 redirect=x.test redirect=y.test -all", "permerror"),
        ("v=spf1 exp=x.test exp=y.test -all", "permerror"),
        ("v=spf1 foo=bar foo=bar -all", "fail"),
        ("v=spf1 foo=%abc -all", "permerror"),
        ("v=spf1 moo.cow-far_out=man:dog/cat -all", "fail"),
        ("v=spf1 =x -all", "permerror"),
        ("v=spf1 1x=y -all", "permerror"),
        ("v=spf1 bogus -all", "permerror"),
        ("v=spf1 +all bogus", "permerror"),
        ("v=spf1 a/33 -all", "permerror"),
        ("v=spf1 a//129 -all", "permerror"),
        ("v=spf1 a/0 -all", "pass"),
        ("v=spf1 a/00 -all", "permerror"),
        ("v=spf1 a/024 -all", "permerror"),
        ("v=spf1 a/24//64 -all", "pass"),
        ("v=spf1 a//64/24 -all", "permerror"),
        ("v=spf1 a/ -all", "permerror"),
        ("v=spf1 a: -all", "permerror"),
        ("v=spf1 ip4:192.0.2 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.0/33 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.0//24 -all", "permerror"),
        ("v=spf1 ip4 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.00/24 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.1/0 -all", "pass"),
        ("v=spf1 ip6:::1/129 -all", "permerror"),
        ("v=spf1 ip6:: -all", "permerror"),
        ("v=spf1 ip6:::ffff:192.0.2.1 -all", "fail"),
        ("v=spf1 ip6:::/0 -all", "fail"),
        ("v=spf1 all:foo", "permerror"),
        ("v=spf1 -all/8", "permerror"),
        ("v=spf1 include -all", "permerror"),
        ("v=spf1 include: -all", "permerror"),
        ("v=spf1 include:x.test/24 -all", "permerror"),
        ("v=spf1 exists -all", "permerror"),
        ("v=spf1 exists:example.org/24 -all", "permerror"),
        ("v=spf1 exists:example.org -all", "pass"),
        ("v=spf1 a:museum -all", "permerror"),
        ("v=spf1 a:museum. -all", "permerror"),
        ("v=spf1 a:x.-com -all", "permerror"),
        ("v=spf1 a:111.222.33.44 -all", "permerror"),
        ("v=spf1 a:example.org:8080 -all", "permerror"),
        ("v=spf1 a:foo:bar/baz.example.org -all", "fail"),
        ("v=spf1 a:example.org. -all", "pass"),
        ("v=spf1 a:%{d} -all", "pass"),
        ("v=spf1 a:%{d -all", "permerror"),
        ("v=spf1 a:%(d) -all", "permerror"),
        ("v=spf1 a:%{x} -all", "permerror"),
        ("v=spf1 a:%{d0}.x -all", "permerror"),
        ("v=spf1 a:%{D} -all", "pass"),
        ("v=spf1 a:%{c}.org -all", "permerror"),
        ("v=spf1 a:%{d2r}.test -all", "fail"),
        ("v=spf1 redirect:x.test", "permerror"),
        ("v=spf1 redirect=", "permerror"),
        ("v=spf1 redirect=none.test", "permerror"),
        ("v=spf1 redirect=none.test -all", "fail"),
        ("v=spf1 include:none.test -all", "permerror"),
        ("v=spf1 a:é.test -all", "permerror"),
        ("v=spf1 ?a -all", "neutral"),
        ("v=spf1 ~a -all", "softfail"),
        ("v=spf1 -a +all", "fail"),
        ("v=spf1 !a -all", "permerror"),
        ("v=spf1 ptr -all", "fail"),
        ("v=spf1 ptr: -all", "permerror"),
        ("v=spf1 ptr/24 -all", "permerror"),
        ("v=spf1 mx:example.org/24//64 -all", "pass"),
        ("v=spf1 -ip4:192.0.2.1 ~all", "fail"),
        ("v=spf1 a:a.b%-c.example.org -all", "fail"),
        ("v=spf1 a:a%_b.org -all", "fail"),
        ("v=spf1 exp=%{x}.test -all", "permerror"),
        ("v=spf1 exp= -all", "permerror"),
    ],
)
def test_a_record(record: str, result: str) -> None:
    zone = ZONE | {"example.org": HOSTS | {"TXT": [record]}}
    found = answer(check_spf("192.0.2.1", "ann@example.org", "mx.example.org"), zone)
    assert found.result == result, found.reason
