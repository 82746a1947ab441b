"""Aggregate reports: counted as messages come, sent a day later to those who may get them, and never about reports."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Answer, Question, StorageError
from posthouse.mailauth.dmarc.aggregate import AggregateReport, read_aggregate_report
from posthouse.message.compose import Composed
from posthouse.service.config_file import parse
from posthouse.service.mailauth.auth_terms import AuthTerms
from posthouse.service.mailauth.listener_auth import verify_terms
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.service.mailauth.report_sender import (
    GIVE_UP,
    LOOKUP_SECONDS,
    MOST_AT_ONCE,
    ROUND,
    SPREAD,
    AggregateReports,
)
from posthouse.service.mailauth.report_store import ReportStore
from posthouse.testing import ManualClock, StaticResolver

from .policy_harness import PolicyHarness, bring_in, envelope

CONFIG = """
hostname = "mx.here.test"
data_dir = "{root}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
mailboxes = "any"
[mailauth]
verify = "enforce"
reports = true
dns_questions = {questions}
"""
DAY = 86_400
ZONE: dict[str, dict[str, list[str]]] = {
    "bank.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": ["192.0.2.1"]},
    "_dmarc.bank.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@bank.test,mailto:all@else.test"]},
    "quiet.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.1"]},
    "_dmarc.quiet.test": {"TXT": ["v=DMARC1; p=none"]},
}
MESSAGE = b"From: ann@bank.test\r\nSubject: hi\r\n\r\nhello\r\n"


class PartlySilent(StaticResolver):
    """Resolver that never answers about the domains of ``silent``, and tells how many such questions wait."""

    silent: tuple[str, ...] = ()
    waiting = 0

    async def ask(self, question: Question) -> Answer:
        if question.name.endswith(self.silent):
            self.waiting += 1
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.waiting -= 1
        return await super().ask(question)


class ReportHarness:
    """A listener that counts, and what was submitted."""

    def __init__(self, root: Path, *, sends: bool = True, questions: int = 100) -> None:
        text = CONFIG.format(root=root, questions=questions)
        config = parse(text)
        self.questions = questions
        self.clock = ManualClock()
        self.dns = PartlySilent(ZONE, ttl=0)
        resolver = MailResolver(self.dns, self.clock, questions=config.mailauth.dns_questions)
        self.sent: list[Composed] = []
        self.some_sent = asyncio.Event()
        self.faults: list[str] = []
        self.full = False
        self.refused = "-"
        self.reports = AggregateReports(
            config, resolver, self.clock, self._submit if sends else None, self.faults.append
        )
        terms = verify_terms(config, config.listener[0], resolver, self.clock, None, self.reports.count)
        self.made = PolicyHarness(text, clock=self.clock, auth=AuthTerms(terms))
        self.store = ReportStore(str(root))

    async def _submit(self, message: Composed) -> None:
        if self.full:
            raise StorageError("the disk is full")
        if any(each.address.domain == self.refused for each in message.envelope.recipients):
            raise StorageError("552 too large")
        self.sent.append(message)
        self.some_sent.set()

    def take(self, content: bytes = MESSAGE, sender: str = "ann@bank.test", host: str = "192.0.2.1") -> int:
        (reply,) = bring_in(self.made.session(host), envelope("bob@here.test", sender=sender), content)
        return reply.code

    def after(self, seconds: float) -> None:
        """Let calendar and clock go on, and do what is done every minute."""

        async def pass_by() -> None:
            await self.clock.advance(seconds)
            await self.reports.tick()

        asyncio.run(pass_by())

    @property
    def read(self) -> list[AggregateReport]:
        return [read_aggregate_report(each.content) for each in self.sent]


def test_a_day_of_mail_becomes_one_report(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    assert [host.take() for _ in range(3)] == [250] * 3
    assert host.take(sender="x@quiet.test", host="192.0.2.66") == 550
    assert host.take(MESSAGE.replace(b"bank", b"quiet"), sender="x@quiet.test") == 250  # asks for no reports
    host.after(60)
    assert not host.sent
    host.after(DAY + SPREAD)
    (report,) = host.read
    assert (report.policy.domain, report.policy.p, report.messages) == ("bank.test", "reject", 4)
    counted = {(each.row.source_ip, each.row.disposition, each.row.spf): each.messages for each in report.records}
    assert counted == {("192.0.2.1", "pass", "pass"): 3, ("192.0.2.66", "reject", "fail"): 1}
    (message,) = host.sent
    assert message.envelope.sender is None
    assert [str(each.address) for each in message.envelope.recipients] == ["dmarc@bank.test"]  # else.test said nothing
    assert b"From: dmarc-reports@mx.here.test" in message.content
    host.after(DAY)
    assert len(host.sent) == 1


def test_a_report_about_reports_is_not_made(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    assert host.take(MESSAGE.replace(b"hi", b"Report Domain: here.test Submitter: bank.test")) == 250
    host.after(DAY + SPREAD)
    assert not host.sent


def test_other_workers_count_and_do_not_send(tmp_path: Path) -> None:
    other, first = ReportHarness(tmp_path, sends=False), ReportHarness(tmp_path)
    assert other.take() == first.take() == 250
    other.after(60)
    other.after(DAY + SPREAD)
    assert not other.sent
    first.after(60)
    first.after(DAY + SPREAD)
    assert first.read[0].messages == 2


def test_a_failure_lets_a_report_wait_and_loses_nothing(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    assert host.take() == 250
    host.after(60)
    host.dns.failing.add("_dmarc.bank.test")
    host.after(DAY + SPREAD)
    assert not host.sent
    host.dns.failing.clear()
    host.full = True
    host.after(3_700)
    assert "the disk is full" in host.faults[-1]
    host.full = False
    host.after(60)
    assert not host.sent
    host.after(3_600)
    assert host.read[0].messages == 1


@pytest.mark.parametrize("local", ["a" * 65, "%C3%BC", "%FF"])
def test_an_address_that_nothing_can_be_sent_to_keeps_no_report_waiting(tmp_path: Path, local: str) -> None:
    host = ReportHarness(tmp_path)
    host.dns.zone["_dmarc.aaa.test"] = {"TXT": [f"v=DMARC1; p=none; rua=mailto:{local}@aaa.test"]}
    assert host.take(MESSAGE.replace(b"bank", b"aaa")) == host.take() == 250
    host.after(60)
    host.after(DAY + SPREAD)
    assert [each.policy.domain for each in host.read] == ["bank.test"]
    assert host.store.reports(1 << 40) == []
    assert not host.faults


def test_a_report_that_is_refused_keeps_no_other_waiting_and_is_given_up(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    host.dns.zone["_dmarc.aaa.test"] = {"TXT": ["v=DMARC1; p=none; rua=mailto:a@aaa.test"]}
    host.refused = "aaa.test"
    assert host.take(MESSAGE.replace(b"bank", b"aaa")) == host.take() == 250
    host.after(60)
    host.after(DAY + SPREAD)
    assert [each.policy.domain for each in host.read] == ["bank.test"]
    assert host.faults == ["the aggregate report to aaa.test could not be sent: 552 too large"]
    host.after(60)
    assert len(host.faults) == 1
    host.after(GIVE_UP)
    assert host.store.reports(1 << 40) == []


def _with_silent(root: Path, number: int, questions: int = 100) -> ReportHarness:
    """A day of mail of bank.test and of so many domains, all of which are due, whose DNS never answers from now on."""
    host = ReportHarness(root, questions=questions)
    names = [f"a{each}.test" for each in range(number)]
    for name in names:
        host.dns.zone[f"_dmarc.{name}"] = {"TXT": [f"v=DMARC1; p=none; rua=mailto:a@{name}"]}
        assert host.take(MESSAGE.replace(b"bank.test", name.encode())) == 250
    assert host.take() == 250
    host.after(60)
    host.dns.silent = tuple(names)
    asyncio.run(host.clock.advance(DAY + SPREAD))
    return host


def test_a_destination_that_never_answers_holds_up_no_other(tmp_path: Path) -> None:
    host = _with_silent(tmp_path, MOST_AT_ONCE - 1)

    async def run() -> None:
        sending = asyncio.create_task(host.reports.tick())
        await asyncio.wait_for(host.some_sent.wait(), 30)
        assert [each.policy.domain for each in host.read] == ["bank.test"]
        assert not sending.done()
        await host.clock.advance(LOOKUP_SECONDS)
        await asyncio.wait_for(sending, 30)

    asyncio.run(run())
    assert len(host.store.reports(1 << 40)) == MOST_AT_ONCE - 1  # they wait, and lose nothing
    host.dns.silent = ()
    host.after(60)
    assert len(host.sent) == 1
    host.after(3_600)
    assert len(host.sent) == MOST_AT_ONCE
    assert not host.faults


def test_a_round_ends_however_many_do_not_answer(tmp_path: Path) -> None:
    host = _with_silent(tmp_path, 5 * MOST_AT_ONCE)

    assert asyncio.run(_round(host)) <= ROUND + LOOKUP_SECONDS
    assert asyncio.run(_round(host)) <= ROUND + LOOKUP_SECONDS  # of the others, before anything is tried again
    assert [each.policy.domain for each in host.read] == ["bank.test"]


def test_reports_that_have_failed_come_last(tmp_path: Path) -> None:
    host = _with_silent(tmp_path, 3, questions=4)  # one report at a time, and in a round no more than these
    for _ in range(2):
        asyncio.run(_round(host))
        asyncio.run(host.clock.advance(3_600))
    assert [each.policy.domain for each in host.read] == ["bank.test"]


async def _round(host: ReportHarness) -> float:
    """Let one round go by, and return how many seconds it took."""
    began = host.clock.monotonic()
    sending = asyncio.create_task(host.reports.tick())
    while not sending.done():
        await asyncio.wait_for(_until_silent(host, sending), 30)
        await host.clock.advance(LOOKUP_SECONDS)
    return host.clock.monotonic() - began


async def _until_silent(host: ReportHarness, sending: asyncio.Task[None]) -> None:
    """Return when as many questions wait as may, or when the round has ended."""
    while host.dns.waiting < min(MOST_AT_ONCE, host.questions // 4) and not sending.done():
        await asyncio.sleep(0)


@pytest.mark.parametrize("gone", ["_dmarc.bank.test"])
def test_a_report_that_nobody_wants_any_more_is_dropped(tmp_path: Path, gone: str) -> None:
    host = ReportHarness(tmp_path)
    assert host.take() == 250
    host.after(60)
    del host.dns.zone[gone]
    host.after(DAY + SPREAD)
    assert not host.sent
    assert host.store.reports(1 << 40) == []


def test_a_report_whose_domain_does_not_answer_is_given_up(tmp_path: Path) -> None:
    host = ReportHarness(tmp_path)
    assert host.take() == 250
    host.after(60)
    host.dns.failing.add("_dmarc.bank.test")
    host.after(DAY + SPREAD)
    assert len(host.store.reports(1 << 40)) == 1
    host.after(GIVE_UP)
    assert host.store.reports(1 << 40) == []


def test_the_file_is_private_and_a_broken_one_is_told(tmp_path: Path) -> None:
    host: Any = ReportHarness(tmp_path)
    assert host.take() == 250
    host.after(60)
    path = tmp_path / "dmarc-reports.sqlite3"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"x" * 4096)
    assert host.take() == 250
    host.after(60)
    assert "results for aggregate reports stay in" in host.faults[0]
