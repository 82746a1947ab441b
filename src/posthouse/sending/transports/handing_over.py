"""Handing of a message to a transport, within a time limit and with a transcript where it has a dialogue."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Protocol, cast, runtime_checkable

from posthouse.core import Content, Envelope, LocalError, Outcome, Result
from posthouse.sending.connection.dialogue_record import TranscriptLike
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.results import SendResult
from posthouse.sending.transports.schemes import Transport

__all__ = ["awaited", "begun", "handed_over"]


@runtime_checkable
class _Limited(Protocol):
    """A transport that may take long, and ends in time by itself."""

    def deliver_within(
        self, envelope: Envelope, content: Content, seconds: float | None, transcript: TranscriptLike
    ) -> SendResult | Awaitable[SendResult]:
        """``deliver`` within so many seconds; None for its own limits."""
        ...


def handed_over(
    transport: Transport, ready: Outgoing, seconds: float | None, transcript: TranscriptLike = False
) -> SendResult:
    """Hand over without an event loop.  A transport without a dialogue (``file:``, ``memory:``, an object of the
    caller's) has nothing to wait for: the time limit does not concern it, and its transcript is empty.

    Raises ``LocalError`` for an asynchronous transport.
    """
    result = begun(transport, ready, seconds, transcript)
    if isinstance(result, SendResult):
        return result
    if inspect.iscoroutine(result):  # it will not be awaited
        result.close()
    raise LocalError(f"{type(transport).__name__} is asynchronous; use asend, or an asynchronous Client")


async def awaited(
    transport: Transport, ready: Outgoing, seconds: float | None, transcript: TranscriptLike = False
) -> SendResult:
    """Hand over in an event loop.  A transport of the caller's that has not answered in time is cancelled, and nothing
    is known of the message then: *ambiguous*."""
    import asyncio

    result = begun(transport, ready, seconds, transcript)
    if isinstance(result, SendResult):
        return result
    if seconds is None or isinstance(transport, _Limited):
        return await result
    try:
        async with asyncio.timeout(seconds) as limit:
            return await result
    except TimeoutError:
        if not limit.expired():
            raise
    reason = f"{type(transport).__name__} did not answer within {seconds:g} s; the message may have arrived"
    return SendResult([Outcome(each, Result.AMBIGUOUS, None, reason) for each in ready.envelope.recipients])


def begun(
    transport: Transport, ready: Outgoing, seconds: float | None, transcript: TranscriptLike
) -> SendResult | Awaitable[SendResult]:
    """Begin to hand over: the result, or what has to be awaited for it."""
    if isinstance(transport, _Limited):
        return cast(_Limited, transport).deliver_within(ready.envelope, ready.content, seconds, transcript)
    return transport.deliver(ready.envelope, ready.content)
