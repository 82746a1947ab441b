"""Failure reports: made where they are wanted and configured, redacted, limited, and never about reports."""

from __future__ import annotations

import asyncio
import email
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Answer, Question
from posthouse.message.compose import Composed
from posthouse.service.config_file import parse
from posthouse.service.mailauth.auth_terms import AuthTerms
from posthouse.service.mailauth.failure_reports import FailureReports
from posthouse.service.mailauth.listener_auth import verify_terms
from posthouse.service.mailauth.lookups import MailResolver
from posthouse.service.mailauth.redaction import redacted_address, redacted_headers
from posthouse.service.mailauth.report_store import ReportStore
from posthouse.testing import ManualClock, StaticResolver

from .policy_harness import PolicyHarness, envelope

CONFIG = """
hostname = "mx.here.test"
data_dir = "{root}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
mailboxes = "any"
[mailauth]
verify = "{verify}"
failure_reports = {most}
quarantine = "{quarantine}"
"""
RUF = "ruf=mailto:fail@bank.test,mailto:all@else.test"
MESSAGE = (
    b"Received: from a by b for <carl@here.test>; Fri, 15 Jan 2027 08:00:00 +0000\r\nFrom: Ann <ann@bank.test>\r\n"
    b"To: Bob <bob@here.test>, carl@here.test\r\nSubject: secret plans\r\nX-Note: private\r\n\r\nthe body\r\n"
)


class PartlySilent(StaticResolver):
    """Resolver that never answers about the names that end with ``silent``."""

    silent: tuple[str, ...] = ()

    async def ask(self, question: Question) -> Answer:
        if question.name.endswith(self.silent):
            await asyncio.get_running_loop().create_future()
        return await super().ask(question)


class FailureHarness:
    """A listener that verifies, and the failure reports that it caused."""

    def __init__(
        self,
        root: Path,
        record: str = f"v=DMARC1; p=reject; {RUF}",
        *,
        most: int = 10,
        verify: str = "enforce",
        quarantine: str = "hold",
    ) -> None:
        text = CONFIG.format(root=root, most=most, verify=verify, quarantine=quarantine)
        config = parse(text)
        self.clock = ManualClock()
        zone = {
            "bank.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"], "A": ["192.0.2.1"]},
            "_dmarc.bank.test": {"TXT": [record]},
            "_dmarc.shop.test": {"TXT": ["v=DMARC1; p=reject; ruf=mailto:a@shop.test"]},
            "list.test": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"], "A": ["192.0.2.7"]},
        }
        self.dns = PartlySilent(zone, ttl=0)
        resolver = MailResolver(self.dns, self.clock, questions=10)
        self.sent: list[Composed] = []
        self.some_sent = asyncio.Event()
        self.faults: list[str] = []
        self.reports = FailureReports(config, resolver, self.clock, self._submit, self.faults.append)
        terms = verify_terms(config, config.listener[0], resolver, self.clock, None, self.reports.judged)
        self.made = PolicyHarness(text, clock=self.clock, auth=AuthTerms(terms))

    async def _submit(self, message: Composed) -> None:
        self.sent.append(message)
        self.some_sent.set()

    def take(self, content: bytes = MESSAGE, sender: str = "eve@list.test", host: str = "192.0.2.66") -> int:
        """The code of the reply to a message; its report has been made when this returns."""

        async def bring() -> int:
            async with asyncio.timeout(30):
                code = await self.bring(content, sender, host)
                await self.reports.settled()
                return code

        return asyncio.run(bring())

    async def bring(self, content: bytes, sender: str = "eve@list.test", host: str = "192.0.2.66") -> int:
        """The code of the reply to a message; its report may still be made."""
        to = envelope("bob@here.test", sender=sender)
        intake: Any = self.made.session(host).intake(to if sender else to._replace(sender=None))
        intake.write(content)
        answer = intake.commit()
        (verdict,) = answer if isinstance(answer, tuple) else await answer
        code: int = verdict.reply.code
        return code

    @property
    def parts(self) -> list[Message]:
        (report,) = self.sent
        parts: Any = email.message_from_bytes(report.content).get_payload()
        return list(parts)


def test_a_forged_message_is_reported_to_whom_it_may_be(tmp_path: Path) -> None:
    host = FailureHarness(tmp_path)
    assert host.take() == 550
    (report,) = host.sent
    assert report.envelope.sender is None
    assert [str(each.address) for each in report.envelope.recipients] == ["fail@bank.test"]  # else.test said nothing
    assert b"From: DMARC failure reports <dmarc-reports@mx.here.test>" in report.content
    assert b"Auto-Submitted: auto-generated" in report.content
    machine: Any = host.parts[1].get_payload()
    told = dict(machine[0].items()) if isinstance(machine, list) else {}
    assert (told["Auth-Failure"], told["Delivery-Result"], told["Source-IP"]) == ("dmarc", "reject", "192.0.2.66")
    assert told["Reported-Domain"] == "bank.test"
    assert told["Identity-Alignment"] == "dkim, spf"


def test_nothing_of_others_is_told(tmp_path: Path) -> None:
    host = FailureHarness(tmp_path)
    host.take()
    (report,) = host.sent
    for secret in (b"bob@", b"Bob", b"carl@", b"eve@", b"secret plans", b"private", b"the body"):
        assert secret not in report.content, secret
    assert b"Ann <ann@bank.test>" in report.content
    returned = host.parts[2].get_payload()
    assert str(returned).count("@here.test") == 3


@pytest.mark.parametrize(
    ("fo", "host", "sender", "reported"),
    [
        ("0", "192.0.2.66", "eve@list.test", True),
        ("0", "192.0.2.1", "ann@bank.test", False),  # SPF passes, aligned
        ("1", "192.0.2.1", "ann@bank.test", True),  # DKIM gave no aligned pass
        ("s", "192.0.2.66", "eve@list.test", True),
        ("s", "192.0.2.7", "eve@list.test", False),  # SPF passes, not aligned
        ("d", "192.0.2.66", "eve@list.test", False),  # no signature failed
    ],
)
def test_the_owner_says_which_failures_count(tmp_path: Path, fo: str, host: str, sender: str, reported: bool) -> None:
    made = FailureHarness(tmp_path, f"v=DMARC1; p=none; fo={fo}; {RUF}")
    assert made.take(sender=sender, host=host) == 250
    assert bool(made.sent) is reported


def test_a_signature_that_fails_is_reported_with_its_names(tmp_path: Path) -> None:
    made = FailureHarness(tmp_path, f"v=DMARC1; p=none; fo=d; {RUF}")
    signature = b"DKIM-Signature: v=1; a=rsa-sha256; d=bank.test; s=sel; h=from; bh=AA==; b=AA==\r\n"
    assert made.take(signature + MESSAGE) == 250
    machine: Any = made.parts[1].get_payload()
    assert (machine[0]["DKIM-Domain"], machine[0]["DKIM-Selector"]) == ("bank.test", "sel")


@pytest.mark.parametrize(("quarantine", "told"), [("hold", "policy"), ("header", "spam"), ("folder", "spam")])
def test_what_became_of_the_message_is_told(tmp_path: Path, quarantine: str, told: str) -> None:
    made = FailureHarness(tmp_path, f"v=DMARC1; p=quarantine; {RUF}", quarantine=quarantine)
    assert made.take() == 250
    machine: Any = made.parts[1].get_payload()
    assert machine[0]["Delivery-Result"] == told


@pytest.mark.parametrize(
    ("content", "sender"),
    [
        (MESSAGE, ""),
        (MESSAGE.replace(b"X-Note: private", b"Content-Type: multipart/report; boundary=x"), "eve@list.test"),
        (MESSAGE.replace(b"secret plans", b"DMARC failure report about bank.test"), "eve@list.test"),
    ],
)
def test_reports_cause_no_reports(tmp_path: Path, content: bytes, sender: str) -> None:
    made = FailureHarness(tmp_path)
    made.take(content, sender)
    assert not made.sent


def test_a_destination_gets_so_many_a_day_from_all_workers(tmp_path: Path) -> None:
    first, second = FailureHarness(tmp_path, most=2), FailureHarness(tmp_path, most=2)
    for each in (first, second, first, second):
        each.take()
    assert len(first.sent) + len(second.sent) == 2
    first.clock.set_calendar(first.clock.time() + 86_400)
    first.take()
    assert len(first.sent) + len(second.sent) == 3


def test_all_destinations_together_have_a_limit(tmp_path: Path) -> None:
    store = ReportStore(str(tmp_path))
    assert store.allow(1, ["a@x.test", "b@x.test", "c@x.test"], 5, 2) == ["a@x.test", "b@x.test"]
    assert store.allow(1, ["d@x.test"], 5, 2) == []
    assert store.allow(2, ["d@x.test"], 5, 2) == ["d@x.test"]


def test_a_destination_that_does_not_answer_gets_none(tmp_path: Path) -> None:
    made = FailureHarness(tmp_path, "v=DMARC1; p=reject; ruf=mailto:all@else.test")
    made.dns.failing.add("bank.test._report._dmarc.else.test")
    made.take()
    assert not made.sent


def test_a_destination_that_never_answers_holds_up_no_other(tmp_path: Path) -> None:
    made = FailureHarness(tmp_path, "v=DMARC1; p=reject; ruf=mailto:all@else.test")
    made.dns.silent = ("else.test",)

    async def bring() -> None:
        for _ in range(25):
            assert await made.bring(MESSAGE) == 550
        assert await made.bring(MESSAGE.replace(b"bank.test", b"shop.test")) == 550
        await asyncio.wait_for(made.some_sent.wait(), 30)
        made.reports.close()
        await made.reports.settled()

    asyncio.run(bring())
    assert [str(each.envelope.recipients[0].address) for each in made.sent] == ["a@shop.test"]


def test_without_the_setting_nothing_is_made(tmp_path: Path) -> None:
    config = parse(CONFIG.format(root=tmp_path, most=0, verify="enforce", quarantine="hold"))
    assert config.mailauth.failure_reports == 0


KEY = b"k" * 32


def test_redaction_keeps_the_domain_and_is_the_same_for_one_person() -> None:
    headers = (
        b'From: ann@bank.test\r\nReply-To: "x y"@other.test\r\nCc: A <A@other.test>,\r\n a@other.test\r\n'
        b"Message-ID: <1@other.test>\r\nBcc: z@other.test\r\nTo: undisclosed:;\r\n"
    )
    made = redacted_headers(headers, "bank.test", KEY)
    lines = made.split(b"\r\n")
    assert lines[0] == b"From: ann@bank.test"
    assert b'"x y"' not in made
    first, second = lines[2].removeprefix(b"Cc: ").removesuffix(b","), lines[3].strip()
    assert first == second
    assert first.endswith(b"@other.test")
    assert lines[4:] == [b"Message-ID: <1@other.test>", b""]
    assert redacted_headers(headers, "bank.test", b"x" * 32) != made


def test_an_address_below_the_domain_is_kept() -> None:
    kept = Address("ann", "mail.bank.test")
    assert redacted_address(kept, "bank.test", KEY) is kept
    assert redacted_address(Address("ann", "notbank.test"), "bank.test", KEY).local != "ann"
