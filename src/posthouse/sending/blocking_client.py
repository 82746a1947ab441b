"""Clients: one connection with a server, for several messages of one user.

There are two classes, because a method either blocks or is awaited, and a type checker must know which: ``Client`` and
``AsyncClient``.  Their names, arguments and results are equal.  ``async with Client(…) as client`` gives the other one,
so one name serves both.

The connection is opened by the first message.  One that the server has ended meanwhile is noticed before it is used.
If a reused connection answers MAIL with 421 or 451 4.4.2, or is lost there, the message is sent once more on a fresh
one: nothing of it had been sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from posthouse.client.deadline import Deadline
from posthouse.core import Outcome
from posthouse.sending.client_base import LOOKED_AFTER, ClientBase, server_of, tried_in_vain
from posthouse.sending.connection.dialogue_record import TranscriptLike
from posthouse.sending.messages.batches import EnvelopesLike, transactions
from posthouse.sending.messages.message_forms import MessageLike
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.options import SendOptions
from posthouse.sending.results import SendResult
from posthouse.sending.via import Via, route_of

if TYPE_CHECKING:
    from posthouse.client.blocking import BlockingSession
    from posthouse.net import Clock
    from posthouse.sending.async_client import AsyncClient
    from posthouse.sending.connection.credentials import CredentialsLike

__all__ = ["Client"]


@lru_cache(maxsize=1)
def _delivering() -> Callable[[BlockingSession, Outgoing, Deadline, float, Clock], tuple[Outcome, ...]]:
    """The function that delivers: what it needs is imported with the first message, and asked for once."""
    from posthouse.sending.connection.blocking_driver import deliver_blocking

    return deliver_blocking


class Client(ClientBase):
    """A client for one user at a time; not to be shared by threads.  Close it, or use it in a ``with`` statement.

        with posthouse.Client("smtps://name:password@mail.example.org") as client:
            for message in messages:
                client.send(message).raise_for_failures()

    A call that is made while another is under way raises ``ClientBusy``.  After a time limit, an exception or a fault
    of the server the connection is closed, and the next message opens another.  Arguments and exceptions are those of
    ``send``; ``via`` must be the URL of a server.
    """

    _session: BlockingSession | None

    def __init__(
        self,
        via: Via | None = None,
        *,
        timeout: float | str | None = None,
        credentials: CredentialsLike | None = None,
        transcript: TranscriptLike = False,
        **options: Unpack[SendOptions],
    ) -> None:
        from posthouse.net.clock import BlockingClock

        target = route_of(via, timeout=timeout, credentials=credentials, options=options)
        super().__init__(server_of(target), BlockingClock(), transcript, 2)
        self._other: AsyncClient | None = None

    def send(
        self,
        message: MessageLike,
        *,
        timeout: float | str | None = None,
        envelope: EnvelopesLike | None = None,
        verp: bool | str = False,
    ) -> SendResult:
        """Send one message; as ``posthouse.send``.  ``timeout`` is for this call, in place of that of the client."""
        with self._used():
            batch = transactions(message, envelope, verp)
            deadline, began = self._begin(timeout)
            outcomes = self._deliver(batch, deadline, began)
            return SendResult(outcomes, transcript=self._record.take())

    def send_once(self, batch: list[Outgoing]) -> SendResult:
        """Send what one call sends, and close; for ``posthouse.send``."""
        with self:
            outcomes = self._deliver(batch, *self._begin(None))
        return SendResult(outcomes, transcript=self._record.take())

    def _deliver(self, batch: list[Outgoing], deadline: Deadline, began: float) -> tuple[Outcome, ...]:
        deliver_blocking = _delivering()
        outcomes: list[Outcome] = []
        try:
            for message in batch:
                session, reused = self._opened(deadline)
                found = deliver_blocking(session, message, deadline, began, self._clock)
                if reused and tried_in_vain(found):
                    self._drop()
                    session, _ = self._opened(deadline)
                    found = deliver_blocking(session, message, deadline, began, self._clock)
                outcomes += found
                if not session.usable:
                    self._drop()
        except BaseException:
            self._drop()
            raise
        self._used_at = self._clock.monotonic()
        return tuple(outcomes)

    def _opened(self, deadline: Deadline) -> tuple[BlockingSession, bool]:
        """A session, and whether it has been used before."""
        session = self._session
        if session is not None:
            if self._clock.monotonic() - self._used_at > LOOKED_AFTER:
                session.look()
            if session.usable:
                return session, True
            self._drop()
        from posthouse.sending.connection.blocking_driver import open_blocking_session

        self._session = session = open_blocking_session(self._target, self._fresh_record(), deadline, self._clock)
        return session, False

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.abort()

    def close(self) -> None:
        """End the connection: send QUIT and await its reply for at most 1 s.  The client can be used again."""
        with self._used():
            session, self._session = self._session, None
            if session is not None:
                session.limit(None)
                session.quit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.close()
        else:  # KeyboardInterrupt and its like: nothing waits
            self._drop()

    async def __aenter__(self) -> AsyncClient:
        from posthouse.sending.async_client import AsyncClient

        self._other = AsyncClient(self._target, transcript=self._transcript)
        return self._other

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        other, self._other = self._other, None
        if other is not None:
            await other.__aexit__(kind, error, traceback)
