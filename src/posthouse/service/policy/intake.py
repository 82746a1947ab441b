"""One message on its way from the wire into the queue: where 250 is earned.

The trace field goes in front, then the content as it comes; between them an empty line if the content has no header
section, as a letter typed by hand may not: its first line must not be read as part of ours.  Content is counted as it
grows; the first 64 KiB are looked at for the stations the message has passed (RFC 5321 §6.3) and for its Message-ID, by
which people ask for it later; nothing else is read.  Once it cannot succeed any more, what is stored of it is let go
at once, the rest is taken and dropped, and the final verdict says why.

Usually one envelope is stored.  Where a list is among the recipients there is one more for each owner (its sender is
another), each with a receipt of its own; all are committed before 250 is said.  If a later one fails after an earlier
one was promised, the client is told to try again: a duplicate is the worst that can come of it.

A sender who asked to hear of success hears at once of what a list has taken or an alias has spread (RFC 3461 §5.2.7):
the report is stored behind the message.  If that fails, the message is promised all the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from posthouse.core import Envelope, Reply, StorageError, StorageFull, Verdict
from posthouse.message.dsn.model import Action, OriginalMessage, RecipientStatus
from posthouse.message.headers import gap, hop_count
from posthouse.message.trace_fields import protocol_name, received
from posthouse.service.directory.directory import successes
from posthouse.spool.history import Origin
from posthouse.spool.interface import IncomingMessage, Stored

if TYPE_CHECKING:
    from posthouse.server.policy import Peer
    from posthouse.service.policy.listener_policy import ListenerPolicy

__all__ = ["SpoolIntake", "TOO_LARGE", "storage_verdict"]

_HEAD_AT_MOST: Final = 65_536
#: Octets of the first line that tell a field from something else.
_LINE_AT_MOST: Final = 1_000
_NAME: Final = re.compile(rb"(?:[ \t]|\r\n[ \t])*(<[^<>\x00-\x20\x7f]{1,250}>)")

TOO_LARGE: Final = Verdict(Reply(552, "5.3.4", "Message too large"), "larger than max_message_size")
_CIRCLES: Final = Verdict(Reply(554, "5.4.6", "Too many hops; this message goes in circles"), "max_hops reached")
_FULL: Final = Verdict(Reply(452, "4.3.1", "No room for this message now; try again later"), "storage is full")
_BUSY: Final = Verdict(Reply(451, "4.3.0", "Cannot store this message now; try again later"), "storage failed")


def storage_verdict(error: StorageError) -> Verdict:
    """What to tell the client: that there is no room, or that storing failed; never more."""
    base = _FULL if isinstance(error, StorageFull) else _BUSY
    return base._replace(reason=f"{base.reason}: {error}")


def _message_id(head: bytes) -> str:
    """The Message-ID of a header section with its angle brackets, by which its story is found; "" if it has none.

    One search, bounded: a message that hides its name is found by its queue id.
    """
    at = head.lower().find(b"\nmessage-id:")
    if at >= 0:
        at += 12
    elif head[:11].lower() == b"message-id:":
        at = 11
    else:
        return ""
    found = _NAME.match(head, at, at + 400)
    return "" if found is None else found[1].decode("utf-8", "replace")


class SpoolIntake:
    """An ``Intake`` that ends in the queue."""

    __slots__ = (
        "_beginning",
        "_begun",
        "_envelope",
        "_envelopes",
        "_fault",
        "_first",
        "_head",
        "_helo",
        "_message_id",
        "_receipts",
        "_reception",
        "_size",
        "_source",
        "_told",
    )

    def __init__(
        self,
        reception: ListenerPolicy,
        peer: Peer,
        verb: str,
        helo: str,
        envelope: Envelope,
        envelopes: Sequence[Envelope],
    ) -> None:
        """``envelope`` is what the client was answered for, ``envelopes`` what is stored.  Raises ``StorageError``."""
        self._reception = reception
        self._envelope = envelope
        self._envelopes = envelopes
        self._helo = helo
        self._message_id = ""
        self._source = f"{reception.listener.kind} {peer.host or 'unix socket'}:{peer.port}"
        self._fault: Verdict | None = None
        self._head: bytearray | None = bytearray()
        self._first = b""  # of the first line, until there is enough of it
        self._begun = False  # the first line has been judged and written
        self._size = 0
        plain = len(envelopes) == 1 and envelopes[0] is envelope
        self._told = () if plain else tuple(successes(reception.directory, envelope))
        self._beginning = bytearray()  # of the content, where a report will quote it
        self._receipts: list[IncomingMessage] = []
        only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
        now = reception.clock.time()
        protocol = protocol_name(verb, utf8=envelope.smtputf8)
        try:
            for _ in envelopes:
                receipt = reception.queue.receive()
                self._receipts.append(receipt)
                trace = received(
                    reception.hostname,
                    helo=helo,
                    host=peer.host,
                    protocol=protocol,
                    queue_id=receipt.id,
                    seconds=now,
                    offset_minutes=reception.offset(now),
                    recipient=only,
                    utf8=envelope.smtputf8,
                )
                receipt.write(trace)  # far below what could make the queue ask us to wait
        except StorageError:
            self.abort()
            raise

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """See ``server.policy.Intake``."""
        if self._fault is not None:
            return None
        self._size += len(chunk)
        if self._size > self._reception.listener.max_message_size:
            self._fail(TOO_LARGE)
            return None
        if self._head is not None and self._in_circles(chunk):
            self._fail(_CIRCLES)
            return None
        if self._told:
            self._beginning += chunk[: _HEAD_AT_MOST - len(self._beginning)]
        if not self._begun:
            chunk = self._begin(chunk)
            if not chunk:
                return None
        try:
            if len(self._receipts) == 1:
                pressure = self._receipts[0].write(chunk)
                return None if pressure is None else self._guarded((pressure,))
            pressures = [each for each in (receipt.write(chunk) for receipt in self._receipts) if each is not None]
        except StorageError as error:
            self._fail(storage_verdict(error))
            return None
        return self._guarded(pressures) if pressures else None

    async def _guarded(self, pressures: Sequence[Awaitable[None]]) -> None:
        try:
            for each in pressures:
                await each
        except StorageError as error:
            self._fail(storage_verdict(error))

    def _begin(self, chunk: bytes) -> bytes:
        """What to write of the first octets: none of them before the first line can be judged."""
        if self._first:
            chunk = self._first + chunk
        if len(chunk) < _LINE_AT_MOST and b"\r\n" not in chunk:
            self._first = chunk
            return b""
        self._first, self._begun = b"", True
        return gap(chunk) + chunk

    def _in_circles(self, chunk: bytes) -> bool:
        """Look at the header section once it is all there, or after as much of it as anybody looks at."""
        head = self._head
        assert head is not None
        if not head:
            end = 0 if chunk.startswith(b"\r\n") else chunk.find(b"\r\n\r\n", 0, _HEAD_AT_MOST)
            if end >= 0:
                self._head = None
                self._message_id = _message_id(chunk[:end])
                return hop_count(chunk) >= self._reception.max_hops
        searched = max(0, len(head) - 3)
        head += chunk[: _HEAD_AT_MOST - len(head)]
        empty_line = head.startswith(b"\r\n") or head.find(b"\r\n\r\n", searched) >= 0
        if not empty_line and len(head) < _HEAD_AT_MOST:
            return False
        self._head = None
        self._message_id = _message_id(bytes(head))
        return hop_count(bytes(head)) >= self._reception.max_hops

    def _fail(self, verdict: Verdict) -> None:
        self._fault = verdict
        self.abort()

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        """See ``server.policy.Intake``."""
        if self._fault is None and self._head:  # the content ended inside its header section
            head, self._head = bytes(self._head), None
            self._message_id = _message_id(head)
            if hop_count(head) >= self._reception.max_hops:
                self._fail(_CIRCLES)
        if self._fault is not None:
            self._reception.refused(self._source, "DATA", self._fault)
            return self._each(self._fault)
        try:
            if self._first:  # the content ended inside its first line, which only BDAT can bring about
                first, self._first = self._first, b""
                for receipt in self._receipts:
                    receipt.write(gap(first) + first)  # so few octets make nobody wait
            if len(self._receipts) > 1 or self._told:
                return self._store_all()
            storing = self._offer(self._envelopes[0], self._receipts[0])
        except StorageError as error:
            return self._failed(error)
        if not isinstance(storing, asyncio.Future):
            return self._store(storing)
        # The common case, without a task: the queue's future, and what is made of its result.
        verdicts: asyncio.Future[tuple[Verdict, ...]] = storing.get_loop().create_future()
        storing.add_done_callback(partial(self._settled, verdicts))
        return verdicts

    def _offer(self, envelope: Envelope, receipt: IncomingMessage) -> Awaitable[Stored]:
        reception = self._reception
        now = reception.clock.time()
        destinations = self._destinations(envelope)
        until = reception.claim(destinations)
        return receipt.commit(
            envelope,
            destinations,
            received=now,
            due=now,
            source=self._source,
            owner=reception.owner if until else "",
            until=until,
            arrival=Origin(self._message_id, self._helo),
        )

    def _destinations(self, envelope: Envelope) -> list[str]:
        """Of each recipient; asked once for each domain."""
        known: dict[str, str] = {}
        names: list[str] = []
        for recipient in envelope.recipients:
            address = recipient.address
            name = known.get(address.domain)
            if name is None:
                name = known[address.domain] = self._reception.destination(address)
            names.append(name)
        return names

    def _settled(self, verdicts: asyncio.Future[tuple[Verdict, ...]], storing: asyncio.Future[Stored]) -> None:
        if storing.cancelled():
            verdicts.cancel()
            return
        answer: tuple[Verdict, ...] = ()
        fault: BaseException | None = None
        try:
            self._reception.stored(storing.result())
            answer = self._promised()
        except StorageError as error:
            answer = self._failed(error)
        except Exception as other:
            fault = other
        if verdicts.done():  # whoever waited has gone; what is stored stays stored
            return
        if fault is not None:
            verdicts.set_exception(fault)
        else:
            verdicts.set_result(answer)

    async def _store(self, storing: Awaitable[Stored]) -> tuple[Verdict, ...]:
        try:
            self._reception.stored(await storing)
        except StorageError as error:
            return self._failed(error)
        return self._promised()

    async def _store_all(self) -> tuple[Verdict, ...]:
        try:
            for envelope, receipt in zip(self._envelopes, self._receipts, strict=True):
                self._reception.stored(await self._offer(envelope, receipt))
        except StorageError as error:
            return self._failed(error)
        if self._told:
            await self._report()
        return self._promised()

    async def _report(self) -> None:
        """Tell the sender of success that has happened by being stored."""
        reception = self._reception
        now = reception.clock.time()
        original = OriginalMessage(self._receipts[0].id, self._envelope, now, bytes(self._beginning))
        fates = [RecipientStatus(who, Action.DELIVERED if a_list else Action.EXPANDED) for who, a_list in self._told]
        try:
            for report in reception.bouncer.tell(original, fates, now) if reception.bouncer is not None else ():
                receipt = reception.queue.receive()
                receipt.write(report.content)  # far below what could make the queue ask us to wait
                stored = await receipt.commit(
                    report.envelope, report.destinations, received=now, due=report.due, source="report"
                )
                reception.stored(stored)
        except Exception as error:  # the message itself is safe
            reason = f"no report of success about {original.id} could be stored: {error}"
            reception.log("fault", reason=reason, error=error)

    def _promised(self) -> tuple[Verdict, ...]:
        return self._each(Verdict(Reply(250, "2.0.0", f"Message queued as {self._receipts[0].id}"), "stored"))

    def _failed(self, error: StorageError) -> tuple[Verdict, ...]:
        self.abort()
        verdict = storage_verdict(error)
        self._reception.refused(self._source, "DATA", verdict)
        return self._each(verdict)

    def _each(self, verdict: Verdict) -> tuple[Verdict, ...]:
        return (verdict,) * (len(self._envelope.recipients) if self._reception.lmtp else 1)

    def abort(self) -> None:
        """See ``server.policy.Intake``."""
        for receipt in self._receipts:
            receipt.abort()
