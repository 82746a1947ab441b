"""Counts that worker processes share: sessions, events of a minute or an hour, and what a dead worker leaves."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.service.policy.shared_counts import Cells, Places, SharedCounts, session_places

HOUR = 3_600.0


def session_of(cells: Cells) -> list[tuple[Places, int]]:
    """The only key that a session counts for; its limit does not matter."""
    return [(session_places(cells), 1)]


def open_sessions(counts: SharedCounts, cells: Cells) -> int:
    """How many are open: the lowest limit that is not reached, less one."""
    places = session_places(cells)
    return next(limit for limit in range(10) if counts.sessions.first_full([(places, limit + 1)]) < 0)


def test_the_sessions_of_all_workers_are_counted_together() -> None:
    parent = SharedCounts(3)
    workers = [parent.seen_by(number) for number in range(3)]
    key = parent.cells("mx host 192.0.2.1")
    for worker in workers:
        worker.sessions.add(session_of(key))
    assert [open_sessions(worker, key) for worker in workers] == [3, 3, 3]
    assert open_sessions(workers[0], parent.cells("mx host 192.0.2.2")) == 0
    workers[1].sessions.remove(session_of(key))
    assert open_sessions(workers[2], key) == 2


def test_another_process_sees_what_a_worker_counts() -> None:
    parent = SharedCounts(2)
    key = parent.cells("key")
    pid = os.fork()
    if pid == 0:
        mine = parent.seen_by(1)
        mine.sessions.add(session_of(key))
        mine.hour.add(key, 7, 100.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert open_sessions(parent.seen_by(0), key) == 1
    assert parent.seen_by(0).hour.of(key, 100.0) == 7


def test_a_killed_worker_gives_its_sessions_back_and_its_messages_stay_counted() -> None:
    parent = SharedCounts(2)
    key = parent.cells("key")
    parent.seen_by(0).sessions.add(session_of(key))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = parent.seen_by(1)
        mine.sessions.add(session_of(key))
        mine.hour.add(key, 5, 10.0)
        os.write(write, b".")
        signal.pause()
        os._exit(1)
    assert os.read(read, 1) == b"."
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    assert open_sessions(parent, key) == 2
    parent.worker_died(1)
    assert open_sessions(parent, key) == 1
    assert parent.hour.of(key, 10.0) == 5
    again = parent.seen_by(1)  # its replacement
    again.hour.add(key, 1, 11.0)
    assert parent.hour.of(key, 11.0) == 6


def test_the_first_key_whose_limit_is_reached_is_told() -> None:
    counts = SharedCounts()
    first, second = (session_places(counts.cells(name)) for name in ("first", "second"))
    counts.sessions.add([(first, 2), (second, 2)])
    assert counts.sessions.first_full([(first, 2), (second, 2)]) == -1
    assert counts.sessions.first_full([(first, 2), (second, 1)]) == 1
    assert counts.sessions.first_full([(first, 1), (second, 1)]) == 0


def test_a_session_that_was_never_counted_takes_none_away() -> None:
    counts = SharedCounts()
    key = counts.cells("key")
    counts.sessions.remove(session_of(key))
    assert open_sessions(counts, key) == 0


def test_events_leave_the_last_hour_little_by_little() -> None:
    counts = SharedCounts().hour
    key = SharedCounts().cells("key")
    counts.add(key, 100, HOUR - 1)
    assert counts.of(key, HOUR - 0.5) == 100
    assert counts.of(key, 1.5 * HOUR) == pytest.approx(50)
    assert counts.of(key, 2 * HOUR) == 0
    assert counts.of(key, 3.5 * HOUR) == 0


def test_a_window_that_begins_forgets_the_last_but_one() -> None:
    shared = SharedCounts()
    counts, key = shared.hour, shared.cells("key")
    counts.add(key, 9, 0.0)
    counts.add(key, 1, 2 * HOUR)  # the same place in memory
    assert counts.of(key, 2 * HOUR) == 1


def test_what_was_taken_back_does_not_count() -> None:
    shared = SharedCounts()
    counts, key = shared.hour, shared.cells("key")
    first = counts.add(key, 3, HOUR - 1)
    counts.add(key, 4, HOUR + 1)
    counts.take_back(key, 3, first)
    assert counts.of(key, HOUR + 1) == 4
    counts.take_back(key, 4, first - 2)  # a window that is forgotten
    assert counts.of(key, HOUR + 1) == 4


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 50)), max_size=60))
def test_a_count_is_never_too_low(events: list[tuple[str, int]]) -> None:
    shared = SharedCounts(2)
    workers = [shared.seen_by(0), shared.seen_by(1)]
    for number, (key, many) in enumerate(events):
        workers[number % 2].hour.add(shared.cells(key), many, 5.0)
    for key in "abcdefgh":
        assert shared.hour.of(shared.cells(key), 6.0) >= sum(many for each, many in events if each == key)


def test_one_busy_key_does_not_show_in_a_thousand_others() -> None:
    shared = SharedCounts()
    shared.hour.add(shared.cells("busy"), 1_000_000, 1.0)
    seen = [shared.hour.of(shared.cells(f"other {number}"), 1.0) for number in range(1_000)]
    assert max(seen) == 0
