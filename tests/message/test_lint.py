"""Lint of messages: each rule on a message that breaks it alone, and none on good messages."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message import lint
from posthouse.message.lint import Level, lint_message

NOW = 1_796_000_000.0  # Sun, 29 Nov 2026 22:13:20 UTC

GOOD = """\
From: "Li, Lei" <ann@example.org>
To: bob@example.com
Subject: =?utf-8?q?caf=C3=A9?=
Date: Sun, 29 Nov 2026 12:00:00 +0000
Message-ID: <one@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
"""
BULK = GOOD.replace(
    "MIME-Version",
    "List-Unsubscribe: <https://example.org/u/1>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nMIME-Version",
)
HTML = GOOD.replace("text/plain", "text/html").replace("caf=C3=A9\n", "<p>hi</p>\n")
MIXED = GOOD.replace("text/plain; charset=utf-8", 'multipart/mixed; boundary="b"').replace("quoted-printable", "7bit")


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def rules(data: bytes, *, bulk: bool | None = None) -> list[str]:
    return [each.rule for each in lint_message(data, now=NOW, bulk=bulk)]


@pytest.mark.parametrize("text", [GOOD, BULK], ids=["plain", "bulk"])
def test_a_good_message_has_no_findings(text: str) -> None:
    assert lint_message(crlf(text), now=NOW) == ()


def test_a_stored_message_with_lf_alone_has_no_findings() -> None:
    assert lint_message(GOOD.encode(), now=NOW) == ()


BROKEN = [
    ("missing-from", GOOD.replace('From: "Li, Lei" <ann@example.org>\n', "")),
    ("missing-date", GOOD.replace("Date: Sun, 29 Nov 2026 12:00:00 +0000\n", "")),
    ("missing-message-id", GOOD.replace("Message-ID: <one@example.org>\n", "")),
    ("repeated-field", GOOD.replace("To: bob@example.com\n", "To: bob@example.com\nTo: eve@example.com\n")),
    ("repeated-field", GOOD.replace("Subject:", "subject: a\nSubject:")),
    ("bad-from", GOOD.replace('"Li, Lei" <ann@example.org>', "nobody")),
    ("missing-sender", GOOD.replace('"Li, Lei" <ann@example.org>', "a@example.org, b@example.org")),
    ("group-in-from", GOOD.replace('"Li, Lei" <ann@example.org>', "Team: ann@example.org;")),
    ("unqualified-from", GOOD.replace("ann@example.org", "ann@localhost")),
    ("misleading-name", GOOD.replace('"Li, Lei"', '"boss@bank.example"')),
    ("no-recipient-field", GOOD.replace("To: bob@example.com\n", "")),
    ("bcc-left", GOOD.replace("To: bob", "Bcc: eve@example.com\nTo: bob")),
    ("bad-date", GOOD.replace("Sun, 29 Nov 2026 12:00:00 +0000", "yesterday")),
    ("future-date", GOOD.replace("2026", "2027").replace("Sun", "Mon")),
    ("old-date", GOOD.replace("Sun, 29 Nov 2026", "Fri, 29 Nov 2024")),
    ("bad-id", GOOD.replace("<one@example.org>", "one@example.org")),
    ("bad-id", GOOD.replace("Subject", "References: <a@b.example> c@d.example\nSubject")),
    ("space-before-colon", GOOD.replace("Subject:", "Subject :")),
    ("raw-8bit-header", GOOD.replace("=?utf-8?q?caf=C3=A9?=", "café")),
    ("empty-folded-line", GOOD.replace("=?utf-8?q?caf=C3=A9?=", "a\n \n b")),
    (
        "encoded-word-for-programs",
        BULK.replace("<https://example.org/u/1>", "=?utf-8?q?=3Chttps=3A//example.org/u/1=3E?= <https://x.example>"),
    ),
    ("long-encoded-word", GOOD.replace("caf=C3=A9?=", "x" * 80 + "?=")),
    ("bad-encoded-word", GOOD.replace("?q?", "?z?")),
    ("bad-encoded-word", GOOD.replace("?q?caf", "?q?a b")),
    ("no-subject", GOOD.replace("Subject: =?utf-8?q?caf=C3=A9?=\n", "")),
    ("bad-auto-submitted", GOOD.replace("MIME-V", "Auto-Submitted: yes\nMIME-V")),
    ("return-path-set", "Return-Path: <a@b.example>\n" + GOOD),
    ("missing-mime-version", GOOD.replace("MIME-Version: 1.0\n", "")),
    ("unknown-encoding", GOOD.replace("quoted-printable", "quopri")),
    ("undeclared-8bit", GOOD.replace("Content-Transfer-Encoding: quoted-printable\n", "").replace("=C3=A9\n", "é\n")),
    ("bad-quoted-printable", GOOD.replace("caf=C3=A9\n", "caf=ZZ\n")),
    ("bad-base64", GOOD.replace("quoted-printable", "base64").replace("caf=C3=A9\n", "!!!!A\n")),
    ("wrong-charset", GOOD.replace("charset=utf-8", "charset=bogus")),
    ("no-text-part", HTML),
    ("active-html", HTML.replace("<p>hi</p>", "<script>1</script>")),
    ("missing-inline-part", HTML.replace("<p>hi</p>", '<img src=3D"cid:logo">')),
    ("long-html", HTML.replace("<p>hi</p>\n", "<p>hi</p>\n" * 12_000)),
    ("no-boundary", MIXED.replace('; boundary="b"', "")),
    ("unterminated-multipart", MIXED.replace("caf=C3=A9\n", "--b\n\nhi\n")),
    ("encoded-multipart", MIXED.replace("7bit", "base64").replace("caf=C3=A9\n", "--b\n\nhi\n--b--\n")),
    (
        "mixed-charsets",
        MIXED.replace(
            "caf=C3=A9\n",
            "--b\nContent-Type: text/plain; charset=utf-8\n\na\n--b\n"
            "Content-Type: text/plain; charset=koi8-r\n\nb\n--b--\n",
        ),
    ),
    (
        "blocked-attachment",
        MIXED.replace(
            "caf=C3=A9\n",
            "--b\n\nhi\n--b\nContent-Type: application/octet-stream\n"
            "Content-Disposition: attachment; filename=setup.exe\n\nx\n--b--\n",
        ),
    ),
    (
        "encoded-file-name",
        MIXED.replace(
            "caf=C3=A9\n",
            "--b\n\nhi\n--b\nContent-Type: application/pdf\n"
            'Content-Disposition: attachment; filename="=?utf-8?q?=C3=A9?=.pdf"\n\nx\n--b--\n',
        ),
    ),
    ("long-line", GOOD.replace("caf=C3=A9\n", "x" * 999 + "\n")),
    ("nul", GOOD.replace("caf=C3=A9\n", "a\0b\n")),
    ("no-one-click", BULK.replace("List-Unsubscribe-Post: List-Unsubscribe=One-Click\n", "")),
    ("bad-one-click", BULK.replace("=One-Click", "=yes")),
    ("no-https-unsubscribe", BULK.replace("https://example.org/u/1", "mailto:u@example.org")),
    ("bad-unsubscribe", BULK.replace("<https://example.org/u/1>", "https://example.org/u/1")),
    ("unsigned-unsubscribe", "DKIM-Signature: v=1; h=from:to; b=x\n" + BULK),
    ("no-unsubscribe", GOOD.replace("MIME-V", "Precedence: bulk\nMIME-V")),
]


@pytest.mark.parametrize(("rule", "text"), BROKEN, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_broken_rule_is_found(rule: str, text: str) -> None:
    assert rule in rules(crlf(text))


def test_the_signature_that_covers_the_fields_is_enough() -> None:
    signed = "DKIM-Signature: v=1; h=from:to:List-Unsubscribe:\n List-Unsubscribe-Post; b=x\n" + BULK
    assert lint_message(crlf(signed), now=NOW) == ()


def test_mixed_line_ends_are_errors_at_their_line() -> None:
    found = lint_message(crlf(GOOD).replace(b"To: bob@example.com\r\n", b"To: bob@example.com\n"), now=NOW)
    assert [(each.rule, each.line) for each in found] == [("bare-lf", 2)]
    found = lint_message(crlf(GOOD).replace(b"caf=C3", b"c\raf=C3"), now=NOW)
    assert ("bare-cr", 10) in [(each.rule, each.line) for each in found]


def test_bulk_rules_can_be_asked_for_and_left_out() -> None:
    assert rules(crlf(GOOD), bulk=True) == ["no-unsubscribe"]
    assert rules(crlf(BULK.replace("=One-Click", "=yes")), bulk=False) == []


def test_each_finding_says_what_to_do() -> None:
    for _, text in BROKEN:
        for each in lint_message(crlf(text), now=NOW):
            assert each.text.endswith("."), each
            assert each.remedy.endswith((".", ";", "…")), each
            assert each.text[0].isupper(), each
            assert each.line >= 1
            assert each.level in Level


def test_the_page_lists_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lint.md").read_text("utf-8")
    listed = {
        rule
        for row in page.split("\n")
        if row.startswith("| `")
        for rule in re.findall(r"`([^`]+)`", row[: row.find(" | ", 3)])
    }
    assert {rule for rule, _ in BROKEN} <= listed
    known = "".join(path.read_text("utf-8") for path in Path(lint.__file__).parent.glob("*.py"))
    assert [rule for rule in listed if f'"{rule}"' not in known and not rule.startswith("missing-")] == []


def test_a_rule_broken_a_million_times_gives_few_findings_and_takes_linear_time() -> None:
    begun = time.process_time()
    assert len(lint_message(b"a\nb\r\n" * 300_000)) < 100
    assert len(lint_message(b"To: a@b.example\n" * 100_000 + b"\n")) < 100
    assert len(lint_message(b"References: " + b"<a" * 300_000 + b"\n\n" + b"=?a?q?" * 100_000)) < 100
    assert time.process_time() - begun < 60.0  # quadratic, it would be hours


@given(st.binary(max_size=300))
def test_no_octets_raise(noise: bytes) -> None:
    lint_message(noise, now=NOW)
    lint_message(crlf(BULK)[:150] + noise + crlf(BULK)[150:], now=NOW, bulk=True)
