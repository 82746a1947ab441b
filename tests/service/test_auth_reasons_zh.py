"""The reasons of message authentication in Chinese: each common one of the checks themselves has a text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from posthouse.mailauth import answer, check_dmarc, check_spf, verify_arc, verify_dkim
from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason
from posthouse.service.mailauth.texts.verdict_text import VerdictEntry, verdict_sentence

ZONE: dict[str, Any] = {
    "ok.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "neutral.test": {"TXT": ["v=spf1"]},
    "bare.test": {"A": ["192.0.2.1"]},
    "two.test": {"TXT": ["v=spf1", "v=spf1"]},
    "syntax.test": {"TXT": ["v=spf1 nonsense"]},
    "nowhere.test": {"TXT": ["v=spf1 include:absent.test"]},
    "loop.test": {"TXT": ["v=spf1 include:loop.test"]},
    "void.test": {"TXT": ["v=spf1 a:u.test a:v.test a:w.test"]},
    "many.test": {"TXT": ["v=spf1 mx"], "MX": [[n, f"h{n}.test"] for n in range(11)]},
    "slow.test": "TIMEOUT",
    "_dmarc.ok.test": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.none.test": {"TXT": ["v=DMARC1"]},
}


def is_chinese(text: str) -> bool:
    """True if what is left without names, terms and numbers is Chinese."""
    return re.search(r"[\u4e00-\u9fff]", text) is not None and re.search(r"[a-z]{2,} [a-z]{2,}", text) is None


@pytest.mark.parametrize(
    "domain",
    [
        *("ok", "neutral", "bare", "two", "syntax", "nowhere", "loop", "void", "many", "absent"),
    ],
)
def test_reasons_of_spf(domain: str) -> None:
    for ip in ("192.0.2.1", "192.0.2.2"):
        reason = answer(check_spf(ip, f"a@{domain}.test", "x"), ZONE).reason
        assert is_chinese(chinese_auth_reason(reason)), reason
    reason = answer(check_spf("192.0.2.1", "", "localhost"), ZONE).reason
    assert chinese_auth_reason(reason) == "“localhost”不是含两段以上的域名"
    reason = answer(check_spf("192.0.2.1", "", ""), ZONE).reason
    assert reason == "no domain is given: neither the sender nor HELO names one"
    assert is_chinese(chinese_auth_reason(reason))


@pytest.mark.parametrize(
    "check",
    [
        check_dmarc("ok.test"),
        check_dmarc("ok.test", spf="ok.test"),
        check_dmarc("ok.test", spf="ok.test", dkim="ok.test"),
        check_dmarc("ok.test", spf=("temperror", "ok.test")),
        check_dmarc("other.test"),
        check_dmarc("none.test"),
        check_dmarc(b"From: a@[192.0.2.1]\r\n\r\n"),
        check_dmarc(b"From: a@ok.test\r\nFrom: a@ok.test\r\n\r\n"),
        check_dmarc(b"Subject: x\r\n\r\n"),
        check_dmarc(b"From: a@ok.test, b@other.test\r\n\r\n"),
        verify_dkim(b"From: a@ok.test\r\n\r\n"),
        verify_arc(b"From: a@ok.test\r\n\r\n"),
    ],
)
def test_reasons_of_the_other_methods(check: Any) -> None:
    reason = answer(check, ZONE).reason
    assert is_chinese(chinese_auth_reason(reason)), reason


def test_a_reason_that_has_no_translation_is_shown_as_it_is() -> None:
    assert chinese_auth_reason("what has no row") == "what has no row"
    assert chinese_auth_reason("x" * 5000) == "x" * 5000


def test_a_verdict_is_one_chinese_sentence() -> None:
    reason = "-all in the SPF record of ok.test matches 192.0.2.2"
    entry = VerdictEntry(method="spf", result="fail", domain="ok.test", reason=reason, policy="")
    assert verdict_sentence(entry, "zh") == (
        "SPF 结果为 fail（不通过），域 ok.test：ok.test 的 SPF 记录中的 -all 与 192.0.2.2 相符"
    )
