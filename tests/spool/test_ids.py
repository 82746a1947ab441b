"""Queue ids: unique, growing, readable."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.spool.ids import QueueIds, number_of, text_of, worker_of


@given(st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1))
@settings(deadline=None, max_examples=200)
def test_text_and_number_are_each_others_inverse_and_sort_alike(one: int, two: int) -> None:
    assert number_of(text_of(one)) == one
    assert (text_of(one) < text_of(two)) == (one < two)
    assert len(text_of(one)) == 13


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "o" * 13, "0" * 12 + "A", "z" * 13, "../../etc/pa", "٠" * 13])
def test_what_is_no_id_has_no_number(text: str) -> None:
    assert number_of(text) is None


def test_ids_grow_whatever_the_clock_does() -> None:
    times = iter([100.0] * 5000 + [50.0] * 10 + [100.5] * 10)
    ids = QueueIds(5, random=random.Random(1), time=lambda: next(times))
    numbers = [ids.next() for _ in range(5020)]
    assert numbers == sorted(set(numbers))
    assert {worker_of(number) for number in numbers} == {5}


def test_ids_of_two_workers_never_meet() -> None:
    one, two = (QueueIds(worker, random=random.Random(1), time=lambda: 1e9) for worker in (0, 1023))
    assert not {one.next() for _ in range(5000)} & {two.next() for _ in range(5000)}


def test_ids_exceed_what_is_stored() -> None:
    later = QueueIds(3, random=random.Random(1), time=lambda: 2e9).next()
    ids = QueueIds(3, random=random.Random(2), time=lambda: 1e9, after=later)
    assert ids.next() > later


def test_a_worker_has_ten_bits() -> None:
    with pytest.raises(ValueError, match="1024"):
        QueueIds(1024, random=random.Random(1), time=lambda: 0)
