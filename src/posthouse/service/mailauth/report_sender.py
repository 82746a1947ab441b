"""Aggregate reports (RFC 9990): counted as messages are verified, stored every minute, sent once a day.

A report about a day is sent in the ``SPREAD`` seconds after its end, at a moment that depends on the domain: so the
owner of a large domain does not get the reports of all receivers at midnight.  It goes to the addresses that the record
names then and that may get it (``find_destinations``); a failure of the DNS lets it wait for an hour, and after
``GIVE_UP`` seconds it is dropped.

Reports cause no reports: their reverse-path is null, and messages whose subject is that of a report are not counted.

A crash, or a power failure, loses the counts since the last minute's; a stop of the daemon loses none.  The counts are
not part of the commit of a message, because verified mail would then wait for a second write.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from posthouse.core import Address, Kind, PosthouseError, Question, Status
from posthouse.mailauth.dkim import HeaderSection
from posthouse.mailauth.dmarc import DmarcRecord, read_dmarc_record
from posthouse.mailauth.dmarc.aggregate import (
    PolicyOverride,
    ReportMetadata,
    aggregate_row,
    compose_aggregate,
    policy_published,
    report_file,
)
from posthouse.mailauth.dmarc.report_destinations import find_destinations
from posthouse.mailauth.questions import ask
from posthouse.message.compose import Composed
from posthouse.net import Clock, Resolver
from posthouse.protocol.grammar import parse_mailbox
from posthouse.server.content_check import CheckedMessage
from posthouse.service.config.model import Config
from posthouse.service.mailauth.judgement import Decision, Judged
from posthouse.service.mailauth.report_store import CountedResult, ReportStore, StoredReport

__all__ = ["AggregateReports", "GIVE_UP", "SPREAD"]

_DAY: Final = 86_400
#: Seconds after the end of a day within which its reports are sent.
SPREAD: Final = 4 * 3_600
#: Seconds after the end of a day at which a report that could not be sent is dropped.
GIVE_UP: Final = 3 * _DAY
_AGAIN: Final = 3_600.0
_MOST_COUNTED: Final = 20_000  # results in memory between two minutes; more are not counted


class _Questions(Resolver, Protocol):
    """The resolver of messages."""


class AggregateReports:
    """The reports of one process.

    Args:
        submit: Puts a message into the queue, signed; returns when it is stored.  None in all processes but one.
        fault: Is told of failures, in a sentence.
    """

    def __init__(
        self,
        config: Config,
        resolver: _Questions,
        clock: Clock,
        submit: Callable[[Composed], Awaitable[None]] | None,
        fault: Callable[[str], object],
    ) -> None:
        self._store = ReportStore(config.data_dir)
        self._hostname = config.hostname
        self._resolver = resolver
        self._clock = clock
        self._submit = submit
        self._fault = fault
        self._counts: Counter[CountedResult] = Counter()
        self._waits: dict[StoredReport, float] = {}  # until when, in calendar seconds
        self.sender = config.mailauth.report_sender

    # -- counting ----------------------------------------------------------------------------------------------------

    def count(
        self, message: CheckedMessage, judged: Judged, decision: Decision, header: HeaderSection | None = None
    ) -> None:
        """Count a message, if its author's domain wants reports."""
        dmarc = judged.dmarc
        policy = policy_published(dmarc)
        if policy is None or dmarc.record is None or not dmarc.record.rua:
            return
        done = "none"
        if decision.refusal is not None:
            done = "reject" if decision.refusal.reply.permanent else ""
        elif decision.quarantine:
            done = "quarantine"
        if not done:  # it will come again
            return
        overrides = [PolicyOverride("trusted_forwarder" if judged.vouched else "local_policy", decision.override)]
        sender = message.envelope.sender
        row = aggregate_row(
            message.peer.host,
            dmarc,
            judged.spf,
            judged.dkim.signatures,
            done=done,  # type: ignore[arg-type]
            envelope_from=sender.domain if sender is not None else "",
            overrides=overrides if decision.override else (),
        )
        key = CountedResult(int(self._clock.time()) // _DAY, policy, row)
        if key in self._counts or len(self._counts) < _MOST_COUNTED:
            self._counts[key] += 1

    def flush(self) -> None:
        """Store what was counted; it reads and writes a file."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._store.add(counts)
        except PosthouseError as error:
            self._fault(f"results for aggregate reports are lost: {error}")

    # -- sending -----------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Store what was counted, and send what is due.  Failures are told, and tried again."""
        await asyncio.to_thread(self.flush)
        if self._submit is None:
            return
        now = self._clock.time()
        try:
            for report in await asyncio.to_thread(self._store.reports, int(now) // _DAY):
                if now >= max(_due(report, self._hostname), self._waits.get(report, 0.0)):
                    await self._send(report, now, self._submit)
        except PosthouseError as error:
            self._fault(f"aggregate reports wait: {error}")

    async def _send(self, report: StoredReport, now: float, submit: Callable[[Composed], Awaitable[None]]) -> None:
        end = (report.day + 1) * _DAY
        addresses = await self._destinations(report.policy.domain)
        if addresses is None and now < end + GIVE_UP:
            self._waits[report] = now + _AGAIN
            return
        if addresses:
            records = await asyncio.to_thread(self._store.records, report)
            author = parse_mailbox(self.sender or f"dmarc-reports@{self._hostname}")
            unique = f"{zlib.crc32(repr(report).encode()):08x}"
            metadata = ReportMetadata(
                self._hostname, str(author), f"{end - _DAY}.{unique}", end - _DAY, end - 1, generator="Posthouse"
            )
            file = report_file(metadata, report.policy, records, receiver=self._hostname, unique_id=unique)
            message = compose_aggregate(
                file,
                metadata,
                report.policy,
                sender=author,
                to=addresses,
                receiver=self._hostname,
                date=(now, 0),
                message_id=f"{metadata.report_id}.{report.policy.domain}@{self._hostname}",
            )
            await submit(message)
        await asyncio.to_thread(self._store.remove, report)
        self._waits.pop(report, None)

    async def _destinations(self, domain: str) -> list[Address] | None:
        """Where reports about a domain go now; None if the DNS did not answer."""
        answer = await self._resolver.ask(Question(f"_dmarc.{domain}", Kind.TXT))
        if answer.status is Status.FAILED:
            return None
        texts = [each for each in answer.records if isinstance(each, bytes)]
        records: list[DmarcRecord] = [each for each in map(read_dmarc_record, texts) if each is not None]
        if len(records) != 1:
            return []
        found = await ask(find_destinations(domain, records[0]), self._resolver)
        if not any(each.addresses for each in found) and any(each.temporary for each in found):
            return None
        return list(dict.fromkeys(address for each in found for address in each.addresses))


def _due(report: StoredReport, hostname: str) -> float:
    """When a report is to be sent, in calendar seconds."""
    return (report.day + 1) * _DAY + zlib.crc32(f"{hostname} {report.policy.domain}".encode()) % SPREAD
