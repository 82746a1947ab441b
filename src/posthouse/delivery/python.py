"""Delivery to a function of the operator's own: ``deliver = "python:module:object"``.

The object, the *handler*, is called once for each recipient, ``object(envelope, content)``: the envelope has that one
recipient, and the content can be read in pieces, any number of times (``for chunk in content.chunks()``, or ``async for
chunk in content``, which reads in a thread what lies on a disk).  Returning means *delivered*; the returned value does
not matter.  Raising ``Defer`` or ``Reject`` defers or fails the recipient; any other exception, and taking longer than
allowed, counts as a crash of the handler and defers.  Because each recipient has a call of its own, a handler is never
given again what it has taken, whatever happened to the other recipients.

A generator is refused as a handler, and as its result: its code would not run.

Coroutines run on the event loop, other functions in a thread (``handler_calls``).

Modules are imported when the daemon starts, or at the first delivery, so that commands that only look at the queue run
none of this code.  A name that leads to no handler is a mistake in the configuration: the daemon does not start with it
(``PythonDeliverer.load``).  Where it becomes one later, the mail is deferred, with that as the reason, until it is
corrected.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

from posthouse.core import Bytes, Content, Defer, Envelope, NotDelivered, Outcome, Reply, Result, SettingError
from posthouse.delivery.handler_calls import HandlerCalls, HandlerCrash, described, unusable
from posthouse.delivery.model import Deliverer, Delivery, all_of, lease_lost
from posthouse.net import Clock

__all__ = ["DeliveredMessage", "PythonDeliverer", "find_object", "load_handler"]

_LONGEST_TEXT = 400  # characters of a handler's text in its outcome
_UNUSABLE: Final = Reply(451, "4.3.5", "the delivery of this mail is not usable")
_CRASHED: Final = Reply(451, "4.3.0", "local error in delivery")
_TOO_LONG: Final = Reply(451, "4.4.7", "delivery took too long")
_DONE: Final = Reply(250, "2.0.0", "delivered")


class DeliveredMessage:
    """The content that a handler is given: with CRLF line ends, not dot-stuffed."""

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """The number of octets."""
        return self._content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order, in pieces of at most ``at_most``.  May read a disk."""
        return self._content.chunks(at_most)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The octets in order, in pieces; the event loop never waits for a disk."""
        pieces = self._content.chunks()
        if isinstance(self._content, Bytes):
            for piece in pieces:
                yield piece
            return
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


_Handler = Callable[[Envelope, DeliveredMessage], Any]


def find_object(target: str, where: str) -> Any:
    """Import the module and return the object that ``module:object`` names.

    Raises ``SettingError`` with the place ``where`` of the setting.
    """
    name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(where, name, error) from error
        remedy = "correct the name, or put its directory into PYTHONPATH where posthouse is started"
        raise SettingError(f'there is no module "{error.name}"', where=where, remedy=remedy) from error
    except (Exception, SystemExit) as error:  # a module may do anything while it is imported
        raise _broken(where, name, error) from error
    for part in path.split("."):
        if not hasattr(found, part):
            remedy = "correct the name"
            raise SettingError(f'the module "{name}" has no "{path}"', where=where, remedy=remedy)
        found = getattr(found, part)
    return found


def load_handler(target: str) -> _Handler:
    """Import the module and return the handler that ``module:object`` names.  Raises ``SettingError``."""
    where = f'deliver = "python:{target}"'
    name, _, path = target.partition(":")
    found = find_object(target, where)
    if isinstance(found, type) or not callable(found):
        what = "is a class" if isinstance(found, type) else "cannot be called"
        remedy = "name a function, or an object with a __call__(envelope, content)"
        raise SettingError(f'"{path}" of "{name}" {what}', where=where, remedy=remedy)
    if why := unusable(found, "envelope", "content"):
        remedy = "name a function that takes envelope and content, and move a yield into another that it calls"
        raise SettingError(f'"{path}" of "{name}" {why}', where=where, remedy=remedy)
    handler: _Handler = found
    return handler


def _broken(where: str, name: str, error: BaseException) -> SettingError:
    cause = f'the module "{name}" fails while it is imported: {described(error)}'
    return SettingError(cause, where=where, remedy="mend it")


class PythonDeliverer(Deliverer):
    """A deliverer to handlers; a target is ``module:object``.

    One call may take ``timeout`` seconds; at most ``threads`` functions run at one time.
    """

    def __init__(self, clock: Clock, *, timeout: float = 300.0, threads: int = 16) -> None:
        self._calls = HandlerCalls(clock, timeout=timeout, threads=threads)
        self._handlers: dict[str, _Handler] = {}

    async def load(self, target: str) -> _Handler:
        """The handler of a target, imported in a thread if it has not been yet.  Raises ``SettingError``."""
        handler = self._handlers.get(target)
        if handler is not None:
            return handler
        try:
            handler = await self._calls.in_time(self._calls.in_thread(load_handler, target))
        except SettingError:
            raise
        except TimeoutError as error:
            raise SettingError(f'importing "{target}" took longer than {self._calls.timeout:g} seconds') from error
        except Exception as error:  # no thread can be started, or the import raised what is no Exception
            raise SettingError(f'"python:{target}" cannot be imported: {described(error)}') from error
        self._handlers[target] = handler
        return handler

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        """Call the handler once for each recipient, in their order."""
        try:
            handler = await self.load(target)
        except SettingError as error:
            return all_of(delivery.recipients, Result.DEFERRED, str(error), _UNUSABLE)
        peer = f"python:{target}"
        message = DeliveredMessage(delivery.content)
        outcomes: list[Outcome] = []
        for recipient in delivery.recipients:
            if delivery.lost:
                return [*outcomes, *lease_lost(delivery.to(delivery.recipients[len(outcomes) :]), peer)]
            envelope = delivery.envelope._replace(recipients=(recipient,))
            result, reply, reason = await self._call(handler, envelope, message)
            outcomes.append(Outcome(recipient, result, reply, reason, peer))
        return outcomes

    async def _call(
        self, handler: _Handler, envelope: Envelope, message: DeliveredMessage
    ) -> tuple[Result, Reply, str]:
        try:
            await self._calls.in_time(self._run(handler, envelope, message))
        except NotDelivered as raised:
            text = " ".join(raised.reply.text.split())[:_LONGEST_TEXT]
            result = Result.DEFERRED if isinstance(raised, Defer) or raised.reply.transient else Result.FAILED
            return result, raised.reply._replace(text=text), f"the handler said: {described(raised)}"
        except TimeoutError:
            return Result.DEFERRED, _TOO_LONG, f"the handler took longer than {self._calls.timeout:g} seconds"
        except Exception as error:
            return Result.DEFERRED, _CRASHED, f"the handler crashed: {described(error)}"
        return Result.DELIVERED, _DONE, "the handler took it"

    async def _run(self, handler: _Handler, envelope: Envelope, message: DeliveredMessage) -> None:
        try:
            if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
                answer = await handler(envelope, message)
            else:
                answer = await self._calls.in_thread(handler, envelope, message)
                if inspect.isawaitable(answer):
                    answer = await answer
        except asyncio.CancelledError:  # of this attempt, or raised by the handler itself
            raise
        except BaseException as error:
            # TimeoutError would pass for that of _in_time; what is no Exception ends the event loop, or the attempt.
            if isinstance(error, Exception) and not isinstance(error, TimeoutError):
                raise
            raise HandlerCrash(described(error)) from error
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer) or inspect.iscoroutine(answer):
            if not inspect.isasyncgen(answer):
                answer.close()
            what = "an async generator" if inspect.isasyncgen(answer) else f"a {type(answer).__name__}"
            raise HandlerCrash(
                f"it returned {what}, which nothing runs; await it, or take the yield out of the handler"
            )
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            what = answer.__name__ if isinstance(answer, type) else described(answer)
            raise HandlerCrash(f"it returned {what} and did not raise it; write raise in place of return")
