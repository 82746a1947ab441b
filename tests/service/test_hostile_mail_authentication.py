"""Messages and domains that are meant to get around the verification of mail, or to make its files and reports grow."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from posthouse.core import Answer, Kind, Question
from posthouse.mailauth import answer, check_spf
from posthouse.mailauth.dmarc.aggregate import AggregateRow, PolicyPublished
from posthouse.service.mailauth import report_store
from posthouse.service.mailauth.count_journal import CountedResult
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.service.mailauth.report_store import ReportStore, StoredReport
from posthouse.testing import ManualClock, StaticResolver

from .test_mail_verification import OUTSIDE, TO, ZONE, VerifyHarness

SLOW_KEY = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; d=never.test; s=s%d; h=from; c=relaxed/relaxed;\r\n"
    b" bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
)


class OneDeadDomain:
    """A resolver to which one domain never answers; ``waiting`` are the questions about it."""

    def __init__(self, answering: bool = True) -> None:
        self.inner = StaticResolver(ZONE)
        self.answering = answering
        self.waiting: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        if question.name.endswith("never.test"):
            self.waiting.append(question)
            await asyncio.Event().wait()
        return await self.inner.ask(question)


async def settle() -> None:
    """Let every task do what it can do now."""
    for _ in range(200):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "author",
    [
        b"Boss <boss@mail.bank.test>",  # has no policy of its own: that of the domain above it is asked for late
        b"boss@bank.test (my friend ann@other.test )",  # not the domain that is asked for in advance
    ],
)
def test_keys_that_never_come_let_no_forged_author_pass(author: bytes) -> None:
    async def scenario() -> None:
        host = VerifyHarness(resolver=OneDeadDomain())
        intake = host.made.session("192.0.2.66").intake(TO)
        assert not isinstance(intake, tuple)
        keys = b"".join(SLOW_KEY % number for number in range(3))
        intake.write(keys + b"From: " + author + b"\r\n\r\nhello\r\n")
        waiting = intake.commit()
        assert not isinstance(waiting, tuple)
        task = asyncio.ensure_future(waiting)
        await settle()
        assert not task.done()
        await host.clock.advance(host.config.mailauth.dns_time + 1)
        async with asyncio.timeout(30):
            (verdict,) = await task
        assert (verdict.reply.code, verdict.reply.enhanced) == (550, "5.7.26")

    asyncio.run(scenario())


def test_a_domain_that_never_answers_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        dead = OneDeadDomain()
        resolver = MailResolver(dead, ManualClock(), questions=50)
        names = [f"s{number}._domainkey.{number}.never.test" for number in range(200)]
        asking = [asyncio.ensure_future(resolver.ask(Question(name, Kind.TXT))) for name in names]
        await settle()
        assert len(dead.waiting) == 5
        async with asyncio.timeout(30):
            found = await resolver.ask(Question("_dmarc.bank.test", Kind.TXT))
        assert found.records == (b"v=DMARC1; p=reject",)
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(scenario())


def test_an_spf_record_is_bounded() -> None:
    def result(terms: int) -> str:
        zone = {"x.test": {"TXT": ["v=spf1 " + "ip4:192.0.2.0/24 " * terms + "-all"]}}
        return answer(check_spf(OUTSIDE, "ann@x.test", "x.test"), zone).result

    assert result(500) == "pass"
    assert result(3_000) == "permerror"


# Reports --------------------------------------------------------------------------------------------------------------


def counted(domain: str, source: str, day: int = 1) -> CountedResult:
    row = AggregateRow(source, domain, "none", "fail", "fail")
    return CountedResult(day, PolicyPublished(domain, p="reject"), row)


def test_senders_make_neither_file_nor_reports_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_store, "_MOST_STORED", 10)
    monkeypatch.setattr(report_store, "_MOST_REPORTS", 4)
    store = ReportStore(str(tmp_path))
    store.add({counted("real.test", "192.0.2.1"): 1})
    store.add({counted(f"made{number}.test", "192.0.2.1"): 1 for number in range(20)})
    assert len(store.reports(2)) == 4
    store.add({counted("real.test", f"192.0.2.{number}"): 1 for number in range(100)})
    report = StoredReport(1, PolicyPublished("real.test", p="reject"))
    assert len(store.records(report)) == 10 - 3
    store.add({counted("real.test", "192.0.2.1"): 5})  # what is known is still counted
    assert max(each.messages for each in store.records(report)) == 7
