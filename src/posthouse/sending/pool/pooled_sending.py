"""One message under way on a connection of a pool: its transfer, or the call of a transport."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from posthouse.client.pipeline import Pipeline
from posthouse.client.transfer import Transfer
from posthouse.core import LocalError, Outcome, Result
from posthouse.core._mypyc import mypyc_attr
from posthouse.sending.connection.failures import completed
from posthouse.sending.messages.fitting import Fitted, fit, fits
from posthouse.sending.pool.pool_base import PoolCall
from posthouse.sending.pool.pool_request import Delivered
from posthouse.sending.results import SendResult
from posthouse.sending.transports.handing_over import begun
from posthouse.sending.transports.schemes import Transport

__all__ = ["PooledSending", "SessionSending", "TransportConnection", "TransportSending"]


_DELIVERED: Final = Result.DELIVERED  # an attribute of an enumeration costs ten times a global name


class PooledSending(Protocol):
    """A message that was begun."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def pending(self) -> Awaitable[SendResult] | None:
        """What has to be awaited for it to end; None if the connection does that."""
        ...

    def tell(self, ended: Callable[[], object]) -> None:
        """Call ``ended`` when it ends; it has not ended yet."""
        ...

    def answered(self, result: SendResult | Exception) -> None:
        """``pending`` was awaited."""
        ...

    def end(self, now: float) -> Delivered:
        """The outcomes, once it is done; ``now`` is on the monotonic clock.  Raises the exception of this side."""
        ...


class SessionSending:
    """A message on a session, behind those that are under way.  Its content is never sent along with its envelope."""

    __slots__ = ("_call", "_channel", "_fitted", "_on_end", "_transfer", "done")

    pending = None

    def __init__(self, channel: Pipeline, call: PoolCall) -> None:
        self._call = call
        self._channel = channel
        envelope, content = call.message
        self._fitted: Fitted | None = None  # of a message that was not sent as it is
        self._transfer: Transfer | None = None
        self._on_end: Callable[[], object] | None = None
        #: Whether it has ended.
        self.done = True
        capabilities = channel.sender.capabilities
        if not fits(capabilities, envelope):
            self._fitted = fitted = fit(capabilities, envelope, content, channel.peer)
            envelope, content = fitted.envelope, fitted.content
        if envelope.recipients:
            channel.cautious = True
            self._transfer = transfer = Transfer(channel, envelope, content)
            if transfer.outcomes is None and transfer.error is None:
                self.done = False
                transfer.ended = self._over

    def _over(self) -> None:
        self.done = True
        if self._on_end is not None:
            self._on_end()

    def tell(self, ended: Callable[[], object]) -> None:
        self._on_end = ended

    def answered(self, result: SendResult | Exception) -> None:
        raise AssertionError("nothing is pending")

    def end(self, now: float) -> Delivered:
        transfer = self._transfer
        given: tuple[Outcome, ...] = ()
        if transfer is not None:
            if transfer.outcomes is None:
                raise transfer.error or LocalError("the transfer has not ended")
            given = transfer.outcomes
        if self._fitted is not None:
            given = self._fitted.join(given, self._call.message.envelope.recipients)
        elapsed = now - self._call.began
        fault = self._channel.fault
        if len(given) == 1:
            outcome = given[0]
            if outcome.result is _DELIVERED:  # ``completed`` has nothing to add but the time
                outcome = tuple.__new__(Outcome, (*outcome[:8], elapsed))
            else:
                outcome = completed(outcome, elapsed)
            return tuple.__new__(Delivered, ((outcome,), "", fault))
        return Delivered(tuple([completed(each, elapsed) for each in given]), "", fault)


class TransportSending:
    """A message that was given to a transport."""

    __slots__ = ("_result", "pending")

    def __init__(self, transport: Transport, call: PoolCall) -> None:
        self.pending: Awaitable[SendResult] | None = None
        self._result: SendResult | Exception | None = None
        try:
            seconds = None if call.deadline.seconds is None else call.deadline.left
            result = begun(transport, call.message, seconds, False)
        except Exception as error:
            self._result = error
            return
        if isinstance(result, SendResult):
            self._result = result
        else:
            self.pending = result

    @property
    def done(self) -> bool:
        return self._result is not None

    def tell(self, ended: Callable[[], object]) -> None:
        """It has ended, or ``pending`` is awaited."""

    def answered(self, result: SendResult | Exception) -> None:
        self.pending = None
        self._result = result

    def refuse(self, name: str) -> None:
        """End, because a transport that is awaited was used without an event loop."""
        if inspect.iscoroutine(self.pending):
            self.pending.close()
        self.answered(LocalError(f"{name} is asynchronous; use it with `async with Pool(…)`"))

    def end(self, now: float) -> Delivered:
        result = self._result
        if not isinstance(result, SendResult):
            raise result or LocalError("the transport has not answered")
        return Delivered(result.outcomes, result.queue_id)


@mypyc_attr(allow_interpreted_subclasses=True)
class TransportConnection:
    """A transport in the place of a connection, so that the limits of the pool hold for it too."""

    __slots__ = ("transport",)

    usable = True
    most_messages = None
    tail = ()

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def leave(self) -> None: ...

    def abort(self) -> None: ...

    def forget(self) -> None: ...
