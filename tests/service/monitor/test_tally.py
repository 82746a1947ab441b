"""The tally: what several worker processes count, and what is left when one of them dies."""

from __future__ import annotations

from posthouse.core import Reply
from posthouse.service.monitor.tally import COUNTERS, Tally
from posthouse.service.policy.shared_counts import SharedCounts

ACCEPTED = {"size": 1000, "recipients": 3}
UNKNOWN = Reply(550, "5.1.1", "No such mailbox")


def test_counts_of_all_workers_are_added() -> None:
    counts = SharedCounts(3)
    tallies = [counts.seen_by(number).tally for number in range(3)]
    for number, tally in enumerate(tallies):
        for _ in range(number + 1):
            tally.take("accepted", ACCEPTED)
        tally.take("delivered", {"destination": "far.test"}, 2)
        tally.session()
        tally.refused("RCPT", UNKNOWN)
    for tally in tallies:
        totals = tally.totals()
        assert (totals["accepted"], totals["octets"], totals["recipients"]) == (6, 6000, 18)
        assert (totals["delivered"], totals["sessions"], totals["refused"]) == (6, 3, 3)
        assert tally.refusals() == {"RCPT 550 5.1.1": 3}
    assert set(totals) == set(COUNTERS)


def test_an_event_that_is_not_counted_changes_nothing() -> None:
    tally = Tally()
    tally.take("listening", {})
    tally.take("octets", {})  # the name of a counter, and of no event
    assert set(tally.totals().values()) == {0}


def test_the_replacement_of_a_worker_goes_on_counting() -> None:
    counts = Tally(2)
    counts.seen_by(1).refused("RCPT", UNKNOWN)
    again = counts.seen_by(1)
    again.refused("DATA", Reply(552, "5.3.4", "Too large"))
    again.refused("RCPT", UNKNOWN)
    assert counts.refusals() == {"RCPT 550 5.1.1": 2, "DATA 552 5.3.4": 1}


def test_labels_beyond_the_room_share_one() -> None:
    tally = Tally(2).seen_by(1)
    for number in range(200):
        tally.refused("RCPT", Reply(550, f"5.1.{number}", "No"))
    found = tally.refusals()
    assert len(found) == 64
    assert found["other"] == 200 - 63
    assert sum(found.values()) == tally.totals()["refused"] == 200
    assert Tally(2).refusals() == {}


def test_the_busiest_destinations_are_kept() -> None:
    tally = Tally()
    for number in range(3_000):
        tally.take("delivered", {"destination": f"{number}.test"})
        tally.take("deferred", {"destination": "busy.test"})
    busy, *others = tally.destinations(10_000)
    assert busy == ("busy.test", 0, 3_000, 0)
    assert len(others) < 2_000


def test_refusals_that_are_logged_are_passed_on() -> None:
    tally = Tally()
    heard: list[object] = []
    tally.on_refused = heard.append
    tally.take("refused", {"source": "mx 192.0.2.1:25000"})
    assert heard == [{"source": "mx 192.0.2.1:25000"}]
