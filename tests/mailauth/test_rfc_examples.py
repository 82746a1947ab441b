"""Examples of RFC 7208 (Appendix A.2 to A.4), RFC 8601 (Appendix B) and RFC 8617 (Appendix B), as they are printed.

Those of RFC 6376 and RFC 8463 are in ``dkim/test_vectors.py``, the others of RFC 7208 beside the rules that they show.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from posthouse.mailauth import answer, check_spf, verify_arc
from posthouse.mailauth.arc import sealed_results
from posthouse.mailauth.dkim import BodyForm, Canonicalization, MessageHasher
from posthouse.mailauth.results import read_results

# RFC 7208, Appendix A ------------------------------------------------------------------------------------------------

SEVERAL_DOMAINS: dict[str, Any] = {
    "example.org": {"TXT": ["v=spf1 include:example.com include:example.net -all"]},
    "example.com": {"TXT": ["v=spf1 ip4:192.0.2.129 -all"]},
    "example.net": {"TXT": ["v=spf1 ip4:192.0.2.130 -all"]},
    "la.example.org": {"TXT": ["v=spf1 redirect=example.org"]},
    "ny.example.org": {"TXT": ["v=spf1 redirect=example.org"]},
}


@pytest.mark.parametrize("domain", ["example.org", "la.example.org", "ny.example.org"])
@pytest.mark.parametrize(("ip", "word"), [("192.0.2.129", "pass"), ("192.0.2.130", "pass"), ("192.0.2.131", "fail")])
def test_spf_of_several_domains(domain: str, ip: str, word: str) -> None:
    assert answer(check_spf(ip, f"ann@{domain}", "x"), SEVERAL_DOMAINS).result == word


LIST_OF_USERS: dict[str, Any] = {
    "example.com": {"TXT": ["v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all"]},
    "mobile-users._spf.example.com": {"TXT": ["v=spf1 exists:%{l1r+}.%{d}"]},
    "mary.mobile-users._spf.example.com": {"A": ["127.0.0.2"]},
    "fred.mobile-users._spf.example.com": {"A": ["127.0.0.2"]},
    "remote-users._spf.example.com": {"TXT": ["v=spf1 exists:%{ir}.%{l1r+}.%{d}"]},
    "15.15.168.192.joel.remote-users._spf.example.com": {"A": ["127.0.0.2"]},
    "16.15.168.192.joel.remote-users._spf.example.com": {"A": ["127.0.0.2"]},
}


@pytest.mark.parametrize(
    ("sender", "ip", "word"),
    [
        ("mary", "192.0.2.1", "pass"),
        ("fred+lists", "192.0.2.1", "pass"),
        ("joel", "192.168.15.15", "pass"),
        ("joel+x+y", "192.168.15.16", "pass"),
        ("joel", "192.168.15.17", "fail"),
        ("ann", "192.168.15.15", "fail"),
    ],
)
def test_spf_with_lists_of_users(sender: str, ip: str, word: str) -> None:
    zone = {**LIST_OF_USERS, "example.com": {**LIST_OF_USERS["example.com"], "MX": ["10 mail.example.com"]}}
    assert (
        answer(check_spf(ip, f"{sender}@example.com", "x"), {**zone, "mail.example.com": {"A": ["192.0.2.9"]}}).result
        == word
    )


REQUIREMENTS: dict[str, Any] = {
    "example.com": {"TXT": ["v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all"]},
    "ip4._spf.example.com": {"TXT": ["v=spf1 -ip4:192.0.2.0/24 +all"]},
    "ptr._spf.example.com": {"TXT": ["v=spf1 -ptr:example.com +all"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mail.example.com"]},
    "mail.example.com": {"A": ["192.0.2.1"]},
    "1.100.51.198.in-addr.arpa": {"PTR": ["far.example.com"]},
    "far.example.com": {"A": ["198.51.100.1"]},
}


@pytest.mark.parametrize(("ip", "word"), [("192.0.2.1", "pass"), ("192.0.2.2", "fail"), ("198.51.100.1", "fail")])
def test_spf_with_several_requirements(ip: str, word: str) -> None:
    assert answer(check_spf(ip, "ann@example.com", "x"), REQUIREMENTS).result == word


# RFC 8601, Appendix B ------------------------------------------------------------------------------------------------

Statement = tuple[str, str, dict[str, str]]


@pytest.mark.parametrize(
    ("value", "authserv_id", "statements"),
    [
        ("example.org 1; none", "example.org", []),
        (
            "example.com;\r\n          spf=pass smtp.mailfrom=example.net",
            "example.com",
            [("spf", "pass", {"smtp.mailfrom": "example.net"})],
        ),
        (
            (
                "example.com;\r\n          auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
                "          spf=pass smtp.mailfrom=example.net"
            ),
            "example.com",
            [
                ("auth", "pass", {"smtp.auth": "sender@example.net"}),
                ("spf", "pass", {"smtp.mailfrom": "example.net"}),
            ],
        ),
        (
            (
                "example.com;\r\n          sender-id=fail header.from=example.com;\r\n"
                "          dkim=pass (good signature) header.d=example.com"
            ),
            "example.com",
            [
                ("sender-id", "fail", {"header.from": "example.com"}),
                ("dkim", "pass", {"header.d": "example.com"}),
            ],
        ),
        (
            (
                'example.com;\r\n      dkim=pass reason="good signature"\r\n   header.i=@mail-router.example.net;\r\n'
                '      dkim=fail reason="bad signature"\r\n        header.i=@newyork.example.com'
            ),
            "example.com",
            [
                ("dkim", "pass", {"header.i": "@mail-router.example.net"}),
                ("dkim", "fail", {"header.i": "@newyork.example.com"}),
            ],
        ),
        (
            (
                "foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it)"
                "\r\n fail policy (A dot can go here) . (like that) expired\r\n"
                "      (this surprised me) = (as I wasn't expecting it) 1362471462"
            ),
            "foo.example.net",
            [("dkim", "fail", {"policy.expired": "1362471462"})],
        ),
    ],
)
def test_authentication_results(value: str, authserv_id: str, statements: list[Statement]) -> None:
    read = read_results(value.encode())
    assert read.authserv_id == authserv_id
    assert [
        (each.method, each.result, {f"{found.ptype}.{found.name}": found.value for found in each.properties})
        for each in read.results
    ] == statements


# RFC 8617, Appendix B: three sets, whose keys of 512 bits count nowhere ----------------------------------------------

CHAIN = b"""\
ARC-Seal: i=3; a=rsa-sha256; cv=pass; d=clochette.example.org; s=
        clochette; t=12345; b=CU87XzXlNlk5X/yW4l73UvPUcP9ivwYWxyBWcVrRs7
        +HPx3K05nJhny2fvymbReAmOA9GTH/y+k9kEc59hAKVg==
ARC-Message-Signature: i=3; a=rsa-sha256; c=relaxed/relaxed; d=
        clochette.example.org; h=message-id:date:from:to:subject; s=
        clochette; t=12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZY
        LQ=; b=o71vwyLsK+Wm4cOSlirXoRwzEvi0vqIjd/2/GkYFYlSd/GGfKzkAgPqxf
        K7ccBMP7Zjb/mpeggswHjEMS8x5NQ==
ARC-Authentication-Results: i=3; clochette.example.org; spf=fail
    smtp.from=jqd@d1.example; dkim=fail (512-bit key)
    header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass,
    ams.2.gmail.example=pass, as.1.lists.example.org=pass,
    ams.1.lists.example.org=fail (message has been altered))
ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=gmail.example; s=20120806; t=
        12345; b=Zpukh/kJL4Q7Kv391FKwTepgS56dgHIcdhhJZjsalhqkFIQQAJ4T9BE
        8jjLXWpRNuh81yqnT1/jHn086RwezGw==
ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed; d=
        gmail.example; h=message-id:date:from:to:subject; s=20120806; t=
        12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYLQ=; b=CVoG44
        cVZvoSs2mMig2wwqPaJ4OZS5XGMCegWqQs1wvRZJS894tJM0xO1RJLgCPsBOxdA5
        9WSqI9s9DfyKDfWg==
ARC-Authentication-Results: i=2; gmail.example; spf=fail
    smtp.from=jqd@d1.example; dkim=fail (512-bit key)
    header.i=@example.org; dmarc=fail; arc=pass
    (as.1.lists.example.org=pass, ams.1.lists.example.org=pass)
ARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example.org; s=dk-lists;
         t=12345; b=TlCCKzgk3TrAa+G77gYYO8Fxk4q/Ml0biqduZJeOYh6+0zhwQ8u/
        lHxLi21pxu347isLSuNtvIagIvAQna9a5A==
ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=
        lists.example.org; h=message-id:date:from:to:subject; s=
        dk-lists; t=12345; bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYL
        Q=; b=DsoD3n3hiwlrN1ma8IZQFgZx8EDO7Wah3hUjIEsYKuShRKYB4LwGUiKD5Y
        yHgcIwGHhSc/4+ewYqHMWDnuFxiQ==
ARC-Authentication-Results: i=1; lists.example.org; spf=pass
    smtp.mfrom=jqd@d1.example; dkim=pass (512-bit key)
    header.i=@d1.example; dmarc=pass
Message-ID: <54B84785.1060301@d1.example>
Date: Thu, 14 Jan 2015 15:00:01 -0800
From: John Q Doe <jqd@d1.example>
To: arc@dmarc.example
Subject: [List 2] Example 1

Hey gang,
This is a test message.
--J.
"""


def test_the_chain_is_read_as_it_is_printed() -> None:
    found = answer(verify_arc(CHAIN), {})
    assert (found.result, found.highest, found.newest_failed) == ("fail", 3, False)
    assert "clochette._domainkey.clochette.example.org has no TXT record" in found.reason
    said = [(each.instance, each.domain, each.selector, each.cv, each.time) for each in found.sets]
    assert said == [
        (1, "lists.example.org", "dk-lists", "none", 12345),
        (2, "gmail.example", "20120806", "pass", 12345),
        (3, "clochette.example.org", "clochette", "pass", 12345),
    ]
    words = []
    for each in found.sets:
        results = sealed_results(each)
        assert results is not None
        words.append([f"{found.method}={found.result}" for found in results.results])
    assert words == [
        ["spf=pass", "dkim=pass", "dmarc=pass"],
        ["spf=fail", "dkim=fail", "dmarc=fail", "arc=pass"],
        ["spf=fail", "dkim=fail", "dmarc=fail", "arc=pass"],
    ]


def test_a_tampered_chain_has_other_reasons() -> None:
    gap = answer(verify_arc(CHAIN.replace(b"i=2;", b"i=4;")), {})
    assert gap.result == "fail"
    assert "i=2" in gap.reason
    wrong = answer(verify_arc(CHAIN.replace(b"cv=none", b"cv=pass")), {})
    assert (wrong.result, "cv=pass" in wrong.reason) == ("fail", True)


def test_the_body_hash_of_the_chain() -> None:
    form = BodyForm(Canonicalization.RELAXED)
    hasher = MessageHasher(lambda _: [form])
    hasher.write(CHAIN.replace(b"\n", b"\r\n"))
    hasher.finish()
    assert base64.b64encode(hasher.body_hash(form).digest) == b"KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYLQ="
