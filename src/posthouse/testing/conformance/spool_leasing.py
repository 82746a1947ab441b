"""Checks of a spool's leases: what is leased to whom, when leases end, and how recipients are settled."""

from __future__ import annotations

import asyncio

from posthouse.core import Envelope, LocalError
from posthouse.spool.history import QueueEvent
from posthouse.spool.interface import DueDestination, RecipientState, Report
from posthouse.spool.probe_limit import MOST_NAMES, ProbeLimit
from posthouse.testing.conformance.spool_support import (
    NOW,
    Check,
    Make,
    MakePeers,
    PeerCheck,
    next_due,
    octets_of,
    recipient_keys,
    recipients,
    settle_all,
    store,
)
from posthouse.testing.queue_listing import unfinished

__all__ = ["LEASING_CHECKS", "PEER_CHECKS"]


async def leases_are_exclusive_and_expire(make: Make) -> None:
    """Within one process a leased recipient is not leased again until its lease expires; then it is due."""
    spool = await make()
    await store(spool, "b@x.test", "c@y.test")
    first = await spool.lease("one", NOW, NOW + 60, limit=1)
    second = await spool.lease("two", NOW, NOW + 90, limit=10)
    assert len(recipient_keys(first)) == len(recipient_keys(second)) == 1
    assert not set(recipient_keys(first)) & set(recipient_keys(second))
    assert await spool.lease("three", NOW + 59, NOW + 99, limit=10) == []
    again = await spool.lease("three", NOW + 60, NOW + 120, limit=10)
    assert recipient_keys(again) == recipient_keys(first)
    await spool.close()


async def the_lease_of_a_commit_expires(make: Make) -> None:
    """A lease that was given with a commit expires like any other."""
    spool = await make()
    stored = await store(spool, "b@x.test", "c@x.test", owner="gone", until=NOW + 60)
    (lease,) = await spool.lease("two", NOW + 60, NOW + 120, limit=10)
    assert recipient_keys([lease]) == recipient_keys(stored.leases)
    assert lease.message == stored.message
    # The first owner was only slow: its delivery counts, its deferral does not.
    (settled, deferred) = (
        settle_all(stored.leases[0], RecipientState.DELIVERED)[:1],
        settle_all(stored.leases[0], RecipientState.WAITING, NOW + 1)[1:],
    )
    await spool.record(stored.leases[0], [*settled, *deferred])
    entry = await spool.queries.entry(stored.message.id)
    assert entry is not None
    assert [w.state for w in entry.recipients] == [RecipientState.DELIVERED, RecipientState.WAITING]
    assert await spool.lease("three", NOW + 61, NOW + 120, limit=10) == []
    await spool.record(lease, settle_all(lease, RecipientState.FAILED))
    assert await spool.queries.count() == 0
    await spool.close()


async def due_work_comes_oldest_first(make: Make) -> None:
    """A lease has only what is due, the oldest first, and no more than the limit."""
    spool = await make()
    for due in (30.0, 10.0, 20.0, 40.0, 1000.0):
        await store(spool, f"b@d{due:.0f}.test", "c@same.test", due=NOW + due)
    leases = await spool.lease("w", NOW + 50, NOW + 500, limit=4)
    assert (
        sorted(recipient.due for lease in leases for recipient in lease.recipients) == [NOW + 10] * 2 + [NOW + 20] * 2
    )
    leases = await spool.lease("w", NOW + 50, NOW + 500, limit=100)
    assert (
        sorted(recipient.due for lease in leases for recipient in lease.recipients) == [NOW + 30] * 2 + [NOW + 40] * 2
    )
    assert [lease.recipients[0].due for lease in leases] == sorted(lease.recipients[0].due for lease in leases)
    assert await next_due(spool, NOW) == NOW + 500
    await spool.close()


async def lease_groups_by_message_and_destination(make: Make) -> None:
    """One lease has the recipients of one message for one destination."""
    spool = await make()
    ids = [(await store(spool, "a@x.test", "b@y.test", "c@x.test")).message.id for _ in range(2)]
    leases = await spool.lease("w", NOW, NOW + 60, limit=100)
    found = sorted((lease.message.id, lease.destination, tuple(r.key for r in lease.recipients)) for lease in leases)
    assert found == sorted((i, d, k) for i in ids for d, k in (("x.test", (0, 2)), ("y.test", (1,))))
    await spool.close()


async def only_wanted_destinations_are_leased(make: Make) -> None:
    """A lease that names destinations takes nothing for others, the oldest first; ``due`` tells them in pages."""
    spool = await make()
    for n in range(5):
        await store(spool, f"a@dead{n}.test", due=NOW)
    await store(spool, "a@live.test", due=NOW + 5)
    expected = [DueDestination(f"dead{n}.test", NOW) for n in range(5)] + [DueDestination("live.test", NOW + 5)]
    page = await spool.due(NOW)
    assert page.destinations == tuple(expected), "due or not yet, by their time and name"
    assert page.again is None
    pages = [await spool.due(NOW, limit=4), await spool.due(NOW, limit=4, after=expected[3])]
    assert [len(page.destinations) for page in pages] == [4, 2]
    assert pages[0].destinations + pages[1].destinations == tuple(expected)
    leases = await spool.lease("w", NOW + 5, NOW + 60, limit=3, wanted=["live.test", "none.test"])
    assert [lease.destination for lease in leases] == ["live.test"]
    assert await spool.lease("w", NOW + 5, NOW + 60, limit=3, wanted=["live.test"]) == []
    assert await spool.lease("w", NOW + 5, NOW + 60, limit=3, wanted=[]) == []
    leases = await spool.lease("w", NOW + 5, NOW + 60, limit=1, wanted=["dead3.test", "dead2.test"])
    assert len(leases) == 1
    assert len(await spool.lease("w", NOW + 5, NOW + 60, limit=3)) == 3
    for names, probes in (([f"d{n}.test" for n in range(MOST_NAMES + 1)], ()), (["a.test"], ("b.test",) * MOST_NAMES)):
        try:
            await spool.lease("w", NOW, NOW + 60, limit=1, wanted=names, probe=ProbeLimit(probes, 1))
        except LocalError:
            continue
        raise AssertionError("more names were taken than a call may have")
    await spool.close()


async def due_before_is_apart_from_now(make: Make) -> None:
    """Only what was due at ``due_before`` is leased, and what the lease does happens at ``now``."""
    spool = await make()
    await store(spool, "a@x.test", due=NOW - 3600)
    await store(spool, "b@x.test", due=NOW - 10)
    (lease,) = await spool.lease("w", NOW, NOW + 60, limit=9, due_before=NOW - 3600)
    assert lease.recipients[0].recipient.address.local == "a"
    assert lease.until == NOW + 60
    assert await spool.lease("w", NOW + 59, NOW + 90, limit=9, due_before=NOW - 3600) == []
    assert len(await spool.lease("w", NOW + 60, NOW + 90, limit=9)) == 2
    await spool.close()


async def unproven_destinations_are_probed(make: Make) -> None:
    """Unproven destinations get one message each, within the probe limit; proven ones get all that is due."""
    spool = await make()
    for n in range(3):
        await store(spool, "a@old.test", "b@old.test", "c@old.test", due=NOW + n)
        await store(spool, "a@other.test", due=NOW + n)
        await store(spool, "a@known.test", due=NOW + 3 + n)

    async def leased(known: set[str], at_most: int, limit: int = 100) -> list[tuple[str, int]]:
        probe = ProbeLimit(tuple(sorted({"old.test", "other.test", "known.test"} - known)), at_most)
        leases = await spool.lease("w", NOW + 9, NOW + 60, limit=limit, wanted=known, probe=probe)
        return sorted((lease.destination, len(lease.recipients)) for lease in leases)

    assert await leased(set(), 0) == []
    assert await leased({"known.test"}, 0, limit=1) == [("known.test", 1)]
    assert await leased({"known.test"}, 10) == [("known.test", 1)] * 2 + [("old.test", 3), ("other.test", 1)]
    assert await leased(set(), 2) == [("old.test", 2)], "the oldest first, and no more than that"
    assert await leased({"old.test"}, 1) == [("old.test", 1), ("old.test", 3), ("other.test", 1)]
    assert await leased(set(), 100) == [("other.test", 1)]
    await spool.close()


async def deferral_comes_again(make: Make) -> None:
    """A deferred recipient is due at its new time, with one attempt more and the last reply."""
    spool = await make()
    for owner in ("", "w"):
        stored = await store(spool, "b@x.test", owner=owner, until=NOW + 60)
        leases = stored.leases or await spool.lease("w", NOW, NOW + 60, limit=1)
        (lease,) = leases
        await spool.record(lease, settle_all(lease, RecipientState.WAITING, NOW + 300))
        assert await next_due(spool, NOW) == NOW + 300
        assert await spool.lease("w", NOW + 299, NOW + 400, limit=1) == []
        (again,) = await spool.lease("w", NOW + 300, NOW + 400, limit=1)
        assert again.recipients[0].attempts == 1
        assert "4.2.0" in again.recipients[0].last
        await spool.record(again, settle_all(again, RecipientState.DELIVERED))
        assert await spool.queries.count() == 0
    await spool.close()


async def unsettled_recipients_are_released(make: Make) -> None:
    """Recipients without a settlement, and released ones, are due at once, and no attempt is counted."""
    spool = await make()
    stored = await store(spool, "b@x.test", "c@x.test", owner="w", until=NOW + 60)
    (lease,) = stored.leases
    await spool.record(lease, settle_all(lease, RecipientState.DELIVERED)[:1])
    (rest,) = await spool.lease("w", NOW, NOW + 60, limit=10)
    assert [(r.key, r.attempts) for r in rest.recipients] == [(1, 0)]
    await spool.release(rest)
    assert recipient_keys(await spool.lease("w", NOW, NOW + 60, limit=10)) == recipient_keys([rest])
    fresh = await store(spool, "d@y.test", owner="w", until=NOW + 60)
    await spool.release(fresh.leases[0])
    assert recipient_keys(await spool.lease("w", NOW, NOW + 60, limit=10)) == recipient_keys(fresh.leases)
    await spool.close()


async def a_token_names_one_holding(make: Make) -> None:
    """A lease taken again has another token, even where owner and end are the same; the old one changes nothing."""
    spool = await make()
    await store(spool, "b@x.test")
    (first,) = await spool.lease("w", NOW, NOW + 60, limit=1)
    assert spool.holds(first)
    assert spool.accepting()
    await spool.release(first)
    (second,) = await spool.lease("w", NOW, NOW + 60, limit=1)
    assert second == first._replace(token=second.token)
    assert second.token != first.token
    await spool.release(first)
    await spool.record(first, settle_all(first, RecipientState.WAITING, NOW + 5))
    await spool.renew([first], NOW + 500).done
    assert await spool.lease("v", NOW + 59, NOW + 90, limit=1) == []
    assert len(await spool.lease("v", NOW + 60, NOW + 90, limit=1)) == 1
    await spool.close()


async def release_respects_the_next_holder(make: Make) -> None:
    """Releasing an expired lease does not end the lease of the next owner."""
    spool = await make()
    stored = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    await spool.lease("two", NOW + 60, NOW + 120, limit=10)
    await spool.release(stored.leases[0])
    assert await spool.lease("three", NOW + 61, NOW + 120, limit=10) == []
    await spool.close()


async def renewed_leases_last(make: Make) -> None:
    """A renewed lease lasts until its new end, and is recorded with it.  An expired one is not renewed."""
    spool = await make()
    for owner in ("", "w"):
        stored = await store(spool, "b@x.test", owner=owner, until=NOW + 60)
        leases = stored.leases or await spool.lease("w", NOW, NOW + 60, limit=1)
        renewal = spool.renew(leases, NOW + 200)
        await renewal.done
        assert await spool.lease("two", NOW + 199, NOW + 300, limit=1) == []
        assert await next_due(spool, NOW) == NOW + 200
        (lease,) = renewal.leases
        assert lease == leases[0]._replace(until=NOW + 200, token=lease.token)
        assert lease.token != leases[0].token
        await spool.record(leases[0], settle_all(leases[0], RecipientState.WAITING, NOW + 90))
        assert await next_due(spool, NOW) == NOW + 200, "a record under the old token changes nothing"
        await spool.release(leases[0])
        assert await next_due(spool, NOW) == NOW + 200
        await spool.record(lease, settle_all(lease, RecipientState.WAITING, NOW + 500))
        assert await next_due(spool, NOW) == NOW + 500
        (again,) = await spool.lease("w", NOW + 500, NOW + 600, limit=1)
        (other,) = await spool.lease("two", NOW + 600, NOW + 700, limit=1)
        await spool.renew([again], NOW + 900).done
        assert await next_due(spool, NOW) == NOW + 700
        await spool.record(other, settle_all(other, RecipientState.DELIVERED))
    await spool.renew([other], NOW + 900).done
    assert await spool.queries.count() == 0
    await spool.close()


async def held_recipients_stay(make: Make) -> None:
    """A held recipient is not leased, and stays in the spool."""
    spool = await make()
    stored = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    await spool.record(stored.leases[0], settle_all(stored.leases[0], RecipientState.HELD))
    assert await spool.lease("w", NOW + 999, NOW + 9999, limit=10) == []
    assert await next_due(spool, NOW) is None
    assert await spool.queries.count() == 1
    await spool.close()


async def reports_come_with_the_settlement(make: Make) -> None:
    """A report is stored in the transaction of the settlements that cause it, and is leased like any message."""
    spool = await make()
    stored = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    report = Report(Envelope(None, recipients("a@sohu.com")), b"Subject: failed\r\n\r\n", ("sohu.com",), NOW)
    await spool.record(stored.leases[0], settle_all(stored.leases[0], RecipientState.FAILED), [report])
    assert await spool.queries.entry(stored.message.id) is None
    (lease,) = await spool.lease("w", NOW, NOW + 60, limit=10)
    assert lease.message.envelope == report.envelope
    assert octets_of(await spool.open_content(lease.message)) == report.content
    await spool.close()


async def recording_twice_is_harmless(make: Make) -> None:
    """Recording an attempt again, after the message is finished, changes nothing."""
    spool = await make()
    stored = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    other = await store(spool, "b@x.test", owner="w", until=NOW + 60)
    twice = [spool.record(stored.leases[0], settle_all(stored.leases[0], RecipientState.DELIVERED)) for _ in range(2)]
    await asyncio.gather(*twice)
    await spool.record(stored.leases[0], settle_all(stored.leases[0], RecipientState.WAITING, NOW + 1))
    assert [entry.message.id for entry in await unfinished(spool)] == [other.message.id]
    await spool.close()


async def failed_is_for_good(make: Make) -> None:
    """FAILED is final: with its last recipient the message is removed, with or without a report."""
    spool = await make()
    stored = await store(spool, "b@x.test", "c@x.test", owner="w", until=NOW + 60)
    first, second = settle_all(stored.leases[0], RecipientState.FAILED)
    await spool.record(stored.leases[0]._replace(recipients=stored.leases[0].recipients[:1]), [first])
    entry = await spool.queries.entry(stored.message.id)
    assert entry is not None
    assert [recipient.state for recipient in entry.recipients] == [RecipientState.FAILED, RecipientState.WAITING]
    await spool.record(stored.leases[0], [second])
    assert await spool.queries.entry(stored.message.id) is None
    assert await spool.queries.count() == 0
    await spool.close()


async def a_warning_is_remembered(make: Make) -> None:
    """A settlement with a warning shows in each later lease and in ``entry``; the history has it once, and only where a
    report told the sender of the delay."""
    spool = await make()
    await store(spool, "b@x.test", "c@x.test")
    (lease,) = await spool.lease("w", NOW, NOW + 60, limit=10)
    assert [recipient.warned for recipient in lease.recipients] == [False, False]
    warning, other = settle_all(lease, RecipientState.WAITING, NOW + 100)
    report = Report(Envelope(None, recipients("a@sohu.com")), b"Subject: late\r\n\r\n", ("sohu.com",), NOW + 999)
    await spool.record(lease, [warning._replace(warned=True, why="doubling"), other], [report])
    for now in (NOW + 100, NOW + 300):
        (lease,) = await spool.lease("w", now, now + 60, limit=10)
        assert [recipient.warned for recipient in lease.recipients] == [True, False]
        again, other = settle_all(lease, RecipientState.WAITING, now + 200)
        await spool.record(lease, [again._replace(warned=True), other])
    history = await spool.queries.history(lease.message.id)
    assert [event.keys for event in history if isinstance(event, QueueEvent) and event.kind == "warned"] == [(0,)]
    silent = await store(spool, "d@z.test")
    (lease,) = await spool.lease("w", NOW, NOW + 60, limit=10)
    (warning,) = settle_all(lease, RecipientState.WAITING, NOW + 100)
    await spool.record(lease, [warning._replace(warned=True)])
    history = await spool.queries.history(silent.message.id)
    assert [event for event in history if isinstance(event, QueueEvent)] == []
    await spool.close()


async def the_clock_takes_nothing_from_a_living_peer(two: MakePeers) -> None:
    """A live process keeps its leases, wherever the clock jumps, and can renew, release and record them."""
    ours, theirs = await two()
    await store(ours, "b@x.test")
    leases = [
        *(await ours.lease("w", NOW, NOW + 60, limit=1)),
        *(await store(ours, "c@x.test", "d@x.test", owner="w", until=NOW + 60)).leases,
        *(await store(ours, "e@y.test", owner="w", until=NOW + 60)).leases,
    ]
    late = NOW + 90_000
    assert await theirs.lease("w", late, late + 60, limit=10) == []
    behind = await store(theirs, "f@x.test", due=NOW + 5)  # behind all of them
    (found,) = await theirs.lease("w", late, late + 60, limit=1)
    assert found.message == behind.message
    due = await next_due(theirs, late)
    assert due is not None
    assert due <= late + 60
    renewal = ours.renew(leases[:1], late + 500)
    await renewal.done
    (renewed,) = renewal.leases
    await ours.record(renewed, settle_all(renewed, RecipientState.WAITING, late + 700))
    await ours.release(leases[1])
    (again,) = await theirs.lease("v", late, late + 60, limit=10)
    assert recipient_keys([again]) == recipient_keys([leases[1]])
    # A process leases its own expired leases again.
    (mine,) = await ours.lease("w", late + 100, late + 160, limit=10)
    assert recipient_keys([mine]) == recipient_keys([leases[2]])
    for spool, lease in ((ours, mine), (theirs, again), (theirs, found)):
        await spool.record(lease, settle_all(lease, RecipientState.DELIVERED))
    assert await next_due(ours, late) is not None
    assert await ours.queries.count() == await theirs.queries.count() == 1
    await ours.close()
    await theirs.close()


async def leases_of_a_dead_peer_are_free(two: MakePeers) -> None:
    """A process that has ended keeps no lease beyond its end by the clock, and no recipient is lost."""
    ours, theirs = await two()
    await store(ours, "b@x.test", "c@y.test")
    await ours.lease("w", NOW, NOW + 60, limit=1)
    await store(ours, "d@x.test", owner="w", until=NOW + 60)
    await ours.close()
    leases = await theirs.lease("v", NOW + 60, NOW + 120, limit=10)
    assert len(recipient_keys(leases)) == 3
    for lease in leases:
        await theirs.record(lease, settle_all(lease, RecipientState.DELIVERED))
    assert await theirs.queries.count() == 0
    await theirs.close()


LEASING_CHECKS: tuple[Check, ...] = (
    leases_are_exclusive_and_expire,
    the_lease_of_a_commit_expires,
    due_work_comes_oldest_first,
    lease_groups_by_message_and_destination,
    only_wanted_destinations_are_leased,
    due_before_is_apart_from_now,
    unproven_destinations_are_probed,
    deferral_comes_again,
    unsettled_recipients_are_released,
    a_token_names_one_holding,
    release_respects_the_next_holder,
    renewed_leases_last,
    held_recipients_stay,
    reports_come_with_the_settlement,
    recording_twice_is_harmless,
    failed_is_for_good,
    a_warning_is_remembered,
)

PEER_CHECKS: tuple[PeerCheck, ...] = (
    the_clock_takes_nothing_from_a_living_peer,
    leases_of_a_dead_peer_are_free,
)
