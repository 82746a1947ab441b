"""Event sink: the function to which components report events, which become lines of the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from posthouse.core._mypyc import mypyc_attr

__all__ = ["CallbackSink", "EventSink", "event_sink"]


@mypyc_attr(allow_interpreted_subclasses=True)
class EventSink:
    """Takes events: a name, and facts by name (``service.daemon.event_log.EventLog`` is one)."""

    def __call__(self, event: str, /, **facts: Any) -> None:
        """Take one event.  Facts that are None or "" say nothing."""
        raise NotImplementedError

    def each(self, event: str, name: str, values: Sequence[str], /, **facts: Any) -> None:
        """Take one event for each value of the fact ``name``; the other facts are equal.  A None among ``facts`` may
        hold the place of ``name``."""
        for value in values:
            self(event, **(facts | {name: value}))

    def flush(self) -> None:
        """Write what has been gathered, because the process may end now."""


class CallbackSink(EventSink):
    """An event sink that calls a function."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, event: str, /, **facts: Any) -> None:
        self._function(event, **facts)


def event_sink(log: EventSink | Callable[..., object]) -> EventSink:
    """``log`` if it is an event sink, else one that calls it."""
    return log if isinstance(log, EventSink) else CallbackSink(log)
