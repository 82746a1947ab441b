"""Targets for what the DNS says of a sender: SPF records and their macros."""

from __future__ import annotations

from typing import TypeVar

from posthouse.core import MX, Answer, Kind, Question, Status
from posthouse.mailauth.domain_check import check_domain
from posthouse.mailauth.domains import is_dns_name
from posthouse.mailauth.questions import Check
from posthouse.mailauth.spf import MOST_TERMS, MOST_VOIDS, check_spf, received_spf

__all__ = ["domain_records", "spf"]

_Result = TypeVar("_Result")

_WORDS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
_MOST_QUESTIONS = 1 + 11 * 12 + 2 * 11 + 1


def spf(data: bytes) -> None:
    """SPF: the first octet is a seed; then texts, separated by NUL, that every TXT question is answered with in turn.

    Whatever they are, the check ends, within its limits, with a result that can be written.
    """
    seed, *texts = data[0] if data else 0, *(data[1:].split(b"\0"))
    ip = ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1")[seed % 3]
    name = texts[-1].decode("utf-8", "surrogateescape")[:300]
    sender, helo = ("ann@example.org", name) if seed & 4 else (f"{name}@example.org", "mx.example.org")
    result = _driven(check_spf(ip, "" if seed & 8 else sender, helo), seed, texts)
    assert result.result in _WORDS
    assert result.terms <= MOST_TERMS
    assert result.voids <= MOST_VOIDS
    assert len(result.lookups) <= _MOST_QUESTIONS
    assert result.explanation.isascii()
    assert "\n" not in result.explanation
    written = received_spf(result, "mx.example.net")
    assert written.count(b"\n") == written.count(b"\r\n\t") + 1
    assert repr(result)


def _driven(check: Check[_Result], seed: int, texts: list[bytes]) -> _Result:
    """The result of the check with made-up answers."""
    try:
        question = next(check)
        for number in range(_MOST_QUESTIONS):
            assert is_dns_name(question.name)
            question = check.send(_answer(question, seed + number, texts))
    except StopIteration as end:
        found: _Result = end.value
        return found
    raise AssertionError("the check does not end")


def _answer(question: Question, number: int, texts: list[bytes]) -> Answer:
    """An answer that depends on the number alone."""
    if number % 11 == 10:
        return Answer((Status.NXDOMAIN, Status.NODATA, Status.FAILED)[number % 3])
    match question.kind:
        case Kind.TXT:
            return Answer(Status.OK, (texts[number % len(texts)],))
        case Kind.MX:
            return Answer(
                Status.OK,
                tuple(MX(each, f"mx{each}.{question.name}"[:253]) for each in range(number % 12)) or (MX(0, ""),),
            )
        case Kind.PTR:
            return Answer(Status.OK, tuple(f"{each}.example.org" for each in range(1 + number % 12)))
        case Kind.AAAA:
            return Answer(Status.OK, ("2001:db8::1" if number % 2 else "2001:db8::2",))
    return Answer(Status.OK, ("192.0.2.1" if number % 2 else "192.0.2.2",))


def domain_records(data: bytes) -> None:
    """The check of a domain: whatever its records are, it ends, and each finding is a sentence on one line."""
    seed, *texts = data[0] if data else 0, *(data[1:].split(b"\0"))
    report = _driven(check_domain("example.org", ("s1",)), seed, texts)
    for each in report.findings:
        assert each.text
        assert each.remedy
        assert "\n" not in each.publish
    assert len(report.findings) < 1000
