"""Starlette and FastAPI: sending for the life of an application.

    mail = Mail("smtps://name:password@mail.example.org")
    app = Starlette(routes=…, lifespan=mail.lifespan)           # or FastAPI(lifespan=mail.lifespan)

    await mail.send(message)                            # now; a SendResult
    await mail.enqueue(message)                         # into the local daemon's queue: durable
    JSONResponse({}, background=mail.background(message))       # after the response, for what may get lost

Connections are kept while the application lives and are never those of a request.  With a lifespan of your own, write
``async with mail:`` in it.  ``Depends(mail)`` gives the mail object to a handler of FastAPI.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.background import BackgroundTask

from posthouse.core import LocalError
from posthouse.sending.kept_pools import AsyncKeptPools

if TYPE_CHECKING:
    from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike
    from posthouse.sending.results import SendResult
    from posthouse.sending.via import Via

__all__ = ["Mail"]

_log: Final = logging.getLogger("posthouse.starlette")


class Mail:
    """Sends messages of one application.  The tasks of its event loop may share it.

    Args:
        via: As for ``posthouse.send``, or a function that gives it; None is what ``posthouse.send`` takes then.
        spool: Where ``enqueue`` leaves messages.
        **options: Those of ``posthouse.AsyncPool``.
    """

    def __init__(self, via: Via | Callable[[], Via] | None = None, *, spool: str = "spool:", **options: Any) -> None:
        self._pools = AsyncKeptPools(via, **options)
        self._spool = spool
        self._entered = 0

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """The lifespan of an application that has no other."""
        async with self:
            yield

    async def __aenter__(self) -> Self:
        """Begin; nothing is opened before the first message."""
        self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._entered -= 1
        if not self._entered:
            await self._pools.close()

    def __call__(self) -> Self:
        """This object, for ``Depends(mail)``."""
        return self

    async def send(self, message: MessageLike, *, envelope: EnvelopeLike | None = None) -> SendResult:
        """Send a message now, and return what became of it; as ``posthouse.asend``.

        Raises ``LocalError`` before the application has started, too: its connections would be left open.
        """
        if not self._entered:
            raise LocalError("the mail of this application has not begun; pass mail.lifespan to it, or use async with")
        return await self._pools.send(message, envelope=envelope)

    async def enqueue(self, message: MessageLike, *, envelope: EnvelopeLike | None = None, key: str = "") -> SendResult:
        """Leave a message to the local daemon, which sends it and tries again as long as it takes.

        The message is on stable storage when this returns, whether or not the daemon runs, and ``queue_id`` is its
        name.  A message with a ``key`` that was used before is not sent again.
        """
        from posthouse.sending.one_message import asend

        if key:
            return await asend(message, self._spool, envelope=envelope, key=key)
        return await asend(message, self._spool, envelope=envelope)

    def background(self, message: MessageLike, *, envelope: EnvelopeLike | None = None) -> BackgroundTask:
        """A task that sends after the response: fire and forget.  A failure is logged at ERROR, and a crash of the
        process loses the message; what must arrive goes to ``enqueue``."""
        return BackgroundTask(self._in_background, message, envelope)

    async def _in_background(self, message: MessageLike, envelope: EnvelopeLike | None) -> None:
        try:
            (await self.send(message, envelope=envelope)).raise_for_failures()
        except Exception:
            _log.exception("a message was not sent after the response")
