"""Aggregate reports (RFC 9990): counted durably as messages are verified, stored every minute, sent once a day.

A report about a day is sent in the ``SPREAD`` seconds after its end, at a moment that depends on the domain: so the
owner of a large domain does not get the reports of all receivers at midnight.  It goes to the addresses that the record
names then and that may get it (``find_destinations``).  A failure lets it wait for an hour, and no other report with
it; ``GIVE_UP`` seconds after the day it is dropped.

A domain whose DNS is slow holds up no other: up to ``MOST_AT_ONCE`` reports are under way at one time, the DNS has
``LOOKUP_SECONDS`` for each, and after ``ROUND`` seconds the rest waits for the next minute.  Those that have failed
come last.

Reports cause no reports: their reverse-path is null, and messages whose subject is that of a report are not counted.

Neither a crash nor a stop of the daemon loses a count (``count_journal``); a power failure loses those of the last
``SYNCED`` seconds.  The counts are not part of the commit of a message: verified mail would wait for a second sync, and
what is refused has no commit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

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
from posthouse.mailauth.questions import Check
from posthouse.message.compose import Composed
from posthouse.net import Clock, Timer
from posthouse.protocol.grammar import parse_mailbox
from posthouse.server.content_check import CheckedMessage
from posthouse.service.config.model import Config
from posthouse.service.mailauth.count_journal import (
    CountedResult,
    CountJournal,
    JournalFile,
    drop_oldest,
    files_left,
    sync,
)
from posthouse.service.mailauth.judgement import Decision, Judged
from posthouse.service.mailauth.lookups import KnowingResolver, MessageLookups
from posthouse.service.mailauth.report_store import ReportStore, StoredReport

__all__ = ["AggregateReports", "GIVE_UP", "LOOKUP_SECONDS", "MOST_AT_ONCE", "ROUND", "SPREAD", "SYNCED"]

_DAY: Final = 86_400
#: Seconds after the end of a day within which its reports are sent.
SPREAD: Final = 4 * 3_600
#: Seconds after the end of a day at which a report that could not be sent is dropped.
GIVE_UP: Final = 3 * _DAY
_AGAIN: Final = 3_600.0
#: Seconds after a message within which its count survives a power failure.
SYNCED: Final = 5.0
#: Reports that are under way at one time.
MOST_AT_ONCE: Final = 16
#: Seconds in which the DNS must say where a report goes.
LOOKUP_SECONDS: Final = 20.0
#: Seconds after which a round of sending begins no further report.
ROUND: Final = 45.0

_Submit: TypeAlias = Callable[[Composed], Awaitable[None]]


class AggregateReports:
    """The reports of one process.

    Args:
        submit: Puts a message into the queue, signed; returns when it is stored.  None in all processes but one.
        fault: Is told of failures, in a sentence.
    """

    def __init__(
        self,
        config: Config,
        resolver: KnowingResolver,
        clock: Clock,
        submit: _Submit | None,
        fault: Callable[[str], object],
    ) -> None:
        self._store = ReportStore(config.data_dir)
        self._hostname = config.hostname
        self._resolver = resolver
        self._clock = clock
        self._submit = submit
        self._fault = fault
        self._directory = Path(config.data_dir) / "dmarc-counts"
        self._journal = CountJournal(self._directory)
        self._sync_timer: Timer | None = None
        self._syncing: asyncio.Future[None] | None = None
        # Of the questions that may be under way, most are for messages.
        self._at_once = max(1, min(MOST_AT_ONCE, config.mailauth.dns_questions // 4))
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
        try:
            self._journal.count(CountedResult(int(self._clock.time()) // _DAY, policy, row))
        except OSError as error:
            why = f"{self._directory} cannot be written ({error}); see that the daemon's user may write it"
            self._fault(f"results for aggregate reports would be lost in a crash: {why}")
        if self._sync_timer is None:
            self._sync_timer = self._clock.call_later(SYNCED, self._sync)

    def _sync(self) -> None:
        """Have a thread sync the journal."""
        self._sync_timer = None
        path = self._journal.path
        if path is not None:
            self._syncing = asyncio.ensure_future(asyncio.to_thread(self._synced, path))

    def _synced(self, path: Path) -> None:
        try:
            sync(path)
        except OSError as error:
            self._fault(f"results for aggregate reports would be lost in a power failure: {path}: {error}")

    def flush(self) -> None:
        """Store what was counted, at a stop; it reads and writes files."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        self._add(*self._journal.take())

    def _add(self, counts: Mapping[CountedResult, int], file: JournalFile | None) -> bool:
        """Store counts and delete the file that has them; False if that failed, and the file then stays."""
        try:
            if counts:
                self._store.add(counts, None if file is None else file.path)
            if file is not None:
                file.remove()
        except (PosthouseError, OSError) as error:
            if file is None:
                self._fault(f"results for aggregate reports are lost: {error}")
            else:
                file.close()
                self._fault(f"results for aggregate reports stay in {file.path} until they can be stored: {error}")
                self._drop_oldest()
            return False
        return True

    def _drop_oldest(self) -> None:
        """Keep the number of the files that wait bounded, however long nothing can be stored."""
        try:
            dropped = drop_oldest(self._directory)
        except OSError as error:
            self._fault(f"results for aggregate reports cannot be deleted from {self._directory}: {error}")
            return
        if dropped:
            self._fault(
                f"results for aggregate reports are lost: {dropped} of too many files that wait in {self._directory} "
                "were deleted, the oldest first; they wait because nothing can be stored (the line before says why)"
            )

    def _add_all(self, counts: Mapping[CountedResult, int], file: JournalFile | None) -> None:
        """Store counts, then those that dead processes have left or that could not be stored before."""
        if not self._add(counts, file) or self._submit is None:
            return
        try:
            for left in files_left(self._directory):
                if not self._add(left.counts(), left):
                    return
        except OSError as error:
            self._fault(f"results for aggregate reports stay in {self._directory}: {error}")

    # -- sending -----------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Store what was counted, and send what is due.  Failures are told, and tried again.

        Returns within ``ROUND`` and ``LOOKUP_SECONDS``, as far as the DNS is concerned.
        """
        await asyncio.to_thread(self._add_all, *self._journal.take())
        if self._submit is None:
            return
        failed: list[tuple[StoredReport, PosthouseError]] = []
        try:
            due = iter(await self._reports_due())
            async with asyncio.TaskGroup() as group:
                for _ in range(self._at_once):
                    group.create_task(self._send_each(due, self._submit, self._clock.monotonic() + ROUND, failed))
            for report, _ in failed:
                if self._clock.time() >= (report.day + 1) * _DAY + GIVE_UP:
                    await self._forget(report)
        except PosthouseError as error:
            self._fault(f"aggregate reports wait: {error}")
        if failed:  # in one line, however many they are: a full disk stops all of them
            report, why = failed[0]
            others = f", and {len(failed) - 1} others" if len(failed) > 1 else ""
            self._fault(f"the aggregate report to {report.policy.domain}{others} could not be sent: {why}")

    async def _reports_due(self) -> list[StoredReport]:
        """The reports to be sent now, those first that have waited longest since they were tried or due."""
        now = self._clock.time()
        times = {
            report: max(_due(report, self._hostname), self._waits.get(report, 0.0))
            for report in await asyncio.to_thread(self._store.reports, int(now) // _DAY)
        }
        return sorted((report for report, time in times.items() if time <= now), key=times.__getitem__)

    async def _send_each(
        self,
        due: Iterator[StoredReport],
        submit: _Submit,
        until: float,
        failed: list[tuple[StoredReport, PosthouseError]],
    ) -> None:
        """Send reports one after the other, beside others who take from ``due``, until a moment of the clock."""
        while self._clock.monotonic() < until and (report := next(due, None)) is not None:
            try:
                await self._send(report, self._clock.time(), submit)
            except PosthouseError as error:
                failed.append((report, error))
                self._waits[report] = self._clock.time() + _AGAIN

    async def _send(self, report: StoredReport, now: float, submit: _Submit) -> None:
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
        await self._forget(report)

    async def _forget(self, report: StoredReport) -> None:
        await asyncio.to_thread(self._store.remove, report)
        self._waits.pop(report, None)

    async def _destinations(self, domain: str) -> list[Address] | None:
        """Where reports about a domain go now; None if the DNS did not answer in time."""
        lookups = MessageLookups(self._resolver, self._clock, LOOKUP_SECONDS)
        try:
            found = lookups.run(_find_destinations(domain))
            return await found if isinstance(found, asyncio.Task) else found
        finally:
            lookups.close()


def _find_destinations(domain: str) -> Check[list[Address] | None]:
    """Check where reports about a domain go now; None if the DNS did not answer."""
    answer = yield Question(f"_dmarc.{domain}", Kind.TXT)
    if answer.status is Status.FAILED:
        return None
    texts = [each for each in answer.records if isinstance(each, bytes)]
    records: list[DmarcRecord] = [each for each in map(read_dmarc_record, texts) if each is not None]
    if len(records) != 1:
        return []
    found = yield from find_destinations(domain, records[0])
    if not any(each.addresses for each in found) and any(each.temporary for each in found):
        return None
    return list(dict.fromkeys(address for each in found for address in each.addresses))


def _due(report: StoredReport, hostname: str) -> float:
    """When a report is to be sent, in calendar seconds."""
    return (report.day + 1) * _DAY + zlib.crc32(f"{hostname} {report.policy.domain}".encode()) % SPREAD
