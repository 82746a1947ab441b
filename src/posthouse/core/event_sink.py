"""Event sink: the function to which components report events, which become lines of the log."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["EventSink"]


class EventSink(Protocol):
    """A function that takes an event's name and its facts (``service.daemon.event_log.EventLog`` is one).

    A sink with a method ``each`` takes facts that are equal for many recipients in one call.
    """

    def __call__(self, event: str, /, **facts: Any) -> None: ...
