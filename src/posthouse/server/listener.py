"""A receiving SMTP as a whole: where it listens, what its sessions share, and how it ends.

One sweep for all sessions now and then replaces a timer each: ten thousand idle sessions cost no timers, and a
time-out that comes a few seconds late harms nobody.  Without sessions nothing sweeps, and an idle house sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Clock, Endpoint, Listener, Network, Timer
from posthouse.protocol import Limits, Offer, Transcript
from posthouse.server.policy import PolicyFactory
from posthouse.server.session import GOING_DOWN, ServerSession

__all__ = ["Server", "ServerTimeouts"]


class ServerTimeouts(NamedTuple):
    """How long a client may be silent, in seconds.  RFC 5321 §4.5.3.2.7 wants at least five minutes."""

    #: Between commands.
    command: float = 300.0
    #: Between two pieces of content.
    content: float = 300.0
    #: For a whole content, from 354 (or the first BDAT) to its end.
    transfer: float = 3600.0


@mypyc_attr(allow_interpreted_subclasses=True)
class Server:
    """The receiving SMTP: listeners with one policy, one offer, one set of limits.

    ``transcript`` makes a transcript for each session; ``on_error`` is told of exceptions in a policy, which end as
    451 for the client.
    """

    def __init__(
        self,
        policy: PolicyFactory,
        *,
        network: Network,
        clock: Clock,
        hostname: str,
        offer: Offer | None = None,
        lmtp: bool = False,
        limits: Limits | None = None,
        timeouts: ServerTimeouts | None = None,
        transcript: Callable[[], Transcript] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.policy = policy
        self.clock = clock
        self.hostname = hostname
        self.limits = limits or Limits()
        self.offer = offer or Offer(size=self.limits.message, limits=(("RCPTMAX", self.limits.recipients),))
        self.lmtp = lmtp
        self.timeouts = timeouts or ServerTimeouts()
        self.transcript = transcript
        self.on_error = on_error or _report
        self._network = network
        self._listeners: list[Listener] = []
        self._sessions: set[ServerSession] = set()
        self._sweeper: Timer | None = None
        self._empty: asyncio.Event | None = None
        self._draining = False

    @property
    def sessions(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Accept sessions at ``endpoint``; returns where, with the real port.  Raises SettingError."""
        listener = await self._network.listen(endpoint, self.session)
        self._listeners.append(listener)
        return listener.local

    def session(self) -> ServerSession:
        """A handler for one channel, for whoever has a channel already."""
        return ServerSession(self)

    def joined(self, session: ServerSession) -> None:
        """A session began."""
        self._sessions.add(session)
        if self._sweeper is None:
            self._schedule_sweep()
        if self._draining:
            session.drain()

    def left(self, session: ServerSession) -> None:
        """A session ended."""
        self._sessions.discard(session)
        if not self._sessions and self._empty is not None:
            self._empty.set()

    def close(self) -> None:
        """Accept no new sessions."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def drain(self, seconds: float) -> None:
        """Accept no new sessions, say 421 to those between transactions, let the others finish theirs for at most
        ``seconds``, then say 421 to the rest."""
        self.close()
        self._draining = True
        for session in list(self._sessions):
            session.drain()
        await self._gone(seconds)
        for session in list(self._sessions):
            session.say_goodbye(GOING_DOWN)
        await self._gone(min(seconds, 1.0))
        for session in list(self._sessions):
            session.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _gone(self, seconds: float) -> None:
        """Until no session is left, or ``seconds`` have passed."""
        if not self._sessions:
            return
        self._empty = asyncio.Event()
        timer = self.clock.call_later(seconds, self._empty.set)
        await self._empty.wait()
        timer.cancel()
        self._empty = None

    def _schedule_sweep(self) -> None:
        shortest = min(self.timeouts.command, self.timeouts.content)
        self._sweeper = self.clock.call_later(max(0.05, min(5.0, shortest / 4)), self._sweep)

    def _sweep(self) -> None:
        now = self.clock.monotonic()
        for session in list(self._sessions):
            session.check_time(now)
        self._sweeper = None
        if self._sessions:
            self._schedule_sweep()


def _report(error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "a policy failed", "exception": error})
