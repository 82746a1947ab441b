"""Delivery into the spool's own mailboxes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from posthouse.core import (
    Address,
    Bytes,
    Content,
    Envelope,
    LocalError,
    Outcome,
    Recipient,
    Result,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
)
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.relay.mailbox import MailboxDeliverer
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import StoredMessage

MESSAGE = b"Received: x\r\nReturn-Path: <old@x.org>\r\n\r\nReturn-Path: <in@the.body>\r\n"
PEOPLE = (Recipient(Address("renping", "sina.com")), Recipient(Address("rp", "sina.com")))


def job(content: Content, sender: Address | None = None) -> Delivery:
    return Delivery(Envelope(sender, PEOPLE), content, "m1", 5.0)


def run(deliverer: Deliverer, work: Delivery, target: str) -> Sequence[Outcome]:
    async def attempt() -> Sequence[Outcome]:
        async with asyncio.timeout(10):
            outcomes = await deliverer.deliver(work, target)
            await deliverer.close()
            return outcomes

    return asyncio.run(attempt())


class InPieces:
    """Content that is not simply in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        return Bytes(self._data).chunks(min(at_most, 7))


@pytest.mark.parametrize("kind", [Bytes, InPieces])
def test_a_mailbox_keeps_the_letter_behind_its_return_path(kind: type[Bytes] | type[InPieces]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(10):
            queue = SqliteSpool.ephemeral()
            await queue.open(0.0)
            deliverer = MailboxDeliverer(queue)
            for _ in range(2):  # the same message again, as after a crash before the outcome was recorded
                outcomes = await deliverer.deliver(
                    job(kind(MESSAGE), Address("langrui", "sohu.com")), "renping@sina.com"
                )
                assert [(one.recipient, one.result) for one in outcomes] == [(p, Result.DELIVERED) for p in PEOPLE]
                assert {one.peer for one in outcomes} == {"renping@sina.com"}
            await deliverer.close()
            (entry,) = await queue.queries.inbox("renping@sina.com")
            kept = await queue.queries.kept(entry.number)
            assert kept is not None
            want = b"Return-Path: <langrui@sohu.com>\r\nReceived: x\r\n\r\nReturn-Path: <in@the.body>\r\n"
            assert b"".join(kept[1].chunks()) == want
            assert entry.size == len(want)
            await queue.close()

    asyncio.run(scenario())


class BrokenQueue:
    def __init__(self, error: StorageError) -> None:
        self._error = error

    async def keep(self, inbox: str, message: StoredMessage, content: Content) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "enhanced"),
    [
        (StorageFull("the disk is full"), 452, "4.3.1"),
        (StorageBusy("too much to write"), 451, "4.3.2"),
        (StorageCorrupt("rows without content"), 451, "4.3.0"),
        (StorageError("locked"), 451, "4.3.0"),
    ],
)
def test_a_fault_of_the_spool_defers(error: StorageError, code: int, enhanced: str) -> None:
    for outcome in run(MailboxDeliverer(BrokenQueue(error)), job(Bytes(MESSAGE)), "renping@sina.com"):
        assert outcome.result is Result.DEFERRED
        assert outcome.reply is not None
        assert (outcome.reply.code, outcome.reply.enhanced) == (code, enhanced)
        assert outcome.reason == str(error)
        assert str(error) not in outcome.reply.text


def test_a_return_path_that_cannot_be_written_is_a_fault_of_ours() -> None:
    with pytest.raises(LocalError):
        run(MailboxDeliverer(BrokenQueue(StorageError("not reached"))), job(Bytes(b""), Address("a\r\nb", "x")), "x")


def test_a_message_whose_lease_was_lost_is_not_kept() -> None:
    delivery = job(Bytes(MESSAGE))._replace(holds=lambda: False)
    store = BrokenQueue(StorageError("not reached"))
    for outcome in run(MailboxDeliverer(store), delivery, "renping@sina.com"):
        assert outcome.result is Result.DEFERRED
        assert outcome.reason.startswith("the lease was lost")
