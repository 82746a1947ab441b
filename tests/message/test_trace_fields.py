"""Trace fields (RFC 5321 §4.4, RFC 3848, RFC 6531 §3.7.3, §4.3) and dates (RFC 5322 §3.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.message import fields, format_date, protocol_name, received, return_path, unfold

AT = 1_795_420_800.0  # 2026-11-23T08:00Z
HOSTILE = ["evil\r\nX-Injected: yes", "a b", "a(b)c", "a;b", "a<b>", "\x00", "", "x" * 3000, "\u2028", "\x85", "\ud800"]


def field(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "helo": "mail.sohu.com",
        "host": "192.0.2.1",
        "protocol": "ESMTP",
        "queue_id": "4x7Q1",
        "seconds": AT,
        "offset_minutes": 480,
    }
    return received("mx.sina.com", **{**values, **changes})


def test_the_whole_field() -> None:
    assert field(reverse="out.sohu.com", recipient=Address("renping", "sina.com")) == (
        b"Received: from mail.sohu.com (out.sohu.com [192.0.2.1])\r\n"
        b"\tby mx.sina.com with ESMTP id 4x7Q1\r\n"
        b"\tfor <renping@sina.com>; Mon, 23 Nov 2026 16:00:00 +0800\r\n"
    )


def test_without_reverse_name_and_recipient() -> None:
    assert field() == (
        b"Received: from mail.sohu.com ([192.0.2.1])\r\n"
        b"\tby mx.sina.com with ESMTP id 4x7Q1;\r\n"
        b"\tMon, 23 Nov 2026 16:00:00 +0800\r\n"
    )


def test_ipv6_has_its_tag_and_a_unix_socket_has_no_address() -> None:
    assert b"([IPv6:2001:db8::1])" in field(host="2001:db8::1")
    assert b"([IPv6:fe80::1])" in field(host="fe80::1%eth0")
    assert field(host="").startswith(b"Received: from mail.sohu.com\r\n")
    assert field(helo="[IPv6:2001:db8::1]").startswith(b"Received: from [IPv6:2001:db8::1] (")


# RFC 5321 §4.4: Stamp, with the clauses we write.
STAMP = re.compile(
    rb"from [^ ()]+( \(([^ ()]+ )?\[[^ ()]+\]\))? by [^ ()]+ with [A-Z0-9]+ id \S+( for <.*>)?"
    rb"( tls [A-Z][A-Z0-9_]*)?( \([^()\\]*\))*; "
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
)


@given(
    helo=st.one_of(st.text(max_size=400), st.sampled_from(HOSTILE)),
    reverse=st.one_of(st.none(), st.text(max_size=300), st.sampled_from(HOSTILE)),
    host=st.one_of(st.sampled_from(["192.0.2.1", "::1", ""]), st.text(max_size=20)),
    queue_id=st.text(max_size=300),
    recipient=st.one_of(st.none(), st.builds(Address, st.text(max_size=80), st.text(max_size=300))),
    utf8=st.booleans(),
    tls=st.one_of(st.sampled_from(["", "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"]), st.text(max_size=90)),
    version=st.one_of(st.just("TLSv1.3"), st.text(max_size=300)),
    certificate=st.one_of(st.text(max_size=300), st.sampled_from(HOSTILE)),
    login=st.one_of(st.text(max_size=300), st.sampled_from(HOSTILE)),
)
@settings(deadline=None)
def test_whatever_the_peer_says_it_is_one_field(utf8: bool, **values: Any) -> None:
    raw = field(utf8=utf8, **values)
    assert len(fields(raw)) == 1
    assert fields(raw)[0].name == b"Received"
    lines = raw.split(b"\r\n")
    assert lines[-1] == b""
    assert all(len(line) <= 998 for line in lines)
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    assert b"\x00" not in raw
    assert utf8 or raw.isascii()
    raw.decode()
    value = re.sub(rb"[\t ]+", b" ", unfold(raw.partition(b":")[2])).strip()
    assert STAMP.fullmatch(value), value


def test_tls_and_the_login_stand_behind_the_recipient() -> None:
    """RFC 8314 §4.3 and RFC 5321 §4.4: a registered clause, then comments, then the date."""
    facts = {"tls": "TLS_AES_256_GCM_SHA384", "version": "TLSv1.3", "login": "ann@sina.com", "certificate": "ann"}
    assert field(protocol="ESMTPSA", recipient=Address("renping", "sina.com"), **facts) == (
        b"Received: from mail.sohu.com ([192.0.2.1])\r\n"
        b"\tby mx.sina.com with ESMTPSA id 4x7Q1\r\n"
        b"\tfor <renping@sina.com>\r\n"
        b"\ttls TLS_AES_256_GCM_SHA384 (TLSv1.3)\r\n"
        b"\t(Client certificate: ann)\r\n"
        b"\t(Authenticated sender: ann@sina.com);\r\n"
        b"\tMon, 23 Nov 2026 16:00:00 +0800\r\n"
    )
    assert b" id 4x7Q1\r\n\t(Authenticated sender: ann);\r\n\tMon, " in field(login="ann")
    assert b" id 4x7Q1\r\n\ttls TLS_AES_128_GCM_SHA256;\r\n\tMon, " in field(tls="TLS_AES_128_GCM_SHA256")


@pytest.mark.parametrize(
    ("suite", "registered"),
    [
        ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
        ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_the_cipher_suite_has_its_registered_name(suite: str, registered: str) -> None:
    """RFC 8314 §4.3: the name in the registry, which has no hyphens; OpenSSL's names for TLS 1.2 are others."""
    assert f"\r\n\ttls {registered} (TLSv1.2);".encode() in field(tls=suite, version="TLSv1.2")


def test_a_cipher_suite_without_a_known_name_is_in_the_comment() -> None:
    said = field(tls="ECDHE-RSA-CAMELLIA256-SHA384", version="TLSv1.2")
    assert b" id 4x7Q1\r\n\t(TLSv1.2 ECDHE-RSA-CAMELLIA256-SHA384);" in said


@pytest.mark.parametrize(
    ("login", "written"),
    [
        ("x) (Client certificate: root", "x? ?Client certificate? root"),
        ("x\\", "x?"),
        ("=?utf-8?q?=0D=0AX-Injected:_yes?=", "??utf-8?q??0D?0AX-Injected?_yes??"),
        ("x;\r\nX-Injected: yes", "x???X-Injected? yes"),
        ("任平@新浪.cn", "??@??.cn"),
        ("x" * 254, "x" * 254),
        ("x" * 255, "x" * 254 + "..."),
    ],
)
def test_a_login_stays_inside_its_comment(login: str, written: str) -> None:
    assert f"\t(Authenticated sender: {written});\r\n".encode() in field(login=login, utf8=True)
    assert f"\t(Client certificate: {written});\r\n".encode() in field(tls="TLS_X", certificate=login, utf8=True)


def test_offending_characters_become_question_marks() -> None:
    assert field(helo="evil\r\nX: y").startswith(b"Received: from evil??X:?y (")
    assert field(helo="\u4e2d\u56fd.cn").startswith(b"Received: from ??.cn (")
    assert field(helo="").startswith(b"Received: from ? (")


def test_u_labels_stay_with_smtputf8_only() -> None:
    to = Address("任平", "新浪.cn")
    raw = field(helo="搜狐.cn", recipient=to, utf8=True, protocol="UTF8SMTP")
    assert raw.decode().startswith("Received: from 搜狐.cn (")
    assert "for <任平@新浪.cn>;" in raw.decode()
    assert b" for " not in field(recipient=to).replace(b"\t", b" ")


def test_a_recipient_that_cannot_be_written_is_left_out() -> None:
    for local in ("a\r\nb", "a\x00", "\x85", "x" * 2000):
        assert b"for <" not in field(recipient=Address(local, "sina.com"), utf8=True)
    assert b'for <"a b"@sina.com>' in field(recipient=Address("a b", "sina.com"))


def test_lines_are_short_where_possible() -> None:
    raw = field(recipient=Address("a" * 30, "a-rather-long-domain-name.example.org"))
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))


@pytest.mark.parametrize(
    ("verb", "tls", "auth", "utf8", "name"),
    [
        ("HELO", False, False, False, "SMTP"),
        ("EHLO", False, False, False, "ESMTP"),
        ("EHLO", False, True, False, "ESMTPA"),
        ("EHLO", True, False, False, "ESMTPS"),
        ("EHLO", True, True, False, "ESMTPSA"),
        ("LHLO", False, False, False, "LMTP"),
        ("LHLO", False, True, False, "LMTPA"),
        ("LHLO", True, False, False, "LMTPS"),
        ("LHLO", True, True, False, "LMTPSA"),
        ("EHLO", False, False, True, "UTF8SMTP"),
        ("EHLO", False, True, True, "UTF8SMTPA"),
        ("EHLO", True, False, True, "UTF8SMTPS"),
        ("EHLO", True, True, True, "UTF8SMTPSA"),
        ("LHLO", False, False, True, "UTF8LMTP"),
        ("LHLO", True, True, True, "UTF8LMTPSA"),
    ],
)
def test_protocol_names(verb: str, tls: bool, auth: bool, utf8: bool, name: str) -> None:
    assert protocol_name(verb, tls=tls, auth=auth, utf8=utf8) == name


@given(st.integers(-2_000_000_000, 200_000_000_000), st.integers(-1439, 1439))
@settings(deadline=None)
def test_dates_are_those_of_the_calendar(seconds: int, offset: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    local = at.astimezone(timezone(timedelta(minutes=offset)))
    text = format_date(seconds, offset)
    assert text.replace(", 0", ", ") == format_datetime(local).replace(", 0", ", ")
    assert parsedate_to_datetime(text) == at


def test_dates_cut_fractions_and_refuse_what_is_none() -> None:
    assert format_date(AT + 0.999) == "Mon, 23 Nov 2026 08:00:00 +0000"
    assert format_date(-0.5) == "Wed, 31 Dec 1969 23:59:59 +0000"
    assert format_date(0, -90) == "Wed, 31 Dec 1969 22:30:00 -0130"
    for seconds, offset in ((1e18, 0), (float("inf"), 0), (float("nan"), 0), (0.0, 1440), (0.0, -1440)):
        with pytest.raises(LocalError):
            format_date(seconds, offset)


def test_return_path() -> None:
    assert return_path(None) == b"Return-Path: <>\r\n"
    assert return_path(Address("langrui", "sohu.com")) == b"Return-Path: <langrui@sohu.com>\r\n"
    assert return_path(Address("郎锐", "搜狐.cn")).decode() == "Return-Path: <郎锐@搜狐.cn>\r\n"
    for local in ("a\r\nX: y", "\x00", "x" * 1000, "中" * 400):
        with pytest.raises(LocalError):
            return_path(Address(local, "sohu.com"))
