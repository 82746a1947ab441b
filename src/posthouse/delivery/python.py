"""Delivery to a program of the operator's own: ``deliver = "python:module:object"``.

The object is called once for each recipient, ``object(envelope, content)``: the envelope has that one recipient, and
the content is read in pieces, as often as wanted (``for chunk in content.chunks()``, or ``async for chunk in content``,
which reads in a thread what lies on a disk).  Returning means *delivered*; what it returns does not matter.  Raising
``Defer`` or ``Reject`` puts the recipient off or fails it; anything else that is raised, and taking longer than
allowed, is a crash of the handler's, and defers.  One call for each recipient makes every outcome its own: nothing
that was taken is given again because something else was not.

Coroutines run on the loop, other functions in a thread.  A handler can be made to stop waiting but not to end, so the
threads are few and belong to nobody: if all of them hang, letters wait, and the post house can still end.

Modules are imported at the first delivery, so that whoever only looks at the queue runs no strange code.  A name that
leads nowhere is a mistake in the configuration: it defers, saying so, until it is corrected.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from posthouse.core import Bytes, Content, Defer, Envelope, NotDelivered, Outcome, Reply, Result, SettingError
from posthouse.delivery.model import Delivery
from posthouse.net import Clock

__all__ = ["DeliveredMessage", "PythonDeliverer", "load_handler"]

T = TypeVar("T")

_LONGEST_TEXT = 400  # of what a handler says, in its outcome
_UNUSABLE: Final = Reply(451, "4.3.5", "the delivery of this mail is not usable")
_CRASHED: Final = Reply(451, "4.3.0", "local error in delivery")
_TOO_LONG: Final = Reply(451, "4.4.7", "delivery took too long")
_DONE: Final = Reply(250, "2.0.0", "delivered")


class DeliveredMessage:
    """The content that a handler is given: CRLF line ends, not dot-stuffed; reading changes nothing."""

    __slots__ = ("_content",)

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """Octets."""
        return self._content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order, in pieces of at most ``at_most``.  May read a disk."""
        return self._content.chunks(at_most)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The octets in order, in pieces; the loop never waits for a disk."""
        pieces = self._content.chunks()
        if isinstance(self._content, Bytes):
            for piece in pieces:
                yield piece
            return
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


_Handler = Callable[[Envelope, DeliveredMessage], Any]


def load_handler(target: str) -> _Handler:
    """The object that ``module:object`` names; imports the module.  Raises ``SettingError``."""
    where = f'deliver = "python:{target}"'
    name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise _broken(where, name, error) from error
        remedy = "correct the name, or put its directory into PYTHONPATH where posthouse is started"
        raise SettingError(f'there is no module "{error.name}"', where=where, remedy=remedy) from error
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is imported
        raise _broken(where, name, error) from error
    for part in path.split("."):
        if not hasattr(found, part):
            remedy = "correct the name"
            raise SettingError(f'the module "{name}" has no "{path}"', where=where, remedy=remedy)
        found = getattr(found, part)
    if isinstance(found, type) or not callable(found):
        what = "is a class" if isinstance(found, type) else "cannot be called"
        remedy = "name a function, or an object with a __call__(envelope, content)"
        raise SettingError(f'"{path}" of "{name}" {what}', where=where, remedy=remedy)
    handler: _Handler = found
    return handler


def _broken(where: str, name: str, error: BaseException) -> SettingError:
    cause = f'the module "{name}" fails while it is imported: {_told(error)}'
    return SettingError(cause, where=where, remedy="mend it; it is tried again at the next attempt")


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_TEXT] if text else type(error).__name__


class PythonDeliverer:
    """Gives letters to handlers; the target of a route is ``module:object``.

    ``timeout`` is how long one call may take, in seconds; ``threads`` how many functions may run at one time.
    """

    def __init__(self, clock: Clock, *, timeout: float = 300.0, threads: int = 16) -> None:
        self._clock = clock
        self._timeout = timeout
        self._free = asyncio.Semaphore(threads)
        self._handlers: dict[str, _Handler] = {}

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """One call for each recipient, in their order."""
        try:
            handler = self._handlers.get(target)
            if handler is None:
                handler = self._handlers[target] = await self._in_time(self._in_thread(load_handler, target))
        except (SettingError, TimeoutError) as error:
            reason = str(error) or f'importing "{target}" took longer than {self._timeout:g} seconds'
            return [Outcome(each, Result.DEFERRED, _UNUSABLE, reason, "") for each in job.recipients]
        peer = f"python:{target}"
        letter = DeliveredMessage(job.content)
        outcomes = []
        for recipient in job.recipients:
            envelope = job.message.envelope._replace(recipients=(recipient,))
            result, reply, reason = await self._call(handler, envelope, letter)
            outcomes.append(Outcome(recipient, result, reply, reason, peer))
        return outcomes

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _call(self, handler: _Handler, envelope: Envelope, letter: DeliveredMessage) -> tuple[Result, Reply, str]:
        try:
            await self._in_time(self._run(handler, envelope, letter))
        except NotDelivered as said:
            text = " ".join(said.reply.text.split())[:_LONGEST_TEXT]
            result = Result.DEFERRED if isinstance(said, Defer) or said.reply.transient else Result.FAILED
            return result, said.reply._replace(text=text), f"the handler said: {_told(said)}"
        except TimeoutError:
            return Result.DEFERRED, _TOO_LONG, f"the handler took longer than {self._timeout:g} seconds"
        except Exception as error:
            return Result.DEFERRED, _CRASHED, f"the handler crashed: {_told(error)}"
        return Result.DELIVERED, _DONE, "the handler took it"

    async def _run(self, handler: _Handler, envelope: Envelope, letter: DeliveredMessage) -> None:
        try:
            if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
                await handler(envelope, letter)
                return
            answer = await self._in_thread(handler, envelope, letter)
            if inspect.isawaitable(answer):
                await answer
        except TimeoutError as error:  # its own, not ours
            raise _Crash(_told(error)) from error
        except (SystemExit, KeyboardInterrupt) as error:  # would end the loop
            raise _Crash(_told(error)) from error

    async def _in_time(self, work: Awaitable[T]) -> T:
        """The result of ``work``; ``TimeoutError``, and it is cancelled, if it takes too long.  One that will not be
        cancelled goes on alone."""
        task = asyncio.ensure_future(work)
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._timeout, late.cancel)
        both: set[asyncio.Future[Any]] = {task, late}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                if task.cancelled():
                    raise _Crash("it cancelled itself")
                return task.result()
            raise TimeoutError
        finally:
            timer.cancel()
            late.cancel()
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """The result of ``function``, from a thread of its own, which the interpreter's end does not wait for."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = function(*arguments)
            except (SystemExit, KeyboardInterrupt, StopIteration) as ended:  # what a future cannot carry
                error = _Crash(_told(ended))
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:  # the loop has ended meanwhile
                return

        try:
            threading.Thread(target=work, name="posthouse-handler", daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        return await future


class _Crash(Exception):
    """A handler ended in a way that must not go further as it is."""


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more
