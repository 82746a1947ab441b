"""Waiting for several blocking channels in one thread."""

from __future__ import annotations

import math
import selectors
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from posthouse.client.blocking_channel import BlockingChannel

__all__ = ["LONGEST_WAIT", "SocketWait", "earliest"]

#: Seconds of the longest single wait; some systems take no longer one.
LONGEST_WAIT = 3_600.0


def earliest(channels: Iterable[BlockingChannel], seconds: float | None, now: float) -> float:
    """Seconds until a time limit of a channel has ended, at most ``seconds``."""
    ends = now + (LONGEST_WAIT if seconds is None else min(seconds, LONGEST_WAIT))
    for channel in channels:
        ends = min(ends, channel.due)
    return max(0.0, ends - now)


class SocketWait:
    """The waits of one burst, for channels that are mostly the same from wait to wait; used with ``with``.

    The system's list of descriptors is kept between waits: making it anew for 20 channels took 70 µs each time.
    """

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        self._registered: dict[BlockingChannel, int] = {}

    def for_any(self, wanted: dict[BlockingChannel, int], seconds: float | None) -> None:
        """Wait until one of the channels can go on, at most for ``seconds``, and take in what has arrived; time limits
        that are over have their effect.

        ``wanted`` has what each channel waits for, as its ``advance`` has said.
        """
        if len(wanted) == 1:
            [(channel, events)] = wanted.items()
            channel.wait(events, math.inf if seconds is None else seconds)
            return
        selector = self._selector = self._selector or selectors.DefaultSelector()
        self._register(selector, wanted)
        for key, ready in selector.select(earliest(wanted, seconds, time.monotonic())):
            if ready & selectors.EVENT_READ and isinstance(key.fileobj, BlockingChannel):
                key.fileobj.ready()
        now = time.monotonic()
        for channel in wanted:
            if channel.due <= now:
                channel.expired()

    def _register(self, selector: selectors.BaseSelector, wanted: dict[BlockingChannel, int]) -> None:
        registered = self._registered
        if registered == wanted:
            return
        for channel in registered.keys() - wanted.keys():  # first: another channel may have its number by now
            selector.unregister(channel)
        for channel, events in wanted.items():
            if channel not in registered:
                selector.register(channel, events)
            elif registered[channel] != events:
                selector.modify(channel, events)
        self._registered = wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._selector is not None:
            self._selector.close()
