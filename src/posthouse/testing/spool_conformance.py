"""What every ``Spool`` must do, as checks to run against yours.

A check is an async function that takes ``make``, an async function that gives a new, empty, open queue; the check
closes it.  ``CHECKS`` has them all, in the order of a message's life::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_mine(check):
        asyncio.run(check(make_mine))

``NEIGHBOUR_CHECKS`` take an async function that gives two open queues which share one new, empty spool, as two
processes do.

Times are plain numbers: a queue takes "now" from its caller.

Over budget: a list of independent checks, each short; split, it would be two lists to import.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from posthouse.core import (
    Address,
    AttemptTrace,
    Body,
    Bytes,
    ConnectionTrace,
    Content,
    Envelope,
    LocalError,
    Notify,
    OriginalRecipient,
    Outcome,
    Recipient,
    Reply,
    Result,
    Ret,
    StorageCorrupt,
)
from posthouse.spool.filters import Condition
from posthouse.spool.history import Accepted, AttemptEvent, MessageSummary, Origin, QueueEvent
from posthouse.spool.interface import (
    Lease,
    QueueAction,
    QueuedRecipient,
    RecipientState,
    Report,
    Settlement,
    Spool,
    Stored,
    StoredMessage,
)
from posthouse.spool.probe_limit import ProbeLimit

__all__ = ["CHECKS", "Check", "Make", "MakeTwo", "NEIGHBOUR_CHECKS", "NeighbourCheck"]

Make = Callable[[], Awaitable[Spool]]
Check = Callable[[Make], Awaitable[None]]
MakeTwo = Callable[[], Awaitable[tuple[Spool, Spool]]]
NeighbourCheck = Callable[[MakeTwo], Awaitable[None]]

_NOW = 1_700_000_000.0


def _to(*addresses: str) -> tuple[Recipient, ...]:
    return tuple(Recipient(Address(*address.split("@"))) for address in addresses)


def _octets(content: Content) -> bytes:
    return b"".join(content.chunks())


async def _store(
    queue: Spool,
    *addresses: str,
    content: bytes = b"Subject: x\r\n\r\nhello\r\n",
    due: float = _NOW,
    owner: str = "",
    until: float = 0.0,
) -> Stored:
    receipt = queue.receive()
    waiting = receipt.write(content)
    if waiting is not None:
        await waiting
    envelope = Envelope(Address("a", "sohu.com"), _to(*addresses))
    destinations = [address.split("@")[1] for address in addresses]
    return await receipt.commit(envelope, destinations, received=_NOW, due=due, owner=owner, until=until)


def _all(work: Lease, state: RecipientState, due: float = _NOW) -> list[Settlement]:
    result = {RecipientState.DELIVERED: Result.DELIVERED, RecipientState.FAILED: Result.FAILED}.get(
        state, Result.DEFERRED
    )
    reply = Reply(250, "2.0.0", "taken") if result is Result.DELIVERED else Reply(450, "4.2.0", "later")
    return [
        Settlement(waiting.key, state, due, Outcome(waiting.recipient, result, reply, "", "mx.test"))
        for waiting in work.recipients
    ]


def _keys(works: Sequence[Lease]) -> list[tuple[str, int]]:
    return sorted((work.message.id, waiting.key) for work in works for waiting in work.recipients)


async def ids_are_unique_and_sorted(make: Make) -> None:
    """Ids are known at once, differ, and grow."""
    queue = await make()
    ids = [queue.receive().id for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(queue_id.isascii() and queue_id.isalnum() and len(queue_id) <= 20 for queue_id in ids)
    await queue.close()


async def content_is_kept_byte_for_byte(make: Make) -> None:
    """Contents of many sizes, in one piece and in many, come back as they were, any number of times."""
    queue = await make()
    for size in (0, 1, 4096, 65_535, 65_536, 65_537, 5 << 20):
        data = (bytes(range(256)) * (size // 256 + 1))[:size]
        for step in (size or 1, 10_007):
            receipt = queue.receive()
            for start in range(0, size, step):
                waiting = receipt.write(data[start : start + step])
                if waiting is not None:
                    await waiting
            assert receipt.size == size
            stored = await receipt.commit(Envelope(None, _to("b@x.test")), ["x.test"], received=_NOW, due=_NOW)
            assert stored.message.id == receipt.id
            assert stored.message.size == size
            content = queue.content(stored.message)
            assert content.size == size
            assert _octets(content) == data
            assert _octets(content) == data
            assert max((len(chunk) for chunk in content.chunks(1000)), default=0) <= 1000
    await queue.close()


async def a_prefix_stands_in_front(make: Make) -> None:
    """A prefix given to commit comes back in front of the content, and is counted, whatever the size of either."""
    queue = await make()
    for size in (0, 5, 65_530, 65_536, 65_537, 300_000):
        data = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
        for prefix in (b"", b"Received: by mx.test\r\n", b"P" * 70_000):
            receipt = queue.receive()
            for start in range(0, size, 50_000):
                waiting = receipt.write(data[start : start + 50_000])
                if waiting is not None:
                    await waiting
            envelope = Envelope(None, _to("b@x.test"))
            stored = await receipt.commit(envelope, ["x.test"], received=_NOW, due=_NOW, prefix=prefix)
            assert stored.message.size == len(prefix) + size
            entry = await queue.entry(stored.message.id)
            assert entry is not None
            assert entry.message == stored.message
            (work,) = await queue.lease("w", _NOW, _NOW + 60, limit=10)
            assert work.message == stored.message
            content = queue.content(work.message)
            assert content.size == len(prefix) + size
            assert _octets(content) == prefix + data
            assert max((len(chunk) for chunk in content.chunks(1000)), default=0) <= 1000
            await queue.record(work, _all(work, RecipientState.DELIVERED))
    leased = queue.receive()
    leased.write(b"body")
    envelope = Envelope(None, _to("b@x.test"))
    stored = await leased.commit(
        envelope, ["x.test"], received=_NOW, due=_NOW, prefix=b"A: b\r\n\r\n", owner="w", until=_NOW + 60
    )
    assert _octets(queue.content(stored.message)) == b"A: b\r\n\r\nbody"
    await queue.close()


async def envelope_is_kept(make: Make) -> None:
    """Everything MAIL and RCPT said comes back from entry() and from a lease."""
    queue = await make()
    envelope = Envelope(
        Address('a "b"\n', "例子.test"),
        (
            Recipient(Address("B", "x.test"), Notify.NEVER),
            Recipient(Address("Postmaster"), Notify.FAILURE | Notify.DELAY, OriginalRecipient("rfc822", "c+d@x.test")),
            Recipient(Address("e", "[192.0.2.1]"), None, OriginalRecipient("utf-8", "é@x.test")),
        ),
        Body.BINARYMIME,
        True,
        123,
        Ret.HDRS,
        "env=1",
        "",
        True,
    )
    receipt = queue.receive()
    receipt.write(b"x")
    stored = await receipt.commit(
        envelope, ["x.test", "here", "[192.0.2.1]"], received=_NOW + 0.25, due=_NOW, source="mx 192.0.2.9:1"
    )
    entry = await queue.entry(stored.message.id)
    assert entry is not None
    assert entry.message == stored.message
    assert entry.message.envelope == envelope
    assert (entry.message.received, entry.message.source) == (_NOW + 0.25, "mx 192.0.2.9:1")
    assert [w.recipient for w in entry.recipients] == list(envelope.recipients)
    assert [w.destination for w in entry.recipients] == ["x.test", "here", "[192.0.2.1]"]
    works = await queue.lease("w", _NOW, _NOW + 60, limit=10)
    assert [work.message for work in works] == [stored.message] * 3
    await queue.close()


async def abort_leaves_nothing(make: Make) -> None:
    """An aborted message is nowhere; a receipt ends once."""
    queue = await make()
    for size in (10, 1 << 20):
        receipt = queue.receive()
        receipt.write(b"x" * size)
        receipt.abort()
        receipt.abort()
        try:
            receipt.write(b"x")
        except LocalError:
            pass
        else:
            raise AssertionError("an aborted receipt took more")
        assert await queue.entry(receipt.id) is None
    assert await queue.count() == 0
    assert await queue.entries() == []
    await queue.close()


async def commit_leases_to_its_owner(make: Make) -> None:
    """What is stored with an owner comes back as work, is leased, and is settled without another query."""
    queue = await make()
    stored = await _store(queue, "b@x.test", "c@y.test", "d@x.test", owner="w", until=_NOW + 60)
    assert [work.destination for work in stored.work] == ["x.test", "y.test"]
    assert [[waiting.key for waiting in work.recipients] for work in stored.work] == [[0, 2], [1]]
    one = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    assert [(w.owner, w.until) for w in one.work] == [("w", _NOW + 60)]
    assert await queue.count() == 4
    assert [len(entry.recipients) for entry in await queue.entries()] == [3, 1]
    assert await queue.lease("other", _NOW + 1, _NOW + 90, limit=10) == []
    assert await queue.next_due(_NOW) == _NOW + 60
    for work in (*stored.work, *one.work):
        assert _octets(queue.content(work.message)).endswith(b"hello\r\n")
        await queue.record(work, _all(work, RecipientState.DELIVERED))
    assert await queue.count() == 0
    assert await queue.entries() == []
    assert await queue.entry(one.message.id) is None
    assert await queue.next_due(_NOW) is None
    try:
        queue.content(one.message)
    except StorageCorrupt:
        pass
    else:
        raise AssertionError("the content of an erased message is still there")
    await queue.close()


async def leases_are_exclusive_and_run_out(make: Make) -> None:
    """Within one process, leased work is nobody else's until its lease ends; then it is due again."""
    queue = await make()
    await _store(queue, "b@x.test", "c@y.test")
    first = await queue.lease("one", _NOW, _NOW + 60, limit=1)
    second = await queue.lease("two", _NOW, _NOW + 90, limit=10)
    assert len(_keys(first)) == len(_keys(second)) == 1
    assert not set(_keys(first)) & set(_keys(second))
    assert await queue.lease("three", _NOW + 59, _NOW + 99, limit=10) == []
    again = await queue.lease("three", _NOW + 60, _NOW + 120, limit=10)
    assert _keys(again) == _keys(first)
    await queue.close()


async def lease_of_commit_runs_out(make: Make) -> None:
    """Work leased when it was stored becomes due for others when that lease ends."""
    queue = await make()
    stored = await _store(queue, "b@x.test", "c@x.test", owner="gone", until=_NOW + 60)
    (work,) = await queue.lease("two", _NOW + 60, _NOW + 120, limit=10)
    assert _keys([work]) == _keys(stored.work)
    assert work.message == stored.message
    # The first owner was only slow: what it delivered is delivered, what it deferred is not its business now.
    (settled, deferred) = (
        _all(stored.work[0], RecipientState.DELIVERED)[:1],
        _all(stored.work[0], RecipientState.WAITING, _NOW + 1)[1:],
    )
    await queue.record(stored.work[0], [*settled, *deferred])
    entry = await queue.entry(stored.message.id)
    assert entry is not None
    assert [w.state for w in entry.recipients] == [RecipientState.DELIVERED, RecipientState.WAITING]
    assert await queue.lease("three", _NOW + 61, _NOW + 120, limit=10) == []
    await queue.record(work, _all(work, RecipientState.FAILED))
    assert await queue.count() == 0
    await queue.close()


async def due_work_comes_oldest_first(make: Make) -> None:
    """Only what is due, the oldest first, no more than the limit."""
    queue = await make()
    for due in (30.0, 10.0, 20.0, 40.0, 1000.0):
        await _store(queue, f"b@d{due:.0f}.test", "c@same.test", due=_NOW + due)
    works = await queue.lease("w", _NOW + 50, _NOW + 500, limit=4)
    assert sorted(waiting.due for work in works for waiting in work.recipients) == [_NOW + 10] * 2 + [_NOW + 20] * 2
    works = await queue.lease("w", _NOW + 50, _NOW + 500, limit=100)
    assert sorted(waiting.due for work in works for waiting in work.recipients) == [_NOW + 30] * 2 + [_NOW + 40] * 2
    assert [work.recipients[0].due for work in works] == sorted(work.recipients[0].due for work in works)
    assert await queue.next_due(_NOW) == _NOW + 500
    await queue.close()


async def lease_groups_by_message_and_destination(make: Make) -> None:
    """One work has the recipients of one message for one destination."""
    queue = await make()
    ids = [(await _store(queue, "a@x.test", "b@y.test", "c@x.test")).message.id for _ in range(2)]
    works = await queue.lease("w", _NOW, _NOW + 60, limit=100)
    found = sorted((work.message.id, work.destination, tuple(r.key for r in work.recipients)) for work in works)
    assert found == sorted((i, d, k) for i in ids for d, k in (("x.test", (0, 2)), ("y.test", (1,))))
    await queue.close()


async def skipped_destinations_are_left(make: Make) -> None:
    """``skip`` keeps destinations out of a lease, and out of next_due."""
    queue = await make()
    for n in range(5):
        await _store(queue, f"a@dead{n}.test", due=_NOW)
    await _store(queue, "a@live.test", due=_NOW + 5)
    dead = {f"dead{n}.test" for n in range(5)}
    assert await queue.next_due(_NOW, skip=dead) == _NOW + 5
    works = await queue.lease("w", _NOW + 5, _NOW + 60, limit=3, skip=dead)
    assert [work.destination for work in works] == ["live.test"]
    assert await queue.lease("w", _NOW + 5, _NOW + 60, limit=3, skip=dead) == []
    assert len(await queue.lease("w", _NOW + 5, _NOW + 60, limit=3)) == 3
    await queue.close()


async def few_are_leased_for_strangers(make: Make) -> None:
    """One message for each destination that is not known, not more recipients than asked for; the known ones whole."""
    queue = await make()
    for n in range(3):
        await _store(queue, "a@old.test", "b@old.test", "c@old.test", due=_NOW + n)
        await _store(queue, "a@other.test", due=_NOW + n)
        await _store(queue, "a@known.test", due=_NOW + 3 + n)

    async def leased(known: set[str], at_most: int, limit: int = 100) -> list[tuple[str, int]]:
        few = ProbeLimit(known, at_most)
        works = await queue.lease("w", _NOW + 9, _NOW + 60, limit=limit, skip={"skipped.test"}, few=few)
        return sorted((work.destination, len(work.recipients)) for work in works)

    assert await leased(set(), 0) == []
    assert await leased({"known.test"}, 0, limit=1) == [("known.test", 1)]
    assert await leased({"known.test"}, 10) == [("known.test", 1)] * 2 + [("old.test", 3), ("other.test", 1)]
    assert await leased(set(), 2) == [("old.test", 2)], "the oldest first, and no more than that"
    assert await leased({"old.test"}, 1) == [("old.test", 1), ("old.test", 3), ("other.test", 1)]
    assert await leased(set(), 100) == [("other.test", 1)]
    await queue.close()


async def deferral_comes_again(make: Make) -> None:
    """A deferred recipient is due at its new time, counts its attempt and says how it ended."""
    queue = await make()
    for owner in ("", "w"):
        stored = await _store(queue, "b@x.test", owner=owner, until=_NOW + 60)
        works = stored.work or await queue.lease("w", _NOW, _NOW + 60, limit=1)
        (work,) = works
        await queue.record(work, _all(work, RecipientState.WAITING, _NOW + 300))
        assert await queue.next_due(_NOW) == _NOW + 300
        assert await queue.lease("w", _NOW + 299, _NOW + 400, limit=1) == []
        (again,) = await queue.lease("w", _NOW + 300, _NOW + 400, limit=1)
        assert again.recipients[0].attempts == 1
        assert "4.2.0" in again.recipients[0].last
        await queue.record(again, _all(again, RecipientState.DELIVERED))
        assert await queue.count() == 0
    await queue.close()


async def unsettled_recipients_are_released(make: Make) -> None:
    """Recipients of a work without a settlement are due at once, without an attempt counted; so is released work."""
    queue = await make()
    stored = await _store(queue, "b@x.test", "c@x.test", owner="w", until=_NOW + 60)
    (work,) = stored.work
    await queue.record(work, _all(work, RecipientState.DELIVERED)[:1])
    (rest,) = await queue.lease("w", _NOW, _NOW + 60, limit=10)
    assert [(r.key, r.attempts) for r in rest.recipients] == [(1, 0)]
    await queue.release(rest)
    assert _keys(await queue.lease("w", _NOW, _NOW + 60, limit=10)) == _keys([rest])
    fresh = await _store(queue, "d@y.test", owner="w", until=_NOW + 60)
    await queue.release(fresh.work[0])
    assert _keys(await queue.lease("w", _NOW, _NOW + 60, limit=10)) == _keys(fresh.work)
    await queue.close()


async def release_respects_the_next_holder(make: Make) -> None:
    """Giving back a lease that ran out takes nothing from whoever has it now."""
    queue = await make()
    stored = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    await queue.lease("two", _NOW + 60, _NOW + 120, limit=10)
    await queue.release(stored.work[0])
    assert await queue.lease("three", _NOW + 61, _NOW + 120, limit=10) == []
    await queue.close()


async def renewed_leases_last(make: Make) -> None:
    """A renewed lease lasts until its new end; its work is recorded under that.  A lost one is not brought back."""
    queue = await make()
    for owner in ("", "w"):
        stored = await _store(queue, "b@x.test", owner=owner, until=_NOW + 60)
        works = stored.work or await queue.lease("w", _NOW, _NOW + 60, limit=1)
        await queue.renew(works, _NOW + 200)
        assert await queue.lease("two", _NOW + 199, _NOW + 300, limit=1) == []
        assert await queue.next_due(_NOW) == _NOW + 200
        work = works[0]._replace(until=_NOW + 200)
        await queue.record(work, _all(work, RecipientState.WAITING, _NOW + 500))
        assert await queue.next_due(_NOW) == _NOW + 500
        (again,) = await queue.lease("w", _NOW + 500, _NOW + 600, limit=1)
        (other,) = await queue.lease("two", _NOW + 600, _NOW + 700, limit=1)
        await queue.renew([again], _NOW + 900)
        assert await queue.next_due(_NOW) == _NOW + 700
        await queue.record(other, _all(other, RecipientState.DELIVERED))
    await queue.renew([other], _NOW + 900)
    assert await queue.count() == 0
    await queue.close()


async def held_recipients_stay(make: Make) -> None:
    """A held recipient is not leased and not forgotten."""
    queue = await make()
    stored = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    await queue.record(stored.work[0], _all(stored.work[0], RecipientState.HELD))
    assert await queue.lease("w", _NOW + 999, _NOW + 9999, limit=10) == []
    assert await queue.next_due(_NOW) is None
    assert await queue.count() == 1
    await queue.close()


async def reports_come_with_the_settlement(make: Make) -> None:
    """A report is stored by the act that causes it, and is due work like any other."""
    queue = await make()
    stored = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    report = Report(Envelope(None, _to("a@sohu.com")), b"Subject: failed\r\n\r\n", ("sohu.com",), _NOW)
    await queue.record(stored.work[0], _all(stored.work[0], RecipientState.FAILED), [report])
    assert await queue.entry(stored.message.id) is None
    (work,) = await queue.lease("w", _NOW, _NOW + 60, limit=10)
    assert work.message.envelope == report.envelope
    assert _octets(queue.content(work.message)) == report.content
    await queue.close()


async def recording_twice_is_harmless(make: Make) -> None:
    """An attempt that is recorded again, after the message is gone, changes nothing."""
    queue = await make()
    stored = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    other = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    twice = [queue.record(stored.work[0], _all(stored.work[0], RecipientState.DELIVERED)) for _ in range(2)]
    await asyncio.gather(*twice)
    await queue.record(stored.work[0], _all(stored.work[0], RecipientState.WAITING, _NOW + 1))
    assert [entry.message.id for entry in await queue.entries()] == [other.message.id]
    await queue.close()


async def many_at_once(make: Make) -> None:
    """Concurrent receipts and settlements do not disturb each other."""
    queue = await make()

    async def life(n: int) -> None:
        for m in range(10):
            data = f"{n}-{m}".encode() * (1 + n * 40 % 300)
            stored = await _store(queue, f"u{n}@d{m}.test", content=data, owner=f"w{n}", until=_NOW + 60)
            assert _octets(queue.content(stored.message)) == data
            state = (RecipientState.DELIVERED, RecipientState.FAILED, RecipientState.WAITING)[(n + m) % 3]
            await queue.record(stored.work[0], _all(stored.work[0], state, _NOW + 9))

    await asyncio.gather(*(life(n) for n in range(30)))
    assert await queue.count() == 100
    works = await queue.lease("w", _NOW + 9, _NOW + 60, limit=1000)
    assert len(set(_keys(works))) == 100
    await queue.close()


async def entries_are_paged(make: Make) -> None:
    """entries() is oldest first and goes on from behind an id."""
    queue = await make()
    ids = [(await _store(queue, "b@x.test")).message.id for _ in range(5)]
    assert [entry.message.id for entry in await queue.entries()] == ids
    assert [entry.message.id for entry in await queue.entries(limit=2)] == ids[:2]
    assert [entry.message.id for entry in await queue.entries(after=ids[1], limit=2)] == ids[2:4]
    assert await queue.entry("nonsense") is None
    await queue.close()


async def mailboxes_keep_messages_once(make: Make) -> None:
    """Mailbox messages are byte-exact, numbered upwards for ever, and kept once however often they are delivered."""
    queue = await make()
    data = b"big " * 50_000
    stored = [await _store(queue, "b@x.test", content=content) for content in (b"small", data)]
    for name in ("b@x.test", "a@x.test"):
        for one in stored:
            content = Bytes(b"Return-Path: <a@sohu.com>\r\n" + _octets(queue.content(one.message)))
            await queue.keep(name, one.message, content)
            await queue.keep(name, one.message, Bytes(b"other"))
    sizes = 27 + 5 + 27 + len(data)
    assert [tuple(inbox) for inbox in await queue.inboxes()] == [("a@x.test", 2, sizes), ("b@x.test", 2, sizes)]
    mine = await queue.inbox("b@x.test")
    everything = await queue.inbox()
    assert [m.queue_id for m in mine] == [one.message.id for one in stored]
    assert mine[0].sender == "a@sohu.com"
    assert [m.number for m in everything] == sorted({m.number for m in everything})
    assert len(everything) == 4
    assert await queue.inbox("b@x.test", after=mine[0].number) == mine[1:]
    assert await queue.inbox(limit=1) == everything[:1]
    for message, octets in zip(mine, (b"small", data), strict=True):
        found = await queue.kept(message.number)
        assert found is not None
        assert found[0] == message
        assert _octets(found[1]) == b"Return-Path: <a@sohu.com>\r\n" + octets
    last = everything[-1]
    assert await queue.discard([last.number, last.number, 10**9], now=1_800_000_100.0, who="ann") == 1
    (deleted,) = await queue.audit(limit=1)
    text = f"number:{last.number} number:{last.number} number:{10**9}"
    assert tuple(deleted) == (1_800_000_100.0, "ann", "delete", text, "", 1)
    assert await queue.kept(last.number) is None
    await queue.keep(last.inbox, next(o.message for o in stored if o.message.id == last.queue_id), Bytes(b"again"))
    assert (await queue.inbox(after=everything[-2].number))[0].number > last.number
    await queue.close()


async def failed_is_for_good(make: Make) -> None:
    """FAILED settles: with the last recipient the message goes, whether or not a report was due."""
    queue = await make()
    stored = await _store(queue, "b@x.test", "c@x.test", owner="w", until=_NOW + 60)
    first, second = _all(stored.work[0], RecipientState.FAILED)
    await queue.record(stored.work[0]._replace(recipients=stored.work[0].recipients[:1]), [first])
    entry = await queue.entry(stored.message.id)
    assert entry is not None
    assert [waiting.state for waiting in entry.recipients] == [RecipientState.FAILED, RecipientState.WAITING]
    await queue.record(stored.work[0], [second])
    assert await queue.entry(stored.message.id) is None
    assert await queue.count() == 0
    await queue.close()


async def a_warning_is_remembered(make: Make) -> None:
    """A settlement that warned shows in the next lease and in entry(), however often it is deferred."""
    queue = await make()
    await _store(queue, "b@x.test", "c@x.test")
    (work,) = await queue.lease("w", _NOW, _NOW + 60, limit=10)
    assert [waiting.warned for waiting in work.recipients] == [False, False]
    warning, other = _all(work, RecipientState.WAITING, _NOW + 100)
    await queue.record(work, [warning._replace(warned=True, why="doubling"), other])
    for now in (_NOW + 100, _NOW + 300):
        (work,) = await queue.lease("w", now, now + 60, limit=10)
        assert [waiting.warned for waiting in work.recipients] == [True, False]
        await queue.record(work, _all(work, RecipientState.WAITING, now + 200))
    story = await queue.story(work.message.id)
    assert [event.keys for event in story if isinstance(event, QueueEvent) and event.kind == "warned"] == [(0,)]
    await queue.close()


async def the_story_is_told(make: Make) -> None:
    """How it came, each attempt, the reports; found by id, address and Message-ID; it outlives the message."""
    queue = await make()
    arrival = Origin("<1@sohu.com>", "mail.sohu.com", "TLSv1.3", "langrui")
    contact = ConnectionTrace(
        "192.0.2.7:25", "mx.x.test", "", (("connect", 0.01), ("greet", 0.02)), ("S: QUIT", "R: 221 bye"), "", 2
    )
    trail = AttemptTrace(_NOW + 1, "mx.x.test", "x.test", "the default", (contact,))
    for owner, addresses in (("w", ("b@x.test",)), ("", ("b@x.test",)), ("w", ("b@x.test", "c@y.test"))):
        receipt = queue.receive()
        receipt.write(b"x" * 10)
        stored = await receipt.commit(
            Envelope(Address("a", "sohu.com"), _to(*addresses)),
            [address.split("@")[1] for address in addresses],
            received=_NOW,
            due=_NOW,
            source="mx 192.0.2.9:1",
            owner=owner,
            until=_NOW + 60,
            arrival=arrival,
        )
        accepted = Accepted(_NOW, "mx 192.0.2.9:1", "a@sohu.com", addresses, 10, arrival)
        assert await queue.story(receipt.id) == [accepted]
        assert await queue.find(message_id="<1@sohu.com>", limit=1) == [
            MessageSummary(receipt.id, _NOW, "a@sohu.com", addresses, "<1@sohu.com>", True)
        ]
        works = stored.work or await queue.lease("w", _NOW, _NOW + 60, limit=10)
        for work in works:
            await queue.record(work, _all(work, RecipientState.DELIVERED), trail=trail)
        first, *attempts = await queue.story(receipt.id)
        assert first == accepted
        assert len(attempts) == len(works)
        for attempt, work in zip(attempts, works, strict=True):
            assert isinstance(attempt, AttemptEvent)
            assert attempt.trail == trail
            assert attempt.destination == work.destination
            ((key, state, _, result, reply, _, peer, _),) = attempt.ends
            assert (key, state, result, peer) == (work.recipients[0].key, "delivered", Result.DELIVERED, "mx.test")
            assert reply == Reply(250, "2.0.0", "taken")
        assert not (await queue.find(address="B@X.test", limit=1))[0].waiting
    assert len(await queue.find(address="b@x.test")) == 3
    assert len(await queue.find(address="a@sohu.com", limit=2)) == 2
    assert [told.id for told in await queue.find(address="c@y.test", message_id="<1@sohu.com>")] == [receipt.id]
    assert await queue.find(address="b@x.tes") == await queue.find(message_id="<2@sohu.com>") == []
    assert await queue.story("nonsense") == []
    await queue.close()


async def a_story_tells_deferral_and_report(make: Make) -> None:
    """Each attempt has its reason for the next time; a report is named; a long story keeps beginning and end."""
    queue = await make()
    stored = await _store(queue, "b@x.test", owner="w", until=_NOW + 60)
    (work,) = stored.work
    for n in range(100):
        again = _all(work, RecipientState.WAITING, _NOW + n)
        await queue.record(work, [again[0]._replace(why=f"delay {n}")])
        (work,) = await queue.lease("w", _NOW + n, _NOW + n + 60, limit=1)
    report = Report(Envelope(None, _to("a@sohu.com")), b"Subject: failed\r\n\r\n", ("sohu.com",), _NOW + 999)
    await queue.record(work, _all(work, RecipientState.FAILED), [report])
    story = await queue.story(stored.message.id)
    whys = [event.ends[0].why for event in story if isinstance(event, AttemptEvent)]
    assert len(story) <= 70
    assert whys[0] == "delay 0"
    assert whys[-2:] == ["delay 99", ""]
    (note,) = [event for event in story if isinstance(event, QueueEvent)]
    assert note.kind == "reported"
    (first,) = await queue.story(note.text)
    assert isinstance(first, Accepted)
    assert (first.sender, first.recipients) == ("", ("a@sohu.com",))
    await queue.close()


async def questions_are_answered(make: Make) -> None:
    """Each field and operator, in listings, counts and the summary; fresh messages and others alike.

    Over budget: most of it is the table of what is asked and what comes back.
    """
    queue = await make()
    await _store(queue, "Bob@x.test", "carol@y.test", content=b"x" * 100)
    await _store(queue, "dave@x.test", content=b"x" * 5000, owner="w", until=_NOW + 60)
    await _store(queue, "e_ve@mail.x.test", content=b"x" * 300, due=_NOW + 50)
    (work,) = await queue.lease("w", _NOW + 50, _NOW + 99, limit=10, skip=["x.test", "y.test"])
    await queue.record(work, _all(work, RecipientState.WAITING, _NOW + 400))
    everybody = ["Bob@x.test", "carol@y.test", "dave@x.test", "e_ve@mail.x.test"]
    bob, carol, dave, eve = everybody
    table: list[tuple[str, str, str | float, list[str]]] = [
        ("domain", "=", "X.test", [bob, dave]),
        ("domain", "=", "*x.test", [bob, dave, eve]),
        ("domain", "!=", "x.test", [carol, eve]),
        ("domain", "~", "mail.", [eve]),
        ("state", "=", "waiting", everybody),
        ("state", "=", "deferred", [eve]),
        ("state", "!=", "deferred", [bob, carol, dave]),
        ("state", "=", "active", [dave]),
        ("state", "=", "held", []),
        ("state", "=", "failed", []),
        ("from", "=", "a@SOHU.com", everybody),
        ("from", "=", "", []),
        ("from", "!=", "", everybody),
        ("to", "=", "bob@x.test", [bob]),
        ("to", "=", "*a*@*.test", [carol, dave]),
        ("to", "!=", "*@x.test", [carol, eve]),
        ("to", "~", "_", [eve]),
        ("to", "~", "%", []),
        ("reply", "~", "4.2.0", [eve]),
        ("reply", "=", "", [bob, carol, dave]),
        ("reply", "=", "mx.test*later", [eve]),
        ("size", ">", 300.0, [dave]),
        ("size", ">=", 300.0, [dave, eve]),
        ("size", "=", 100.0, [bob, carol]),
        ("attempts", ">=", 1.0, [eve]),
        ("attempts", "!=", 1.0, [bob, carol, dave]),
        ("age", ">=", 100.0, everybody),
        ("age", "<", 100.0, []),
        ("due", ">", 0.0, [eve]),
        ("due", "<=", -100.0, [bob, carol, dave]),
        ("id", "=", work.message.id, [eve]),
        ("id", "<", work.message.id, [bob, carol, dave]),
    ]
    now = _NOW + 100
    for field, op, value, expected in table:
        one = Condition(field, op, value)
        found = [row.address for row in await queue.select([one], now=now)]
        assert found == expected, (str(one), found)
        assert await queue.count([one], now=now) == len(expected), str(one)
        summary = await queue.summary([one], now=now)
        assert sum(row.total for row in summary) == len(expected), str(one)
    both = [Condition("domain", "=", "x.test"), Condition("size", "<", 1000)]
    assert [row.address for row in await queue.select(both, now=now)] == [bob]
    rows = await queue.select(now=now)
    for nth in range(len(rows)):
        assert await queue.select(now=now, limit=1, after=(rows[nth - 1].id, rows[nth - 1].key) if nth else None) == [
            rows[nth]
        ]
    assert (rows[3].id, rows[3].key, rows[3].state, rows[3].attempts) == (work.message.id, 0, "waiting", 1)
    assert (rows[3].received, rows[3].due, rows[3].size) == (_NOW, _NOW + 400, 300)
    summary = await queue.summary(now=_NOW + 3600)
    assert [(row.destination, row.ages, row.waiting, row.held, row.oldest) for row in summary] == [
        ("x.test", (0, 0, 2, 0, 0, 0), 2, 0, _NOW),
        ("mail.x.test", (0, 0, 1, 0, 0, 0), 1, 0, _NOW),
        ("y.test", (0, 0, 1, 0, 0, 0), 1, 0, _NOW),
    ]
    for wrong in (("domain", ">", "x"), ("size", "~", 1.0), ("size", "=", "big"), ("colour", "=", "x")):
        try:
            await queue.select([Condition(*wrong)])
        except LocalError:
            continue
        raise AssertionError(f"{wrong} was understood")
    await queue.close()


async def operators_act(make: Make) -> None:
    """hold, release, retry, reroute and drop do what they say to whom they should, tell it, and are counted."""
    queue = await make()
    one = await _store(queue, "b@x.test", "c@y.test", due=_NOW + 500)
    two = await _store(queue, "d@x.test", owner="w", until=_NOW + 60)  # being attempted
    domain = [Condition("domain", "=", "x.test")]
    assert await queue.act(QueueAction.HOLD, domain, now=_NOW + 1, who="root") == 2
    assert await queue.act(QueueAction.HOLD, domain, now=_NOW + 1, who="root") == 0
    assert sorted(row.address for row in await queue.select([Condition("state", "=", "held")])) == [
        "b@x.test",
        "d@x.test",
    ]
    assert [(row.waiting, row.held) for row in await queue.summary(now=_NOW)] == [(0, 2), (1, 0)]
    assert await queue.next_due(_NOW) == _NOW + 500
    # What was being attempted ends: only a settlement for good counts.
    await queue.record(two.work[0], _all(two.work[0], RecipientState.WAITING, _NOW + 5))
    assert (await queue.select([Condition("id", "=", two.message.id)]))[0].state == "held"
    assert await queue.act(QueueAction.RELEASE, [], now=_NOW + 2) == 2
    assert await queue.act(QueueAction.RETRY, [Condition("domain", "=", "y.test")], now=_NOW + 3) == 1
    assert await queue.act(QueueAction.REROUTE, [Condition("to", "=", "b@*")], now=_NOW + 3, target="smtp://h:1") == 1
    assert await queue.destinations(_NOW + 9) == [("x.test", _NOW + 2), ("y.test", _NOW + 3)]
    assert await queue.destinations(_NOW + 9, limit=1) == [("x.test", _NOW + 2)]
    assert await queue.destinations(_NOW + 1) == []
    works = await queue.lease("w", _NOW + 3, _NOW + 60, limit=10)
    routes = {waiting.recipient.address.local: waiting.route for work in works for waiting in work.recipients}
    assert routes == {"b": "smtp://h:1", "c": "", "d": ""}
    # Due at once is no reason to take what somebody has.
    assert await queue.act(QueueAction.RETRY, [], now=_NOW + 4) == 3
    assert await queue.lease("v", _NOW + 5, _NOW + 60, limit=10) == []
    reports = 0

    def report(message: StoredMessage, people: Sequence[QueuedRecipient]) -> list[Report]:
        nonlocal reports
        reports += len(people)
        return [Report(Envelope(None, _to("a@sohu.com")), b"Subject: dropped\r\n\r\n", ("sohu.com",), _NOW)]

    not_y = [Condition("domain", "!=", "y.test")]
    assert await queue.act(QueueAction.DROP, not_y, now=_NOW + 6, who="root", report=report) == 2
    assert reports == 2
    assert await queue.entry(two.message.id) is None
    assert await queue.count() == 3
    kinds = [event.kind for event in await queue.story(one.message.id) if isinstance(event, QueueEvent)]
    assert kinds == ["held", "released", "retried", "rerouted", "retried", "dropped", "reported"]
    last = (await queue.story(two.message.id))[-2]
    assert last == QueueEvent(_NOW + 6, "dropped", (0,), "root")
    audit = await queue.audit()
    assert [(line.act, line.changed) for line in audit] == [
        ("drop", 2),
        ("retry", 3),
        ("reroute", 1),
        ("retry", 1),
        ("release", 2),
        ("hold", 0),
        ("hold", 2),
    ]
    assert (audit[-1].at, audit[-1].who, audit[-1].filter) == (_NOW + 1, "root", "domain:x.test")
    assert audit[2].target == "smtp://h:1"
    assert len(await queue.audit(limit=2)) == 2
    assert queue.take_notes() == []
    await queue.close()


async def the_clock_takes_nothing_from_a_living_neighbour(two: MakeTwo) -> None:
    """What a living process has leased is its own, wherever the clock jumps; it renews, gives back and records it."""
    ours, theirs = await two()
    await _store(ours, "b@x.test")
    works = [
        *(await ours.lease("w", _NOW, _NOW + 60, limit=1)),
        *(await _store(ours, "c@x.test", "d@x.test", owner="w", until=_NOW + 60)).work,
        *(await _store(ours, "e@y.test", owner="w", until=_NOW + 60)).work,
    ]
    late = _NOW + 90_000
    assert await theirs.lease("w", late, late + 60, limit=10) == []
    waiting = await _store(theirs, "f@x.test", due=_NOW + 5)  # behind all of them
    (found,) = await theirs.lease("w", late, late + 60, limit=1)
    assert found.message == waiting.message
    due = await theirs.next_due(late)
    assert due is not None
    assert due <= late + 60
    await ours.renew(works[:1], late + 500)
    renewed = works[0]._replace(until=late + 500)
    await ours.record(renewed, _all(renewed, RecipientState.WAITING, late + 700))
    await ours.release(works[1])
    (again,) = await theirs.lease("v", late, late + 60, limit=10)
    assert _keys([again]) == _keys([works[1]])
    # Of its own, a process takes what ran out.
    (mine,) = await ours.lease("w", late + 100, late + 160, limit=10)
    assert _keys([mine]) == _keys([works[2]])
    for queue, work in ((ours, mine), (theirs, again), (theirs, found)):
        await queue.record(work, _all(work, RecipientState.DELIVERED))
    assert await ours.next_due(late) is not None
    assert await ours.count() == await theirs.count() == 1
    await ours.close()
    await theirs.close()


async def what_a_dead_neighbour_had_is_anybodys(two: MakeTwo) -> None:
    """A process that has ended keeps no lease longer than until its end by the clock, and none is forgotten."""
    ours, theirs = await two()
    await _store(ours, "b@x.test", "c@y.test")
    await ours.lease("w", _NOW, _NOW + 60, limit=1)
    await _store(ours, "d@x.test", owner="w", until=_NOW + 60)
    await ours.close()
    works = await theirs.lease("v", _NOW + 60, _NOW + 120, limit=10)
    assert len(_keys(works)) == 3
    for work in works:
        await theirs.record(work, _all(work, RecipientState.DELIVERED))
    assert await theirs.count() == 0
    await theirs.close()


CHECKS: tuple[Check, ...] = (
    ids_are_unique_and_sorted,
    content_is_kept_byte_for_byte,
    a_prefix_stands_in_front,
    envelope_is_kept,
    abort_leaves_nothing,
    commit_leases_to_its_owner,
    leases_are_exclusive_and_run_out,
    lease_of_commit_runs_out,
    due_work_comes_oldest_first,
    lease_groups_by_message_and_destination,
    skipped_destinations_are_left,
    few_are_leased_for_strangers,
    deferral_comes_again,
    unsettled_recipients_are_released,
    release_respects_the_next_holder,
    renewed_leases_last,
    held_recipients_stay,
    reports_come_with_the_settlement,
    recording_twice_is_harmless,
    many_at_once,
    entries_are_paged,
    mailboxes_keep_messages_once,
    failed_is_for_good,
    a_warning_is_remembered,
    the_story_is_told,
    a_story_tells_deferral_and_report,
    questions_are_answered,
    operators_act,
)

NEIGHBOUR_CHECKS: tuple[NeighbourCheck, ...] = (
    the_clock_takes_nothing_from_a_living_neighbour,
    what_a_dead_neighbour_had_is_anybodys,
)
