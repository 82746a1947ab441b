"""Settlements of one attempt that say the same of many recipients.

A host that takes a message takes it from all its recipients with one reply, and a host that is away is away for all.
What is written of them, in rows, stories and log lines, is therefore worked out once for each *run*: recipients that
follow each other and ended alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from posthouse.spool.model import Settlement

__all__ = ["alike"]


def alike(settlements: Iterable[Settlement]) -> list[list[Settlement]]:
    """The settlements in their order, cut into runs that differ in nothing but recipient and key."""
    runs: list[list[Settlement]] = []
    like: tuple[object, ...] | None = None
    for settlement in settlements:
        _, state, due, outcome, why, warned = settlement
        now = (state, due, outcome[1:], why, warned)
        if now == like:
            runs[-1].append(settlement)
        else:
            like = now
            runs.append([settlement])
    return runs
