"""The client of an event loop; ``blocking_client`` has the one that blocks, and the reasons."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from posthouse.client.deadline import Deadline
from posthouse.core import LocalError, Outcome
from posthouse.net import Network, SocketNetwork, SystemClock
from posthouse.sending.client_base import ClientBase, server_of, tried_in_vain
from posthouse.sending.connection.async_driver import deliver_async, open_async_session
from posthouse.sending.connection.dialogue_record import TranscriptLike
from posthouse.sending.messages.batches import EnvelopesLike, transactions
from posthouse.sending.messages.message_forms import MessageLike
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.options import SendOptions
from posthouse.sending.results import SendResult
from posthouse.sending.via import Via, route_of

if TYPE_CHECKING:
    from posthouse.client.session import Session
    from posthouse.net.clock import Clock
    from posthouse.sending.connection.credentials import CredentialsLike

__all__ = ["AsyncClient"]


class AsyncClient(ClientBase):
    """A client for one task at a time, in one event loop; as ``Client``, with methods that are awaited.

    A call that is cancelled ends the connection at once, without QUIT: nothing may follow a message that is half sent.
    ``clock`` and ``network`` are for tests.
    """

    _session: Session | None

    def __init__(
        self,
        via: Via | None = None,
        *,
        timeout: float | str | None = None,
        credentials: CredentialsLike | None = None,
        transcript: TranscriptLike = False,
        clock: Clock | None = None,
        network: Network | None = None,
        **options: Unpack[SendOptions],
    ) -> None:
        target = route_of(via, timeout=timeout, credentials=credentials, options=options)
        super().__init__(server_of(target), clock or SystemClock(), transcript, 2)
        self._network = network or SocketNetwork()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(
        self,
        message: MessageLike,
        *,
        timeout: float | str | None = None,
        envelope: EnvelopesLike | None = None,
        verp: bool | str = False,
    ) -> SendResult:
        """Send one message; as ``posthouse.asend``.  ``timeout`` is for this call, in place of that of the client."""
        with self._used():
            self._stay_in_loop()
            batch = transactions(message, envelope, verp)
            deadline, began = self._begin(timeout)
            outcomes = await self._deliver(batch, deadline, began)
            return SendResult(outcomes, transcript=self._record.take())

    async def send_once(self, batch: list[Outgoing]) -> SendResult:
        """Send what one call sends, and close; for ``posthouse.asend``."""
        async with self:
            outcomes = await self._deliver(batch, *self._begin(None))
        return SendResult(outcomes, transcript=self._record.take())

    async def _deliver(self, batch: list[Outgoing], deadline: Deadline, began: float) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        try:
            for message in batch:
                session, reused = await self._opened(deadline)
                found = await deliver_async(session, message, deadline, began, self._clock)
                if reused and tried_in_vain(found):
                    self._drop()
                    session, _ = await self._opened(deadline)
                    found = await deliver_async(session, message, deadline, began, self._clock)
                outcomes += found
                if not session.usable:
                    self._drop()
        except BaseException:
            self._drop()
            raise
        return tuple(outcomes)

    async def _opened(self, deadline: Deadline) -> tuple[Session, bool]:
        """A session, and whether it has been used before."""
        session = self._session
        if session is not None:
            if session.usable:
                return session, True
            self._drop()
        opened = open_async_session(self._target, self._fresh_record(), deadline, self._clock, self._network)
        self._session = session = await opened
        return session, False

    def _stay_in_loop(self) -> None:
        """Begin anew if the event loop of the connection is closed.  Raises ``LocalError`` if it is another that is
        not."""
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is not None and self._loop is not loop:
            if not self._loop.is_closed():
                raise LocalError("this client is open in another event loop; make one for each loop, or use a Pool")
            self._forget()
        self._loop = loop

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.abort()

    async def close(self) -> None:
        """End the connection: send QUIT and await its reply for at most 1 s.  The client can be used again."""
        with self._used():
            self._stay_in_loop()
            session, self._session = self._session, None
            if session is not None:
                try:
                    await session.quit()
                except BaseException:
                    session.abort()
                    raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            await self.close()
        else:  # cancelled: nothing waits
            self._drop()
