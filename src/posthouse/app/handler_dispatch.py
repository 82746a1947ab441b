"""Calls of an application's handlers for one message, and their answers as verdicts.

One dispatcher serves one event loop.  It knows no SMTP dialogue: a session, or a queue that delivers to the
application, gives it an envelope and content.  Whatever a handler does ends as a reply: an exception, a value that is
no answer and a call that takes too long are 451, so that the sender tries again, and each is a record in the log.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from posthouse.app.answers import CRASHED, OK, TOO_LATE, reply_of
from posthouse.app.message_stream import IncomingStream
from posthouse.app.received_content import read_content
from posthouse.app.registered_handler import Given, RegisteredHandler, is_coroutine_function
from posthouse.app.registrations import HandlerCall, Middleware, Registrations
from posthouse.app.session_info import SessionInfo
from posthouse.core import Address, Broken, Content, Envelope, NotDelivered, Recipient, Reply, Verdict
from posthouse.delivery.handler_calls import HandlerCalls, HandlerCrash, described
from posthouse.delivery.python import DeliveredMessage
from posthouse.message.reading import ReadMessage
from posthouse.net import Clock

__all__ = ["HandlerDispatcher", "MessageDispatch", "NO_SUCH_RECIPIENT"]

NO_SUCH_RECIPIENT: Final = Verdict(
    Reply(550, "5.1.1", "No such recipient here"), "no pattern of the application matches the address"
)
_GOING_DOWN: Final = Verdict(Reply(421, "4.3.2", "Service is shutting down; try again later"), "the server stops")
_READ_IN_THREAD: Final = 65_536  # octets of content, from which on it is not read in the event loop
_log = logging.getLogger("posthouse.app")

T = TypeVar("T")


class _Matched(NamedTuple):
    """A handler that is to be called, with its arguments out of the address."""

    handler: RegisteredHandler
    arguments: Mapping[str, object]
    recipient: Recipient | None = None


class HandlerDispatcher:
    """The calls of one application in one event loop."""

    def __init__(self, app: Registrations, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        settings = app.settings
        self.calls = HandlerCalls(clock, timeout=settings.handler_seconds, threads=settings.threads)
        self._free = asyncio.Semaphore(settings.concurrency)
        self._under_way: set[asyncio.Task[Any]] = set()

    # -- at RCPT -----------------------------------------------------------------------------------------------------

    def recipient(self, session: SessionInfo, envelope: Envelope, recipient: Recipient) -> Verdict | Awaitable[Verdict]:
        """The verdict on a recipient before there is content."""
        address = recipient.address
        first = self._first(address, at_end=False)
        if first is None:
            known = not self.app.recipient_handlers or self._first(address, at_end=True) is not None
            return _RECIPIENT_OK if known else NO_SUCH_RECIPIENT
        return self.begun(self._recipient(session, envelope, first._replace(recipient=recipient)))

    async def _recipient(self, session: SessionInfo, envelope: Envelope, matched: _Matched) -> Verdict:
        recipient = matched.recipient
        assert recipient is not None
        call = HandlerCall(matched.handler.name, session, envelope, recipient)
        given = _facts(session, envelope, recipient)
        verdict = await self._limited(call, lambda: matched.handler.call(matched.arguments, given), matched.handler)
        return _RECIPIENT_OK if verdict.reply == OK else verdict

    def _first(self, address: Address, *, at_end: bool) -> _Matched | None:
        """The first handler whose pattern matches, in the order of their registration."""
        for handler in self.app.recipient_handlers:
            if handler.at_end is at_end and (arguments := handler.match(address)) is not None:
                return _Matched(handler, arguments)
        return None

    # -- content -----------------------------------------------------------------------------------------------------

    def message(self, session: SessionInfo, envelope: Envelope) -> MessageDispatch:
        """The calls for one message whose content is about to come."""
        return MessageDispatch(self, session, envelope)

    def handlers_of(self, envelope: Envelope) -> tuple[list[_Matched], list[_Matched | None]]:
        """The handlers of the whole message, and that of each recipient (None: no handler takes its content)."""
        whole = [_Matched(handler, {}) for handler in self.app.message_handlers]
        each: list[_Matched | None] = []
        for recipient in envelope.recipients:
            first = self._first(recipient.address, at_end=True)
            each.append(first._replace(recipient=recipient) if first is not None else None)
        return whole, each

    async def check_password(self, user: str, password: str) -> bool:
        """Whether the application takes a login."""
        check = self.app.login_check
        assert check is not None
        if is_coroutine_function(check):
            answer: object = check(user, password)
        else:
            answer = await self.calls.in_time(self.calls.in_thread(check, user, password))
        return (await self.calls.in_time(answer) if inspect.isawaitable(answer) else answer) is True

    # -- calls -------------------------------------------------------------------------------------------------------

    async def limited(self, call: HandlerCall, function: Callable[[], object], handler: RegisteredHandler) -> Verdict:
        """The verdict of one call, which waits while too many are under way."""
        return await self.begun(self._limited(call, function, handler))

    async def _limited(self, call: HandlerCall, function: Callable[[], object], handler: RegisteredHandler) -> Verdict:
        try:
            await self.calls.in_time(self._free.acquire())
        except TimeoutError:
            _log.warning("%s: too many handlers are under way; the message was answered %s", call.handler, TOO_LATE)
            return Verdict(TOO_LATE, "too many handlers are under way")
        try:
            return await self.judged(call, self.calls.in_time(self.answered(call, function, handler)))
        finally:
            self._free.release()

    async def answered(self, call: HandlerCall, function: Callable[[], object], handler: RegisteredHandler) -> Reply:
        """The reply of one handler, through all middleware.  Raises what they raise."""

        async def innermost() -> Reply:
            answer = function() if handler.is_async else await self.calls.in_thread(function)
            return reply_of(await answer if inspect.isawaitable(answer) else answer)

        proceed: Callable[[], Awaitable[Reply]] = innermost
        for middleware in reversed(self.app.middlewares):
            proceed = _wrapped(middleware, call, proceed)
        try:
            return await proceed()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # TimeoutError would pass for that of the limit on time; what is no Exception ends the event loop.
            if isinstance(error, Exception) and not isinstance(error, TimeoutError):
                raise
            raise HandlerCrash(described(error)) from error

    async def judged(self, call: HandlerCall, answer: Awaitable[Reply]) -> Verdict:
        """The verdict for the reply of a handler, or for its exception, which is logged."""
        try:
            reply = await answer
            return Verdict(reply, f"the handler {call.handler} answered")
        except NotDelivered as raised:
            return Verdict(reply_of(raised), f"the handler {call.handler} said: {described(raised)}")
        except TimeoutError:
            _log.error(
                "%s took longer than %g s; %s was answered %s",
                call.handler,
                self.calls.timeout,
                _what(call),
                TOO_LATE,
            )
            return Verdict(TOO_LATE, f"the handler {call.handler} took longer than {self.calls.timeout:g} s")
        except Exception as error:
            _log.error("%s failed; %s was answered %s", call.handler, _what(call), CRASHED, exc_info=error)
            return Verdict(CRASHED, f"the handler {call.handler} failed: {described(error)}")

    def begin(self, call: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """The task of a call that ``stop`` can end."""
        task = asyncio.get_running_loop().create_task(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def begun(self, call: Coroutine[object, object, Verdict]) -> Verdict:
        """The verdict of a call; a handler that has begun runs to its end, even if its client is gone."""
        task = self.begin(call)
        await asyncio.wait([task])
        return _GOING_DOWN if task.cancelled() else task.result()

    async def stop(self, seconds: float = 1.0) -> None:
        """Cancel the calls that are under way, and wait for their end for at most ``seconds``."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


_RECIPIENT_OK: Final = Verdict(Reply(250, "2.1.5", "Recipient OK"), "a pattern of the application matches the address")


class MessageDispatch:
    """The calls for one message: those of handlers that read it while it arrives begin now, the others at its end."""

    def __init__(self, dispatcher: HandlerDispatcher, session: SessionInfo, envelope: Envelope) -> None:
        self._dispatcher = dispatcher
        self._session = session
        self._envelope = envelope
        self._whole, self._each = dispatcher.handlers_of(envelope)
        self._under_way: dict[int, tuple[IncomingStream, asyncio.Task[Reply]]] = {}
        self._read: ReadMessage | None = None
        self._aborted = False
        everyone = [*self._whole, *(each for each in self._each if each is not None)]
        #: Whether a handler wants the content as a whole, so that it must be kept.
        self.keeps = any(not each.handler.streams for each in everyone)
        #: Whether a handler reads the content while it arrives.
        self.streams = any(each.handler.streams for each in everyone)
        for matched in everyone:
            if matched.handler.streams:
                self._begin_stream(matched)

    def _begin_stream(self, matched: _Matched) -> None:
        stream = IncomingStream()
        call = self._call(matched, None)
        given = self._given(matched) | {Given.STREAM: stream}
        handler = matched.handler
        reply = self._dispatcher.answered(call, lambda: handler.call(matched.arguments, given), handler)
        task = self._dispatcher.begin(reply)
        task.add_done_callback(lambda done: self._stream_ended(call, done, stream))
        self._under_way[id(matched)] = stream, task

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Give the next octets to the handlers that read the content while it arrives."""
        waits = [wait for stream, _ in self._under_way.values() if (wait := stream.put(chunk)) is not None]
        if not waits:
            return None
        return waits[0] if len(waits) == 1 else _all(waits)

    async def finish(self, content: Content | None, refusal: Verdict | None = None) -> Sequence[Verdict]:
        """One verdict for each recipient; with a ``refusal`` that verdict for each, and the streams are broken off."""
        if refusal is not None:
            self.abort(refusal.reply.text)
            return (refusal,) * len(self._envelope.recipients)
        for stream, _ in self._under_way.values():
            stream.end()
        whole = Verdict(OK)
        for matched in self._whole:
            verdict = await self._verdict(matched, content)
            if not verdict.reply.positive:
                self.abort("another handler has refused the message")
                return (verdict,) * len(self._each)
            if verdict.reply != OK:
                whole = verdict
        return [whole if each is None else _or(await self._verdict(each, content), whole) for each in self._each]

    def _stream_ended(self, call: HandlerCall, task: asyncio.Task[Reply], stream: IncomingStream) -> None:
        """Take no more octets for a handler; log its exception, if no verdict will be made of it."""
        stream.abandon()
        error = None if task.cancelled() else task.exception()
        if error is not None and self._aborted and not isinstance(error, (Broken, NotDelivered)):
            _log.error("%s failed; %s was not complete", call.handler, _what(call), exc_info=error)

    def abort(self, reason: str) -> None:
        """There will be no complete content, or no client waits for the answer: end the handlers that read it."""
        self._aborted = True
        for stream, _ in self._under_way.values():
            stream.break_off(reason)

    async def _verdict(self, matched: _Matched, content: Content | None) -> Verdict:
        dispatcher, handler = self._dispatcher, matched.handler
        call = self._call(matched, content)
        if handler.streams:
            _, task = self._under_way[id(matched)]
            return await dispatcher.begun(dispatcher.judged(call, dispatcher.calls.in_time(task)))
        assert content is not None
        given = self._given(matched)
        sources = handler.sources
        message = DeliveredMessage(content)
        given |= {Given.CONTENT: message}
        large = handler.is_async and content.size >= _READ_IN_THREAD
        if large and Given.MESSAGE in sources and self._read is None:
            self._read = await asyncio.to_thread(read_content, content)
        if large and Given.OCTETS in sources:
            given[Given.OCTETS] = await asyncio.to_thread(_octets, content)

        def function() -> object:
            if Given.MESSAGE in sources:
                if self._read is None:
                    self._read = read_content(content)
                given[Given.MESSAGE] = self._read
            if Given.OCTETS in sources and Given.OCTETS not in given:
                given[Given.OCTETS] = _octets(content)
            return handler.call(matched.arguments, given)

        return await dispatcher.limited(call, function, handler)

    def _call(self, matched: _Matched, content: Content | None) -> HandlerCall:
        return HandlerCall(matched.handler.name, self._session, self._envelope, matched.recipient, content)

    def _given(self, matched: _Matched) -> dict[Given, object]:
        return _facts(self._session, self._envelope, matched.recipient)


def _facts(session: SessionInfo, envelope: Envelope, recipient: Recipient | None) -> dict[Given, object]:
    given: dict[Given, object] = {Given.SESSION: session, Given.ENVELOPE: envelope}
    if recipient is not None:
        given |= {Given.ADDRESS: recipient.address, Given.RECIPIENT: recipient}
    return given


def _wrapped(
    middleware: Middleware, call: HandlerCall, proceed: Callable[[], Awaitable[Reply]]
) -> Callable[[], Awaitable[Reply]]:
    async def around() -> Reply:
        return reply_of(await middleware(call, proceed))

    return around


def _or(verdict: Verdict, whole: Verdict) -> Verdict:
    """The verdict of a recipient's handler; that of the whole message where it says no more than OK."""
    return whole if verdict.reply == OK else verdict


def _what(call: HandlerCall) -> str:
    """The message of a call, for the log."""
    sender = call.envelope.sender
    to = call.recipient.address if call.recipient is not None else f"{len(call.envelope.recipients)} recipients"
    return f"the message of <{sender or ''}> to {to} from {call.session.host or 'the queue'}"


def _octets(content: Content) -> bytes:
    return b"".join(content.chunks())


async def _all(waits: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*waits)
