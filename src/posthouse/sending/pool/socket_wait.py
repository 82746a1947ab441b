"""Waiting for several blocking channels in one thread."""

from __future__ import annotations

import selectors
from collections.abc import Iterable

from posthouse.client.blocking_channel import BlockingChannel

__all__ = ["LONGEST_WAIT", "earliest", "socket_wait"]

#: Seconds of the longest single wait; some systems take no longer one.
LONGEST_WAIT = 3_600.0


def earliest(channels: Iterable[BlockingChannel], seconds: float | None, now: float) -> float:
    """Seconds until a time limit of a channel has ended, at most ``seconds``."""
    left = LONGEST_WAIT if seconds is None else seconds
    for channel in channels:
        left = min(left, channel.due - now)
        if channel.deadline is not None:
            left = min(left, channel.deadline.left)
    return max(0.0, left)


def socket_wait(wanted: dict[BlockingChannel, int], seconds: float) -> None:
    """Wait until one of the channels can go on, at most for ``seconds``, and take in what has arrived.

    ``wanted`` has what each channel waits for, as its ``advance`` has said.
    """
    with selectors.DefaultSelector() as selector:
        for channel, events in wanted.items():
            selector.register(channel, events)
        for key, ready in selector.select(seconds):
            if ready & selectors.EVENT_READ and isinstance(key.fileobj, BlockingChannel):
                key.fileobj.ready()
