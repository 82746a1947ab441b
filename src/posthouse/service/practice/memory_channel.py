"""Channel in memory: two ends without a socket, for a practice session.

It keeps the promises of ``net.stream``: no method of an end calls its handler, what was written arrives in later turns
of the event loop, and ``disconnected`` comes once and last.  Either end's close ends both, after what was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from posthouse.core import LocalError
from posthouse.net import Endpoint, Handler

__all__ = ["ChannelEnd", "connect"]

#: The most that a handler gets at once.
_PIECE: Final = 65_536


class ChannelEnd:
    """One end: the ``Stream`` of its handler."""

    __slots__ = ("_arriving", "_due", "_handler", "_is_over", "_on_error", "_other", "_paused", "local", "peer")

    def __init__(self, handler: Handler, local: Endpoint, peer: Endpoint, on_error: Callable[[Exception], object]):
        self.local = local
        self.peer = peer
        self._handler = handler
        self._on_error = on_error
        self._other: ChannelEnd | None = None
        self._arriving = bytearray()
        self._due = False
        self._paused = False
        self._is_over = False

    def join(self, other: ChannelEnd | None) -> None:
        """Connect with the other end; None when there is no other any more."""
        self._other = other

    def write(self, data: bytes) -> None:
        """Send octets to the other end."""
        if self._other is not None:
            self._other.arrive(data)

    def arrive(self, data: bytes) -> None:
        """Take octets of the other end."""
        self._arriving += data
        self.wake()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.wake()

    def close(self) -> None:
        """End the channel; what was written still arrives."""
        other, self._other = self._other, None
        self._arriving.clear()
        if other is not None:
            other.join(None)
            other.wake()
            self.wake()

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        self.close()

    def abort(self) -> None:
        """End the channel now; what was written and has not arrived is lost."""
        if self._other is not None:
            self._other._arriving.clear()
        self.close()

    def set_handler(self, handler: Handler) -> None:
        self._handler = handler

    def wake(self) -> None:
        """Deliver in the next turn of the loop."""
        if not self._due and not self._is_over:
            self._due = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._is_over or (self._paused and self._other is not None):
            return
        try:
            if self._arriving and not self._paused:
                piece = bytes(self._arriving[:_PIECE])
                del self._arriving[:_PIECE]
                self.wake()
                self._handler.data_received(piece)
            elif self._other is None:
                self._is_over = True
                self._handler.disconnected(None)
        except Exception as error:  # a handler's fault ends its own channel
            self._on_error(error)
            self.abort()
            if not self._is_over:
                self._is_over = True
                self._handler.disconnected(LocalError("the handler of this channel failed"))


def connect(
    ends: tuple[Handler, Handler], places: tuple[Endpoint, Endpoint], on_error: Callable[[Exception], object]
) -> None:
    """Open a channel between two handlers, the client's and the server's, at these places."""
    client, server = ends
    near = ChannelEnd(client, places[0], places[1], on_error)
    far = ChannelEnd(server, places[1], places[0], on_error)
    near.join(far)
    far.join(near)
    client.connected(near)
    server.connected(far)
