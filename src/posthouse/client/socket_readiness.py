"""The wait for one socket: until it can be read, or also until it can be written.

On Linux this is ``epoll`` itself, because ``selectors`` takes 3 µs more for each wait, and ``poll`` three times as long
to be woken.  Elsewhere it is the standard library's selector.
"""

from __future__ import annotations

import select
import selectors
from typing import Final

__all__ = ["SocketReadiness"]

_LONGEST: Final = 86_400.0  # seconds of one wait; the caller waits again


class SocketReadiness:
    """Waits for one descriptor; to be closed before it."""

    __slots__ = ("_descriptor", "_epoll", "_selector", "_writing")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writing = False
        self._epoll = select.epoll(1) if hasattr(select, "epoll") else None
        self._selector = None if self._epoll is not None else selectors.DefaultSelector()
        if self._epoll is not None:
            self._epoll.register(descriptor, select.EPOLLIN)
        elif self._selector is not None:
            self._selector.register(descriptor, selectors.EVENT_READ)

    def wait(self, seconds: float, *, writing: bool = False) -> bool:
        """Wait for octets or the end of the connection, with ``writing`` also for room, at most for ``seconds``.
        Returns whether the socket should be read."""
        seconds = min(seconds, _LONGEST)
        epoll, selector = self._epoll, self._selector
        if writing is not self._writing:
            self._writing = writing
            if epoll is not None:
                epoll.modify(self._descriptor, select.EPOLLIN | select.EPOLLOUT if writing else select.EPOLLIN)
            elif selector is not None:
                selector.modify(self._descriptor, selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0))
        if epoll is not None:  # errors and hang-ups are told by reading, as an exception or as the end
            found = epoll.poll(seconds, 1)
            return bool(found) and found[0][1] & ~select.EPOLLOUT != 0
        return selector is not None and any(ready & selectors.EVENT_READ for _, ready in selector.select(seconds))

    def close(self) -> None:
        """Close what this process has of it.  The kernel's list is not touched: a forked process shares it."""
        if self._epoll is not None:
            self._epoll.close()
        elif self._selector is not None:
            self._selector.close()
