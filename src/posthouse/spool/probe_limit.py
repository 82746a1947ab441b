"""Leasing little for destinations that nothing good is known of.

The relay names the destinations whose mail it wants.  Those that are unproven it names in a ``ProbeLimit``: the spool
leases a single message for each of them, with those of its recipients that are due together, and no more than
``at_most`` recipients for all of them together.  So a destination with 1,000,000 recipients gives no more to try than
one with 3, and nothing is leased only to be given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["MOST_NAMES", "ProbeLimit", "one_message"]

#: Destinations that one call may name.
MOST_NAMES = 1000


class ProbeLimit(NamedTuple):
    """Unproven destinations whose mail is wanted, and how many recipients of all of them together at most."""

    destinations: tuple[str, ...]
    at_most: int


def one_message(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The first rows of a destination that belong to one message; each row's second column is the message."""
    first = None
    for row in rows:
        first = row[1] if first is None else first
        if row[1] != first:
            return
        yield row
