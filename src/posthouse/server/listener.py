"""The receiving SMTP: its listeners, the list of its open sessions, and its end.

One sweep over all sessions every few seconds replaces a timer for each: 10,000 idle sessions cost no timers, and a
time-out may come up to 10 s late.  A look at 10,000 sessions takes some 20 ms, so it is done in parts.  Without
sessions there is no sweep, so that an idle process stays asleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from posthouse.core import LocalError, PosthouseError
from posthouse.core._mypyc import mypyc_attr
from posthouse.net import Clock, Endpoint, Handler, Listener, Network, Timer
from posthouse.protocol import Limits, Offer, Transcript
from posthouse.protocol.leniency import STRICT, Leniency
from posthouse.server.entrance import EntranceHall
from posthouse.server.policy import Peer, PolicyFactory
from posthouse.server.session import GOING_DOWN, ServerSession
from posthouse.server.settings import Protection, Proxies, ServerTimeouts, SessionSettings
from posthouse.server.turn_queue import TurnQueue

__all__ = ["Server", "SessionObserver"]

#: Sessions that a sweep looks at without a pause.
_SWEPT_AT_ONCE: Final = 250


class SessionObserver(Protocol):
    """What is told of the sessions of a server, and may look at them (``ServerSession.peer``, ``record``)."""

    def joined(self, session: ServerSession) -> None:
        """A session began; nothing has been said in it."""
        ...

    def left(self, session: ServerSession) -> None:
        """A session ended."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Server:
    """The receiving SMTP: listeners with one policy, one offer, one set of limits.

    ``transcript`` makes a transcript for each session; ``on_error`` is given the exceptions of a policy or an intake,
    which end as 451 for the client.  ``leniency`` says what is tolerated from a peer; without it the server is strict.
    ``on_sweep`` is called every few seconds while there are sessions.

    ``protection`` has TLS and AUTH, ``proxies`` may speak for other clients; ``on_refused`` is given peer and error of
    each connection whose implicit TLS did not come up or whose PROXY header was wrong.  ``greeting_pause``: seconds
    before 220, in which a client that speaks is refused with 554.  ``all_commands``: the policy answers every command
    (``CommandPolicy``).  ``observer`` is told of each session's beginning and end.

    Raises ``LocalError`` for an ``offer`` of AUTH or STARTTLS, which follow from ``protection``, and of REQUIRETLS:
    sessions have no handler for it.
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
        leniency: Callable[[Peer], Leniency] | None = None,
        on_sweep: Callable[[], object] | None = None,
        protection: Protection | None = None,
        proxies: Proxies | None = None,
        greeting_pause: float = 0.0,
        on_refused: Callable[[Endpoint, PosthouseError], object] | None = None,
        all_commands: bool = False,
        observer: SessionObserver | None = None,
    ) -> None:
        limits = limits or Limits()
        offer = offer or Offer(size=limits.message, limits=(("RCPTMAX", limits.recipients),))
        if offer.auth or offer.starttls:
            raise LocalError("AUTH and STARTTLS are offered by giving the server a protection, not in the offer")
        if offer.requiretls:
            raise LocalError("REQUIRETLS cannot be offered: the server does not implement it yet")
        self.clock = clock
        self.settings = SessionSettings(
            policy,
            clock,
            hostname,
            offer,
            lmtp,
            limits,
            timeouts or ServerTimeouts(),
            transcript,
            on_error or _report,
            TurnQueue(clock),
            leniency or _strict,
            protection,
            proxies,
            greeting_pause,
            all_commands,
        )
        self._network = network
        self._observer = observer
        self._on_sweep = on_sweep
        needed = proxies is not None or (protection is not None and protection.implicit)
        self._hall = EntranceHall(self.settings, self, on_refused) if needed else None
        self._listeners: list[Listener] = []
        self._sessions: set[ServerSession] = set()
        self._sweeper: Timer | None = None
        self._unswept: list[ServerSession] = []  # the sessions that this sweep has not looked at yet
        self._parts = 1  # of this sweep
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

    def session(self) -> Handler:
        """The handler of a new session, for a channel that was not accepted here."""
        return ServerSession(self.settings, self) if self._hall is None else self._hall.enter()

    def joined(self, session: ServerSession) -> None:
        """Add a session to the list; see ``SessionRegistry``."""
        self._sessions.add(session)
        if self._observer is not None:
            self._observer.joined(session)
        if self._sweeper is None:
            self._sweep_later()
        if self._draining:
            session.drain()

    def left(self, session: ServerSession) -> None:
        """Remove a session from the list."""
        self._sessions.discard(session)
        if self._observer is not None:
            self._observer.left(session)
        if not self._sessions and self._empty is not None:
            self._empty.set()

    def close(self) -> None:
        """Accept no new sessions."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._hall is not None:
            self._hall.close()

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
        """Wait until no session is left, or ``seconds`` have passed."""
        if not self._sessions:
            return
        empty = self._empty = self._empty or asyncio.Event()  # two calls wait for the same
        timer = self.clock.call_later(seconds, empty.set)
        await empty.wait()
        timer.cancel()
        self._empty = None

    def _sweep_later(self) -> None:
        """Go on with the sweep: its parts are spread over the seconds between two sweeps."""
        pause = max(0.05, min(5.0, self.settings.timeouts.shortest / 4))
        self._sweeper = self.clock.call_later(pause / self._parts, self._sweep)

    def _sweep(self) -> None:
        """Look at the time limits of all sessions; of many only a part, because all others wait meanwhile."""
        unswept = self._unswept
        if not unswept:
            unswept.extend(self._sessions)
            self._parts = max(1, -(-len(unswept) // _SWEPT_AT_ONCE))
            if self._on_sweep is not None:
                self._on_sweep()
        now = self.clock.monotonic()
        part = unswept[-_SWEPT_AT_ONCE:]
        del unswept[-_SWEPT_AT_ONCE:]
        for session in part:
            if session in self._sessions:
                session.check_time(now)
        self._sweeper = None
        if self._sessions:
            self._sweep_later()
        else:
            unswept.clear()


def _strict(peer: Peer) -> Leniency:
    return STRICT


def _report(error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "a policy or an intake failed", "exception": error})
