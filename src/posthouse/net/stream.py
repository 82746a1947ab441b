"""A channel that carries bytes, as callbacks (DESIGN §6): bytes in → events → replies out, in one turn of the loop.

``net`` gives the two ends of a conversation to each other: a ``Stream`` to write to, a ``Handler`` that is told what
arrived.  ``Network`` opens and accepts; sockets are one network, the in-memory one of ``posthouse.testing`` another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["Endpoint", "Handler", "HandlerFactory", "Listener", "Network", "Stream"]


class Endpoint(NamedTuple):
    """One end of a channel: an IP address and port, or a unix socket's path with port 0.

    ``str()`` gives ``192.0.2.1:25``, ``[2001:db8::1]:25`` or the path.
    """

    host: str
    port: int = 0

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Stream(Protocol):
    """The writing side of an open channel, and its controls.  Every method returns at once."""

    @property
    def peer(self) -> Endpoint:
        """The other end."""
        ...

    @property
    def local(self) -> Endpoint:
        """Our end."""
        ...

    def write(self, data: bytes) -> None:
        """Queue ``data``; dropped silently after the channel has ended (``disconnected`` tells).

        When the queue grows past its high-water mark the handler's ``pause_writing`` is called, and
        ``resume_writing`` once it has drained.
        """
        ...

    def pause_reading(self) -> None:
        """No more ``data_received`` until ``resume_reading``; harmless when already paused."""
        ...

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""
        ...

    def close(self) -> None:
        """Send what is queued, then end the channel; ``disconnected`` follows."""
        ...

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        """Send what is queued, say that nothing more will come, then read and drop what the peer still sends until
        it ends the channel, ``seconds`` pass or ``octets`` were dropped; so that a last reply is not lost to a
        connection reset.  The handler hears no more ``data_received``."""
        ...

    def abort(self) -> None:
        """End the channel now, dropping what is queued."""
        ...


class Handler(Protocol):
    """Who is told what happens on a channel."""

    def connected(self, stream: Stream) -> None:
        """The channel is open; called once, first."""
        ...

    def data_received(self, data: bytes) -> None:
        """Octets arrived, at least one."""
        ...

    def eof_received(self) -> None:
        """The peer will send no more; writing may still work."""
        ...

    def pause_writing(self) -> None:
        """The write queue is past its high-water mark."""
        ...

    def resume_writing(self) -> None:
        """The write queue has drained."""
        ...

    def disconnected(self, error: Exception | None) -> None:
        """The channel has ended; called once, last.  ``error`` is None for an orderly end."""
        ...


HandlerFactory = Callable[[], Handler]


class Listener(Protocol):
    """A place where channels are accepted."""

    @property
    def local(self) -> Endpoint:
        """Where it listens; the port is the real one if 0 was asked for."""
        ...

    def close(self) -> None:
        """Accept no more; channels that are open stay open."""
        ...


class Network(Protocol):
    """Opens and accepts channels."""

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        """Open a channel to one address.  ``handler.connected`` has been called when this returns.

        ``source`` is the local address to use.  Raises ``Unreachable``; cancel to give up sooner than the system.
        """
        ...

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        """Accept channels at ``endpoint``, a new handler for each.  Raises ``SettingError`` naming the address and
        the remedy if it cannot be had."""
        ...
