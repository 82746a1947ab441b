"""Practice sessions of a console, bounded in number and in idle time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from posthouse.net import Clock, SystemClock
from posthouse.service.practice.practice_session import PracticeSession

__all__ = ["IDLE_SECONDS", "MOST_SESSIONS", "PracticeSessions"]

#: Sessions kept at one time; of more, the one that was used longest ago ends.
MOST_SESSIONS: Final = 100
#: Seconds after which a session that is not used ends.
IDLE_SECONDS: Final = 1_800.0


class PracticeSessions:
    """The sessions by key: each belongs to the page that knows its key."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._sessions: OrderedDict[str, tuple[float, PracticeSession]] = OrderedDict()  # the longest unused first

    def __len__(self) -> int:
        return len(self._sessions)

    async def begin(self, key: str, door: str = "mx") -> PracticeSession:
        """A new session in place of the last of this key.  Raises ``LocalError`` if there is no such door."""
        session = PracticeSession(self._clock, door)
        await session.open()
        self.end(key)
        self._sessions[key] = self._clock.monotonic(), session
        self._tidy()
        return session

    def find(self, key: str) -> PracticeSession | None:
        """The session of a key, None if it has none, or none any more."""
        self._tidy()
        found = self._sessions.get(key)
        if found is None:
            return None
        self._sessions[key] = self._clock.monotonic(), found[1]
        self._sessions.move_to_end(key)
        return found[1]

    def end(self, key: str) -> None:
        """End the session of a key, if it has one."""
        found = self._sessions.pop(key, None)
        if found is not None:
            found[1].close()

    def close(self) -> None:
        """End all sessions."""
        for key in list(self._sessions):
            self.end(key)

    def _tidy(self) -> None:
        oldest = self._clock.monotonic() - IDLE_SECONDS
        while self._sessions:
            key, (used, _) = next(iter(self._sessions.items()))
            if used > oldest and len(self._sessions) <= MOST_SESSIONS:
                return
            self.end(key)
