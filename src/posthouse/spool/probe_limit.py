"""Leasing little for destinations that nothing good is known of: the queue's side of it.

Whoever leases names the destinations it knows (``ProbeLimit``).  For each other one it gets a single message, with
those of its recipients that are due together, and of all of these together no more recipients than it asks for.  So a
destination with a million recipients gives no more to try than one with three, and nothing is leased only to be given
back.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["Due", "ProbeLimit", "few_of", "one_message"]

#: When, which message, which recipient of it, and the destination.
Due = tuple[float, str, int, str]


class ProbeLimit(NamedTuple):
    """``known`` may change at any time, and is asked from the storage's own thread; ``at_most`` recipients are taken of
    all other destinations together."""

    known: Container[str]
    at_most: int


def one_message(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The first rows of a destination's that belong to one message, which is each row's second column."""
    first = None
    for row in rows:
        first = row[1] if first is None else first
        if row[1] != first:
            return
        yield row


def few_of(due: Iterable[Due], few: ProbeLimit) -> Iterator[Due]:
    """The same for rows of all destinations together, the oldest first."""
    messages: dict[str, str] = {}
    left = few.at_most
    for row in due:
        _, message, _, destination = row
        if destination not in few.known:
            if left <= 0 or messages.setdefault(destination, message) != message:
                continue
            left -= 1
        yield row
