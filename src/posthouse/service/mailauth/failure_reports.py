"""Failure reports (RFC 9991): one message to the owner of a domain about one message that failed, off by default.

A report is made where the domain's record asks for it (``ruf``, ``fo``), and goes to the addresses that may get it
(``find_destinations``).  A destination gets so many a day, counted by all workers together, and all of them
``MOST_A_DAY``; what is above that is not reported.  A report has the redacted header section (``redaction``) and never
the body.

**No loops.**  A report has the null reverse-path and is signed; messages with the null reverse-path, and those that
are reports themselves, cause none.

Reports are made beside the session, whose reply does not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from posthouse.core import Kind, PosthouseError
from posthouse.mailauth.dkim import HeaderSection
from posthouse.mailauth.dmarc.failure_report import FailedMessage, FailedSignature, compose_failure
from posthouse.mailauth.dmarc.report_destinations import find_destinations
from posthouse.mailauth.questions import ask
from posthouse.mailauth.results import AuthenticationResults
from posthouse.mailauth.spf import SpfLookup
from posthouse.message.compose import Composed
from posthouse.net import Clock, Resolver
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.server.content_check import CheckedMessage
from posthouse.service.config.model import Config
from posthouse.service.mailauth.judgement import Decision, Judged, method_results
from posthouse.service.mailauth.redaction import redacted_address, redacted_headers
from posthouse.service.mailauth.report_store import ReportStore

__all__ = ["FailureReports", "MOST_A_DAY"]

#: Failure reports of this server a day, to all destinations.
MOST_A_DAY: Final = 1_000
_DAY: Final = 86_400
_MOST_UNDER_WAY: Final = 20
#: Of them, those to one domain: a domain whose DNS is slow keeps no other from its reports.
_MOST_OF_ONE: Final = 5
_FAILED: Final = frozenset(("fail", "softfail", "permerror"))
_REPORTS: Final = (b"multipart/report", b"message/feedback-report")


class FailureReports:
    """The failure reports of one process.

    Args:
        submit: Puts a message into the queue, signed; returns when it is stored.
        fault: Is told of failures, in a sentence.
    """

    def __init__(
        self,
        config: Config,
        resolver: Resolver,
        clock: Clock,
        submit: Callable[[Composed], Awaitable[None]],
        fault: Callable[[str], object],
    ) -> None:
        settings = config.mailauth
        self._store = ReportStore(config.data_dir)
        self._hostname = config.hostname
        self._authserv_id = settings.authserv_id or config.hostname
        self._most = settings.failure_reports
        self._field_reason = settings.quarantine != "hold"
        self._author = parse_mailbox(settings.report_sender or f"dmarc-reports@{config.hostname}")
        self._resolver = resolver
        self._clock = clock
        self._submit = submit
        self._fault = fault
        self._key = secrets.token_bytes(32)
        self._under_way: dict[asyncio.Task[None], str] = {}  # task → the domain whose policy counts

    def judged(self, message: CheckedMessage, judged: Judged, decision: Decision, header: HeaderSection) -> None:
        """Begin a report about a message, if it is wanted."""
        if not _is_wanted(judged) or message.envelope.sender is None or _is_report(header):
            return
        if decision.refusal is not None and not decision.refusal.reply.permanent:
            return  # it will come again
        domain = judged.dmarc.policy_domain
        of_one = sum(each == domain for each in self._under_way.values())
        if len(self._under_way) >= _MOST_UNDER_WAY or of_one >= _MOST_OF_ONE:
            return
        task = asyncio.get_running_loop().create_task(self._report(message, judged, decision, header))
        self._under_way[task] = domain
        task.add_done_callback(self._under_way.pop)

    async def settled(self) -> None:
        """Return when no report is being made."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def close(self) -> None:
        """Make no further reports."""
        for task in self._under_way:
            task.cancel()

    async def _report(self, message: CheckedMessage, judged: Judged, decision: Decision, header: HeaderSection) -> None:
        dmarc = judged.dmarc
        assert dmarc.record is not None
        try:
            found = await ask(find_destinations(dmarc.policy_domain, dmarc.record, "ruf"), self._resolver)
            addresses = list(dict.fromkeys(address for each in found for address in each.addresses if address.is_ascii))
            now = self._clock.time()
            day = int(now) // _DAY
            names = [str(each).lower() for each in addresses]
            allowed = await asyncio.to_thread(self._store.allow, day, names, self._most, MOST_A_DAY)
            to = [each for each, name in zip(addresses, names, strict=True) if name in allowed]
            if not to:
                return
            composed = compose_failure(
                self._failed(message, judged, decision, header, now),
                dmarc,
                sender=self._author,
                to=to,
                user_agent="Posthouse",
                date=(now, 0),
                message_id=f"{message.queue_id}.{secrets.token_hex(8)}@{self._hostname}",
            )
            await self._submit(composed)
        except PosthouseError as error:
            self._fault(f"a DMARC failure report about mail of {dmarc.author_domain} was not sent: {error}")

    def _failed(
        self, message: CheckedMessage, judged: Judged, decision: Decision, header: HeaderSection, now: float
    ) -> FailedMessage:
        """The message as the report shows it."""
        spf, dkim, _, dmarc, _ = judged
        owner = dmarc.organizational_domain or dmarc.policy_domain
        sender = message.envelope.sender
        delivery: Literal["delivered", "spam", "policy", "reject"] = "delivered"
        if decision.refusal is not None:
            delivery = "reject"
        elif decision.quarantine:
            delivery = "spam" if self._field_reason else "policy"
        spf_failed = spf.result in _FAILED and _below(spf.domain, owner)
        results = [
            each._replace(
                comment="",
                properties=tuple(
                    one._replace(value=_within(one.value, owner, self._key)) if "@" in one.value else one
                    for one in each.properties
                ),
            )
            for each in method_results(judged)
        ]
        return FailedMessage(
            headers=redacted_headers(header.octets, owner, self._key),
            mail_from=None if sender is None else redacted_address(sender, owner, self._key),
            source_ip=message.peer.host,
            arrived=now,
            results=AuthenticationResults(self._authserv_id, tuple(results)),
            delivery=delivery,
            signatures=[
                FailedSignature(each.domain, each.selector, _within(each.identity, owner, self._key))
                for each in dkim.signatures
                if each.result != "pass" and _below(each.domain, owner)
            ],
            spf_domain=spf.domain if spf_failed else "",
            spf_record=_spf_text(spf.lookups, spf.domain) if spf_failed else "",
        )


def _is_wanted(judged: Judged) -> bool:
    """Whether the record of the author's domain asks for a report about a message with these results."""
    spf, dkim, _, dmarc, _ = judged
    record = dmarc.record
    if record is None or not record.ruf or dmarc.result not in ("pass", "fail"):
        return False
    return record.wants(
        dmarc.result == "fail",
        not (dmarc.spf_aligned and dmarc.dkim_aligned),
        any(each.result in _FAILED for each in dkim.signatures),
        spf.result in _FAILED,
    )


def _is_report(header: HeaderSection) -> bool:
    """Whether a message is a report, of whatever kind."""
    kinds = [header.fields[place].value.lower() for place in header.places(b"content-type")]
    subjects = [header.fields[place].value.lower() for place in header.places(b"subject")]
    return any(each.startswith(_REPORTS) for each in kinds) or any(
        each.startswith((b"report domain:", b"dmarc failure report")) for each in subjects
    )


def _below(name: str, owner: str) -> bool:
    return name == owner or name.endswith(f".{owner}")


def _spf_text(lookups: Sequence[SpfLookup], domain: str) -> str:
    """The SPF record of a domain, "" if none was read."""
    for each in lookups:
        if each.question.kind is Kind.TXT and each.question.name == domain:
            for text in each.answer.records:
                if isinstance(text, bytes) and text[:6].lower() == b"v=spf1":
                    return text.decode("ascii", "replace")
    return ""


def _within(text: str, owner: str, key: bytes) -> str:
    """An address in a text, redacted."""
    local, _, domain = text.rpartition("@")
    with contextlib.suppress(GrammarError):
        return str(redacted_address(parse_mailbox(text), owner, key)) if local else text
    return f"@{domain}"
