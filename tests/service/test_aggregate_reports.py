"""Aggregate reports: counted as messages come, sent a day later to those who may get them, and never about reports."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import StorageError
from posthouse.mailauth.dmarc.aggregate import AggregateReport, read_aggregate_report
from posthouse.message.compose import Composed
from posthouse.service.config_file import parse
from posthouse.service.mailauth.auth_terms import AuthTerms
from posthouse.service.mailauth.listener_auth import verify_terms
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.service.mailauth.report_sender import GIVE_UP, SPREAD, AggregateReports
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
"""
DAY = 86_400
ZONE: dict[str, dict[str, list[str]]] = {
    "bank.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": ["192.0.2.1"]},
    "_dmarc.bank.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:dmarc@bank.test,mailto:all@else.test"]},
    "quiet.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.1"]},
    "_dmarc.quiet.test": {"TXT": ["v=DMARC1; p=none"]},
}
MESSAGE = b"From: ann@bank.test\r\nSubject: hi\r\n\r\nhello\r\n"


class ReportHarness:
    """A listener that counts, and what was submitted."""

    def __init__(self, root: Path, *, sends: bool = True) -> None:
        text = CONFIG.format(root=root)
        config = parse(text)
        self.clock = ManualClock()
        self.dns = StaticResolver(ZONE, ttl=0)
        resolver = MailResolver(self.dns, self.clock, questions=10)
        self.sent: list[Composed] = []
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
