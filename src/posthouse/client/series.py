"""Many messages on one session, each handed over before the one ahead of it has its answer.

A session that is given one message, awaits its outcome and is given the next is idle from the reply until its user has
had his turn of the loop, and the next envelope has to travel by itself.  With two more in line it is not: what the
reply to one allows to be said, the last octets of the next and the envelope behind it, leaves in the same turn and in
one write.  Measured with 4 KiB messages on one connection to a receiver in C: the kernel's part of a message falls from
8.7 to 4.0 µs here, and all of the receiver's from 20 to 15.

No task is made for a message: whoever iterates waits for the first in line, and the line fills itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from posthouse.client.pipeline import Begun
from posthouse.core import Content, Envelope, LocalError, Outcome

if TYPE_CHECKING:
    from posthouse.client.session import Session

__all__ = ["M", "Series"]

M = TypeVar("M", bound=tuple[Envelope, Content])


class Series(AsyncIterator[tuple[M, tuple[Outcome, ...]]]):
    """See ``Session.deliver_each``."""

    def __init__(self, session: Session, messages: Iterable[M], ahead: int) -> None:
        if ahead < 0:
            raise LocalError(f"ahead={ahead}: a number of messages, 0 or more")
        self._session = session
        self._messages: Iterator[M] = iter(messages)
        self._most = ahead + 1
        self._more = True
        self._line: deque[tuple[M, Begun]] = deque()

    def __aiter__(self) -> Series[M]:
        """Itself; it is gone through once."""
        return self

    async def __anext__(self) -> tuple[M, tuple[Outcome, ...]]:
        """The next message that has its outcomes, in the order of handing over."""
        line = self._line
        if self._more:
            self._fill()
        if not line:
            raise StopAsyncIteration
        message, begun = line.popleft()
        try:
            return message, await begun.end()
        except asyncio.CancelledError:
            while line:
                line.pop()[1].leave_out()
            raise

    def _fill(self) -> None:
        """Hand over as many as may be in line."""
        session, line = self._session, self._line
        while len(line) < self._most:
            if not session.usable:
                self._more = False
                return
            try:
                message = next(self._messages)
            except StopIteration:
                self._more = False
                return
            line.append((message, Begun(session, message[0], message[1])))
