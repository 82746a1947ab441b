"""Server whose sessions fail where a source of faults says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posthouse.sandbox.faulty_policy import FaultSource, FaultyPolicy, Moment, Strike
from posthouse.server import Peer, Policy, PolicyFactory, Server, ServerSession

__all__ = ["FaultyServer"]


class FaultyServer(Server):
    """A ``Server`` with faults.

    ``struck`` is given each fault, its moment and the client.  ``settings`` are those of ``Server``.
    """

    def __init__(
        self,
        policy: PolicyFactory,
        faults: FaultSource,
        struck: Callable[[Peer, Moment, Strike], object],
        **settings: Any,
    ) -> None:
        self._decider = policy
        self._faults = faults
        self._on_strike = struck
        self._joining: ServerSession | None = None
        self._lmtp = bool(settings.get("lmtp"))
        super().__init__(self._faulty, **settings)

    def joined(self, session: ServerSession) -> None:
        self._joining = session  # which asks for its policy next
        super().joined(session)

    def _faulty(self, peer: Peer) -> Policy:
        session, self._joining = self._joining, None

        def cut() -> None:
            if session is not None:  # else XCLIENT has made it another client's: 421 is said
                session.abort()

        def struck(moment: Moment, strike: Strike) -> None:
            self._on_strike(peer, moment, strike)

        return FaultyPolicy(
            self._decider(peer), self._faults, clock=self.clock, abort=cut, lmtp=self._lmtp, struck=struck
        )
