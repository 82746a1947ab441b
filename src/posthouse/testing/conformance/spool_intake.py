"""Checks of a spool's intake: ids, content, envelopes, commits, and the inboxes of mailboxes."""

from __future__ import annotations

import asyncio

from posthouse.core import (
    Address,
    Body,
    Bytes,
    Envelope,
    LocalError,
    Notify,
    OriginalRecipient,
    Recipient,
    Ret,
    StorageCorrupt,
)
from posthouse.spool.history import QueueEvent
from posthouse.spool.interface import QueueAction, RecipientState
from posthouse.testing.conformance.spool_support import (
    NOW,
    Check,
    Make,
    next_due,
    octets_of,
    recipient_keys,
    recipients,
    settle_all,
    store,
    streamed,
)
from posthouse.testing.queue_listing import unfinished

__all__ = ["INTAKE_CHECKS"]


async def ids_are_unique_and_sorted(make: Make) -> None:
    """Queue ids are known before the commit, are unique, and grow."""
    spool = await make()
    ids = [spool.receive().id for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(queue_id.isascii() and queue_id.isalnum() and len(queue_id) <= 20 for queue_id in ids)
    await spool.close()


async def content_is_kept_byte_for_byte(make: Make) -> None:
    """Content of any size, written in one piece or in many, is read back unchanged, any number of times."""
    spool = await make()
    for size in (0, 1, 4096, 65_535, 65_536, 65_537, 5 << 20):
        data = (bytes(range(256)) * (size // 256 + 1))[:size]
        for step in (size or 1, 10_007):
            incoming = spool.receive()
            for start in range(0, size, step):
                waiting = incoming.write(data[start : start + step])
                if waiting is not None:
                    await waiting
            assert incoming.size == size
            stored = await incoming.commit(Envelope(None, recipients("b@x.test")), ["x.test"], received=NOW, due=NOW)
            assert stored.message.id == incoming.id
            assert stored.message.size == size
            content = await spool.open_content(stored.message)
            assert content.size == size
            assert octets_of(content) == data
            assert octets_of(content) == data
            assert await streamed(content) == data
            assert await streamed(content, 10_000) == data
            now = spool.content_now(stored.message)
            assert now is None or octets_of(now) == data
            assert max((len(chunk) for chunk in content.chunks(1000)), default=0) <= 1000
    await spool.close()


async def a_prefix_stands_in_front(make: Make) -> None:
    """The prefix of a commit stands in front of the content and counts as part of it, whatever the size of either."""
    spool = await make()
    for size in (0, 5, 65_530, 65_536, 65_537, 300_000):
        data = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
        for prefix in (b"", b"Received: by mx.test\r\n", b"P" * 70_000):
            incoming = spool.receive()
            for start in range(0, size, 50_000):
                waiting = incoming.write(data[start : start + 50_000])
                if waiting is not None:
                    await waiting
            envelope = Envelope(None, recipients("b@x.test"))
            stored = await incoming.commit(envelope, ["x.test"], received=NOW, due=NOW, prefix=prefix)
            assert stored.message.size == len(prefix) + size
            entry = await spool.queries.entry(stored.message.id)
            assert entry is not None
            assert entry.message == stored.message
            (lease,) = await spool.lease("w", NOW, NOW + 60, limit=10)
            assert lease.message == stored.message
            content = await spool.open_content(lease.message)
            assert content.size == len(prefix) + size
            assert octets_of(content) == prefix + data
            assert await streamed(content, 1000) == prefix + data
            assert max((len(chunk) for chunk in content.chunks(1000)), default=0) <= 1000
            await spool.record(lease, settle_all(lease, RecipientState.DELIVERED))
    leased = spool.receive()
    leased.write(b"body")
    envelope = Envelope(None, recipients("b@x.test"))
    stored = await leased.commit(
        envelope, ["x.test"], received=NOW, due=NOW, prefix=b"A: b\r\n\r\n", owner="w", until=NOW + 60
    )
    assert octets_of(await spool.open_content(stored.message)) == b"A: b\r\n\r\nbody"
    await spool.close()


async def a_message_can_be_held_from_the_start(make: Make) -> None:
    """A message that is committed as held is not due, says why in its history, and goes on when it is released."""
    spool = await make()
    for size in (5, 70_000):
        incoming = spool.receive()
        waiting = incoming.write(b"x" * size)
        if waiting is not None:
            await waiting
        envelope = Envelope(None, recipients("a@x.test", "b@y.test"))
        stored = await incoming.commit(envelope, ["x.test", "y.test"], received=NOW, due=NOW, held="a virus")
        assert stored.leases == ()
        entry = await spool.queries.entry(stored.message.id)
        assert entry is not None
        assert [(each.state, each.last) for each in entry.recipients] == [(RecipientState.HELD, "a virus")] * 2
        assert await spool.lease("w", NOW, NOW + 60, limit=10) == []
        assert await next_due(spool, NOW) is None
        _, event = await spool.queries.history(stored.message.id)
        assert event == QueueEvent(NOW, "quarantined", text="a virus")
        assert await spool.act(QueueAction.RELEASE, (), now=NOW + 1) == 2
        leases = await spool.lease("w", NOW + 1, NOW + 60, limit=10)
        assert sorted(lease.destination for lease in leases) == ["x.test", "y.test"]
        for lease in leases:
            await spool.record(lease, settle_all(lease, RecipientState.DELIVERED))
    await spool.close()


async def envelope_is_kept(make: Make) -> None:
    """``entry`` and a lease have the whole envelope, with all parameters of MAIL and RCPT."""
    spool = await make()
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
    incoming = spool.receive()
    incoming.write(b"x")
    stored = await incoming.commit(
        envelope, ["x.test", "here", "[192.0.2.1]"], received=NOW + 0.25, due=NOW, source="mx 192.0.2.9:1"
    )
    entry = await spool.queries.entry(stored.message.id)
    assert entry is not None
    assert entry.message == stored.message
    assert entry.message.envelope == envelope
    assert (entry.message.received, entry.message.source) == (NOW + 0.25, "mx 192.0.2.9:1")
    assert [w.recipient for w in entry.recipients] == list(envelope.recipients)
    assert [w.destination for w in entry.recipients] == ["x.test", "here", "[192.0.2.1]"]
    leases = await spool.lease("w", NOW, NOW + 60, limit=10)
    assert [lease.message for lease in leases] == [stored.message] * 3
    await spool.close()


async def abort_leaves_nothing(make: Make) -> None:
    """An aborted message leaves no trace; ``abort`` may be called again, ``write`` may not."""
    spool = await make()
    for size in (10, 1 << 20):
        incoming = spool.receive()
        incoming.write(b"x" * size)
        incoming.abort()
        incoming.abort()
        try:
            incoming.write(b"x")
        except LocalError:
            pass
        else:
            raise AssertionError("an aborted message took another chunk")
        assert await spool.queries.entry(incoming.id) is None
    assert await spool.queries.count() == 0
    assert await unfinished(spool) == []
    await spool.close()


async def a_commit_leases_to_its_owner(make: Make) -> None:
    """A commit with an owner returns leases, which are recorded without another query."""
    spool = await make()
    stored = await store(spool, "b@x.test", "c@y.test", "d@x.test", owner="w", until=NOW + 60)
    assert [lease.destination for lease in stored.leases] == ["x.test", "y.test"]
    assert [[recipient.key for recipient in lease.recipients] for lease in stored.leases] == [[0, 2], [1]]
    one = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    assert [(w.owner, w.until) for w in one.leases] == [("w", NOW + 60)]
    assert await spool.queries.count() == 4
    assert [len(entry.recipients) for entry in await unfinished(spool)] == [3, 1]
    assert await spool.lease("other", NOW + 1, NOW + 90, limit=10) == []
    assert await next_due(spool, NOW) == NOW + 60
    for lease in (*stored.leases, *one.leases):
        assert octets_of(await spool.open_content(lease.message)).endswith(b"hello\r\n")
        await spool.record(lease, settle_all(lease, RecipientState.DELIVERED))
    assert await spool.queries.count() == 0
    assert await unfinished(spool) == []
    assert await spool.queries.entry(one.message.id) is None
    assert await next_due(spool, NOW) is None
    try:
        await spool.open_content(one.message)
    except StorageCorrupt:
        pass
    else:
        raise AssertionError("the content of an erased message is still there")
    await spool.close()


async def many_at_once(make: Make) -> None:
    """Concurrent commits and records do not disturb each other."""
    spool = await make()

    async def use(n: int) -> None:
        for m in range(10):
            data = f"{n}-{m}".encode() * (1 + n * 40 % 300)
            stored = await store(spool, f"u{n}@d{m}.test", content=data, owner=f"w{n}", until=NOW + 60)
            assert octets_of(await spool.open_content(stored.message)) == data
            state = (RecipientState.DELIVERED, RecipientState.FAILED, RecipientState.WAITING)[(n + m) % 3]
            await spool.record(stored.leases[0], settle_all(stored.leases[0], state, NOW + 9))

    await asyncio.gather(*(use(n) for n in range(30)))
    assert await spool.queries.count() == 100
    leases = await spool.lease("w", NOW + 9, NOW + 60, limit=1000)
    assert len(set(recipient_keys(leases))) == 100
    await spool.close()


async def listings_are_paged(make: Make) -> None:
    """``select`` has the oldest first, and continues after an id and a recipient's key."""
    spool = await make()
    ids = [(await store(spool, "b@x.test")).message.id for _ in range(5)]
    assert [row.id for row in await spool.queries.select()] == [entry.message.id for entry in await unfinished(spool)]
    assert [row.id for row in await spool.queries.select()] == ids
    first = await spool.queries.select(limit=2)
    assert [row.id for row in first] == ids[:2]
    after = first[-1].id, first[-1].key
    assert [row.id for row in await spool.queries.select(after=after, limit=2)] == ids[2:4]
    assert await spool.queries.entry("nonsense") is None
    await spool.close()


async def mailboxes_keep_messages_once(make: Make) -> None:
    """An inbox keeps each message once, unchanged, under a number that is never used again."""
    spool = await make()
    data = b"big " * 50_000
    stored = [await store(spool, "b@x.test", content=content) for content in (b"small", data)]
    for name in ("b@x.test", "a@x.test"):
        for one in stored:
            content = Bytes(b"Return-Path: <a@sohu.com>\r\n" + octets_of(await spool.open_content(one.message)))
            await spool.keep(name, one.message, content)
            await spool.keep(name, one.message, Bytes(b"other"))
    sizes = 27 + 5 + 27 + len(data)
    assert [tuple(inbox) for inbox in await spool.queries.inboxes()] == [("a@x.test", 2, sizes), ("b@x.test", 2, sizes)]
    mine = await spool.queries.inbox("b@x.test")
    everything = await spool.queries.inbox()
    assert [m.queue_id for m in mine] == [one.message.id for one in stored]
    assert mine[0].sender == "a@sohu.com"
    assert [m.number for m in everything] == sorted({m.number for m in everything})
    assert len(everything) == 4
    assert await spool.queries.inbox("b@x.test", after=mine[0].number) == mine[1:]
    assert await spool.queries.inbox(limit=1) == everything[:1]
    for message, octets in zip(mine, (b"small", data), strict=True):
        found = await spool.queries.kept(message.number)
        assert found is not None
        assert found[0] == message
        assert octets_of(found[1]) == b"Return-Path: <a@sohu.com>\r\n" + octets
    last = everything[-1]
    assert await spool.discard([last.number, last.number, 10**9], now=1_800_000_100.0, who="ann") == 1
    (deleted,) = await spool.queries.audit(limit=1)
    text = f"number:{last.number} number:{last.number} number:{10**9}"
    assert tuple(deleted) == (1_800_000_100.0, "ann", "delete", text, "", 1)
    assert await spool.queries.kept(last.number) is None
    await spool.keep(last.inbox, next(o.message for o in stored if o.message.id == last.queue_id), Bytes(b"again"))
    assert (await spool.queries.inbox(after=everything[-2].number))[0].number > last.number
    await spool.close()


INTAKE_CHECKS: tuple[Check, ...] = (
    ids_are_unique_and_sorted,
    content_is_kept_byte_for_byte,
    a_prefix_stands_in_front,
    a_message_can_be_held_from_the_start,
    envelope_is_kept,
    abort_leaves_nothing,
    a_commit_leases_to_its_owner,
    many_at_once,
    listings_are_paged,
    mailboxes_keep_messages_once,
)
