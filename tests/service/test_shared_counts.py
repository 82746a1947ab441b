"""Counts that worker processes share: sessions, events of a minute or an hour, and what a dead worker leaves."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.service.policy.shared_counts import SharedCounts

HOUR = 3_600.0


def test_the_sessions_of_all_workers_are_counted_together() -> None:
    parent = SharedCounts(3)
    workers = [parent.seen_by(number) for number in range(3)]
    key = parent.cells("mx host 192.0.2.1")
    for worker in workers:
        worker.sessions.add(key)
    assert [worker.sessions.of(key) for worker in workers] == [3, 3, 3]
    assert workers[0].sessions.of(parent.cells("mx host 192.0.2.2")) == 0
    workers[1].sessions.remove(key)
    assert workers[2].sessions.of(key) == 2


def test_another_process_sees_what_a_worker_counts() -> None:
    parent = SharedCounts(2)
    key = parent.cells("key")
    pid = os.fork()
    if pid == 0:
        mine = parent.seen_by(1)
        mine.sessions.add(key)
        mine.hour.add(key, 7, 100.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert parent.seen_by(0).sessions.of(key) == 1
    assert parent.seen_by(0).hour.of(key, 100.0) == 7


def test_a_killed_worker_gives_its_sessions_back_and_its_messages_stay_counted() -> None:
    parent = SharedCounts(2)
    key = parent.cells("key")
    parent.seen_by(0).sessions.add(key)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = parent.seen_by(1)
        mine.sessions.add(key)
        mine.hour.add(key, 5, 10.0)
        os.write(write, b".")
        signal.pause()
        os._exit(1)
    assert os.read(read, 1) == b"."
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    assert parent.sessions.of(key) == 2
    parent.worker_died(1)
    assert parent.sessions.of(key) == 1
    assert parent.hour.of(key, 10.0) == 5
    again = parent.seen_by(1)  # its replacement
    again.hour.add(key, 1, 11.0)
    assert parent.hour.of(key, 11.0) == 6


def test_a_session_that_was_never_counted_takes_none_away() -> None:
    counts = SharedCounts()
    key = counts.cells("key")
    counts.sessions.remove(key)
    assert counts.sessions.of(key) == 0


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
