"""Checks of a spool's history, of searches, and of the actions of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from posthouse.core import Address, AttemptTrace, ConnectionTrace, Envelope, LocalError, Reply, Result
from posthouse.spool.filters import Condition
from posthouse.spool.history import Accepted, AttemptEvent, MessageSummary, Origin, QueueEvent
from posthouse.spool.interface import QueueAction, QueuedRecipient, RecipientState, Report, StoredMessage
from posthouse.spool.model import FormerPlace
from posthouse.testing.conformance.spool_support import NOW, Check, Make, next_due, recipients, settle_all, store

__all__ = ["HISTORY_CHECKS"]


async def the_history_is_kept(make: Make) -> None:
    """The history has the origin, each attempt and the reports.

    ``find`` searches it by address and Message-ID, and it outlives the message.
    """
    spool = await make()
    arrival = Origin("<1@sohu.com>", "mail.sohu.com", "TLSv1.3", "langrui")
    contact = ConnectionTrace(
        "192.0.2.7:25", "mx.x.test", "", (("connect", 0.01), ("greet", 0.02)), ("S: QUIT", "R: 221 bye"), "", 2
    )
    trace = AttemptTrace(NOW + 1, "mx.x.test", "x.test", "the default", (contact,))
    for owner, addresses in (("w", ("b@x.test",)), ("", ("b@x.test",)), ("w", ("b@x.test", "c@y.test"))):
        incoming = spool.receive()
        incoming.write(b"x" * 10)
        stored = await incoming.commit(
            Envelope(Address("a", "sohu.com"), recipients(*addresses)),
            [address.split("@")[1] for address in addresses],
            received=NOW,
            due=NOW,
            source="mx 192.0.2.9:1",
            owner=owner,
            until=NOW + 60,
            arrival=arrival,
        )
        accepted = Accepted(NOW, "mx 192.0.2.9:1", "a@sohu.com", addresses, 10, arrival)
        assert await spool.queries.history(incoming.id) == [accepted]
        assert await spool.queries.find(message_id="<1@sohu.com>", limit=1) == [
            MessageSummary(incoming.id, NOW, "a@sohu.com", addresses, "<1@sohu.com>", True)
        ]
        leases = stored.leases or await spool.lease("w", NOW, NOW + 60, limit=10)
        for lease in leases:
            await spool.record(lease, settle_all(lease, RecipientState.DELIVERED), trace=trace)
        first, *attempts = await spool.queries.history(incoming.id)
        assert first == accepted
        assert len(attempts) == len(leases)
        for attempt, lease in zip(attempts, leases, strict=True):
            assert isinstance(attempt, AttemptEvent)
            assert attempt.trace == trace
            assert attempt.destination == lease.destination
            ((key, state, _, result, reply, _, peer, _),) = attempt.ends
            assert (key, state, result, peer) == (lease.recipients[0].key, "delivered", Result.DELIVERED, "mx.test")
            assert reply == Reply(250, "2.0.0", "taken")
        assert not (await spool.queries.find(address="B@X.test", limit=1))[0].waiting
    assert len(await spool.queries.find(address="b@x.test")) == 3
    assert len(await spool.queries.find(address="a@sohu.com", limit=2)) == 2
    assert [found.id for found in await spool.queries.find(address="c@y.test", message_id="<1@sohu.com>")] == [
        incoming.id
    ]
    assert await spool.queries.find(address="b@x.tes") == await spool.queries.find(message_id="<2@sohu.com>") == []
    assert await spool.queries.history("nonsense") == []
    await spool.close()


async def the_history_has_deferrals_and_reports(make: Make) -> None:
    """Each attempt has the reason for its next time, and each report its id; a long history keeps both its ends."""
    spool = await make()
    stored = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    (lease,) = stored.leases
    for n in range(100):
        again = settle_all(lease, RecipientState.WAITING, NOW + n)
        await spool.record(lease, [again[0]._replace(why=f"delay {n}")])
        (lease,) = await spool.lease("w", NOW + n, NOW + n + 60, limit=1)
    report = Report(Envelope(None, recipients("a@sohu.com")), b"Subject: failed\r\n\r\n", ("sohu.com",), NOW + 999)
    await spool.record(lease, settle_all(lease, RecipientState.FAILED), [report])
    history = await spool.queries.history(stored.message.id)
    whys = [event.ends[0].why for event in history if isinstance(event, AttemptEvent)]
    assert len(history) <= 70
    assert whys[0] == "delay 0"
    assert whys[-2:] == ["delay 99", ""]
    (note,) = [event for event in history if isinstance(event, QueueEvent)]
    assert note.kind == "reported"
    (first,) = await spool.queries.history(note.text)
    assert isinstance(first, Accepted)
    assert (first.sender, first.recipients) == ("", ("a@sohu.com",))
    await spool.close()


async def questions_are_answered(make: Make) -> None:
    """``select``, ``count`` and ``summary`` understand each field and operator, for all kinds of messages.

    Over budget: most of it is the table of conditions and results.
    """
    spool = await make()
    await store(spool, "Bob@x.test", "carol@y.test", content=b"x" * 100)
    await store(spool, "dave@x.test", content=b"x" * 5000, owner="w", until=NOW + 60)
    await store(spool, "e_ve@mail.x.test", content=b"x" * 300, due=NOW + 50)
    (lease,) = await spool.lease("w", NOW + 50, NOW + 99, limit=10, wanted=["mail.x.test"])
    await spool.record(lease, settle_all(lease, RecipientState.WAITING, NOW + 400))
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
        ("id", "=", lease.message.id, [eve]),
        ("id", "<", lease.message.id, [bob, carol, dave]),
    ]
    now = NOW + 100
    for field, op, value, expected in table:
        one = Condition(field, op, value)
        found = [row.address for row in await spool.queries.select([one], now=now)]
        assert found == expected, (str(one), found)
        assert await spool.queries.count([one], now=now) == len(expected), str(one)
        summary = await spool.queries.summary([one], now=now)
        assert sum(row.total for row in summary) == len(expected), str(one)
    both = [Condition("domain", "=", "x.test"), Condition("size", "<", 1000)]
    assert [row.address for row in await spool.queries.select(both, now=now)] == [bob]
    rows = await spool.queries.select(now=now)
    for nth in range(len(rows)):
        assert await spool.queries.select(
            now=now, limit=1, after=(rows[nth - 1].id, rows[nth - 1].key) if nth else None
        ) == [rows[nth]]
    assert (rows[3].id, rows[3].key, rows[3].state, rows[3].attempts) == (lease.message.id, 0, "waiting", 1)
    assert (rows[3].received, rows[3].due, rows[3].size) == (NOW, NOW + 400, 300)
    summary = await spool.queries.summary(now=NOW + 3600)
    assert [(row.destination, row.ages, row.waiting, row.held, row.oldest) for row in summary] == [
        ("x.test", (0, 0, 2, 0, 0, 0), 2, 0, NOW),
        ("mail.x.test", (0, 0, 1, 0, 0, 0), 1, 0, NOW),
        ("y.test", (0, 0, 1, 0, 0, 0), 1, 0, NOW),
    ]
    for conditions in ((), [Condition("domain", "=", "*.test")], [Condition("size", "<", 300.0)]):
        whole = await spool.queries.summary(conditions, now=now)
        for limit in range(1, len(whole) + 2):
            largest = await spool.queries.largest(conditions, now=now, limit=limit)
            assert list(largest.rows) == whole[:limit], (conditions, limit, largest)
            assert (largest.recipients, largest.destinations) == (sum(row.total for row in whole), len(whole))
    for wrong in (("domain", ">", "x"), ("size", "~", 1.0), ("size", "=", "big"), ("colour", "=", "x")):
        try:
            await spool.queries.select([Condition(*wrong)])
        except LocalError:
            continue
        raise AssertionError(f"{wrong} was understood")
    await spool.close()


async def operators_act(make: Make) -> None:
    """Hold, release, retry, reroute and drop change the recipients that match, with an event and an audit line."""
    spool = await make()
    one = await store(spool, "b@x.test", "c@y.test", due=NOW + 500)
    two = await store(spool, "d@x.test", owner="w", until=NOW + 60)  # being attempted
    domain = [Condition("domain", "=", "x.test")]
    assert await spool.act(QueueAction.HOLD, domain, now=NOW + 1, who="root") == 2
    assert await spool.act(QueueAction.HOLD, domain, now=NOW + 1, who="root") == 0
    assert sorted(row.address for row in await spool.queries.select([Condition("state", "=", "held")])) == [
        "b@x.test",
        "d@x.test",
    ]
    assert [(row.waiting, row.held) for row in await spool.queries.summary(now=NOW)] == [(0, 2), (1, 0)]
    assert await next_due(spool, NOW) == NOW + 500
    # An attempt that was under way ends: only a final settlement counts.
    await spool.record(two.leases[0], settle_all(two.leases[0], RecipientState.WAITING, NOW + 5))
    assert (await spool.queries.select([Condition("id", "=", two.message.id)]))[0].state == "held"
    assert await spool.act(QueueAction.RELEASE, [], now=NOW + 2) == 2
    assert await spool.act(QueueAction.RETRY, [Condition("domain", "=", "y.test")], now=NOW + 3) == 1
    assert await spool.act(QueueAction.REROUTE, [Condition("to", "=", "b@*")], now=NOW + 3, target="smtp://h:1") == 1
    assert (await spool.due(NOW + 9)).destinations == (("x.test", NOW + 2), ("y.test", NOW + 3))
    leases = await spool.lease("w", NOW + 3, NOW + 60, limit=10)
    routes = {recipient.recipient.address.local: recipient.route for lease in leases for recipient in lease.recipients}
    assert routes == {"b": "smtp://h:1", "c": "", "d": ""}
    # A retry does not take away a lease.
    assert await spool.act(QueueAction.RETRY, [], now=NOW + 4) == 3
    assert await spool.lease("v", NOW + 5, NOW + 60, limit=10) == []
    reports = 0

    async def report(message: StoredMessage, people: Sequence[QueuedRecipient]) -> list[Report]:
        nonlocal reports
        reports += len(people)
        return [Report(Envelope(None, recipients("a@sohu.com")), b"Subject: dropped\r\n\r\n", ("sohu.com",), NOW)]

    not_y = [Condition("domain", "!=", "y.test")]
    assert await spool.act(QueueAction.DROP, not_y, now=NOW + 6, who="root", report=report) == 2
    assert reports == 2
    assert await spool.queries.entry(two.message.id) is None
    assert await spool.queries.count() == 3
    kinds = [event.kind for event in await spool.queries.history(one.message.id) if isinstance(event, QueueEvent)]
    assert kinds == ["held", "released", "retried", "rerouted", "retried", "dropped", "reported"]
    last = (await spool.queries.history(two.message.id))[-2]
    assert last == QueueEvent(NOW + 6, "dropped", (0,), "root")
    audit = await spool.queries.audit()
    assert [(line.act, line.changed) for line in audit] == [
        ("drop", 2),
        ("retry", 3),
        ("reroute", 1),
        ("retry", 1),
        ("release", 2),
        ("hold", 0),
        ("hold", 2),
    ]
    assert (audit[-1].at, audit[-1].who, audit[-1].filter) == (NOW + 1, "root", "domain:x.test")
    assert audit[2].target == "smtp://h:1"
    assert len(await spool.queries.audit(limit=2)) == 2
    await spool.close()


async def operators_act_on_named_recipients(make: Make) -> None:
    """An action among recipients that are named changes these only; a drop takes those of them that are held."""
    spool = await make()
    one = await store(spool, "b@x.test", "c@x.test", due=NOW)
    two = await store(spool, "d@x.test", due=NOW)
    done = await store(spool, "e@x.test", owner="w", until=NOW + 60)
    await spool.record(done.leases[0], settle_all(done.leases[0], RecipientState.DELIVERED, NOW))
    named = [(one.message.id, 1), (two.message.id, 0), (done.message.id, 0)]
    assert await spool.act(QueueAction.HOLD, [], now=NOW + 1, who="root", among=named) == 2
    assert await spool.act(QueueAction.RELEASE, [], now=NOW + 2, among=[(two.message.id, 0)]) == 1
    reported: list[int] = []

    async def report(message: StoredMessage, people: Sequence[QueuedRecipient]) -> list[Report]:
        reported.extend(each.key for each in people)
        return [Report(Envelope(None, recipients("a@sohu.com")), b"Subject: dropped\r\n\r\n", ("sohu.com",), NOW)]

    why = [Condition("domain", "=", "x.test")]
    assert await spool.act(QueueAction.DROP, why, now=NOW + 3, who="ann", report=report, among=named) == 1
    assert reported == [1]
    assert await spool.act(QueueAction.DROP, why, now=NOW + 3, among=named) == 0
    rows = await spool.queries.select([Condition("domain", "=", "x.test")])
    assert [(row.address, row.state) for row in rows] == [("b@x.test", "waiting"), ("d@x.test", "waiting")]
    line = (await spool.queries.audit())[1]
    assert (line.act, line.who, line.filter, line.changed) == ("drop", "ann", "domain:x.test", 1)
    await spool.close()


async def a_retry_and_a_reroute_are_put_back(make: Make) -> None:
    """A recipient gets its former due time and route back, unless it was leased, attempted or changed since."""
    spool = await make()
    waits = await store(spool, "b@x.test", due=NOW + 500)
    held = await store(spool, "c@y.test", due=NOW + 600)
    leased = await store(spool, "d@z.test", due=NOW + 700)
    tried = await store(spool, "e@v.test", due=NOW + 800)
    again = await store(spool, "f@u.test", due=NOW + 900)
    await spool.act(QueueAction.REROUTE, [Condition("domain", "=", "y.test")], now=NOW + 1, target="smtp://old:1")
    await spool.act(QueueAction.HOLD, [Condition("domain", "=", "y.test")], now=NOW + 1)
    former = [FormerPlace(row.id, row.key, row.due, row.route, row.attempts) for row in await spool.queries.select()]
    ids = [each.message.id for each in (waits, held, leased, tried, again)]
    named = [(each, 0) for each in ids]
    assert await spool.act(QueueAction.REROUTE, [], now=NOW + 2, target="smtp://new:1", among=named) == 5
    (lease,) = await spool.lease("w", NOW + 2, NOW + 60, wanted=["v.test"], limit=10)
    await spool.record(lease, settle_all(lease, RecipientState.WAITING, NOW + 2))  # the time is the same by chance
    (lease,) = await spool.lease("w", NOW + 2, NOW + 60, wanted=["z.test"], limit=10)
    assert await spool.act(QueueAction.RETRY, [Condition("domain", "=", "u.test")], now=NOW + 3) == 1
    why = [Condition("domain", "=", "*.test")]
    put_back = partial(spool.put_back, since=NOW + 2, now=NOW + 4, who="ann")
    assert await put_back(QueueAction.RETRY, former, why) == 0  # another action
    assert await put_back(QueueAction.REROUTE, former, why, target="smtp://new:1") == 2
    rows = {row.address: row for row in await spool.queries.select()}
    assert [(rows[each].due, rows[each].route, rows[each].state) for each in ("b@x.test", "c@y.test")] == [
        (NOW + 500, "", "waiting"),
        (former[1].due, "smtp://old:1", "held"),
    ]
    assert {rows[each].route for each in ("d@z.test", "e@v.test", "f@u.test")} == {"smtp://new:1"}
    ready = dict((await spool.due(NOW + 9)).destinations)
    assert (ready["u.test"], ready["v.test"], ready["x.test"]) == (NOW + 3, NOW + 2, NOW + 500)
    event = (await spool.queries.history(held.message.id))[-1]
    assert event == QueueEvent(NOW + 4, "restored", (0,), "ann", "smtp://old:1")
    line, other, *_ = await spool.queries.audit()
    assert (line.act, line.who, line.filter, line.changed) == ("undo reroute", "ann", "domain:*.test", 2)
    assert (other.act, other.changed) == ("undo retry", 0)
    assert await put_back(QueueAction.REROUTE, former, why, target="smtp://new:1") == 0
    await spool.close()


HISTORY_CHECKS: tuple[Check, ...] = (
    the_history_is_kept,
    the_history_has_deferrals_and_reports,
    questions_are_answered,
    operators_act,
    operators_act_on_named_recipients,
    a_retry_and_a_reroute_are_put_back,
)
