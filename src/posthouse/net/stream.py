"""Byte channels with callbacks, so that input is processed and answered in one turn of the loop.

A ``Stream`` is the writing side of a channel; a ``Handler`` gets the octets that arrive.  A ``Network`` opens and
accepts channels: over sockets, or in memory (``posthouse.testing``).

All networks keep these promises, which ``posthouse.testing.conformance.streams`` checks:

* Order: ``connected``, then ``data_received`` in the order of writing, then at most one ``eof_received``, then exactly
  one ``disconnected``.
* Turns: no method of a ``Stream`` calls its handler before it returns, except ``write``, which may call
  ``pause_writing``.
* After ``close``, ``close_gently`` or ``abort`` on this side the handler gets ``disconnected`` and no other call.
* Faults are isolated: an exception of a handler ends its own channel (``disconnected`` gets a ``LocalError``) and is
  reported by the network; all other channels continue.
* Waits are bounded: after ``close`` the queued octets get a bounded time, then the channel is cut.

TLS is a layer in between: an object that is the ``Handler`` of one stream and the ``Stream`` of the handler above it.
``set_handler`` inserts such a layer into an open channel (STARTTLS).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Final, NamedTuple, Protocol

from posthouse.core import SettingError

__all__ = ["Endpoint", "Handler", "HandlerFactory", "Listener", "Network", "Stream", "interleave"]

_HOST_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%a-zA-Z]+)\]|([^\s:/@\[\]?#]+))(?::([0-9]{1,5}))?")
_REMEDY: Final = 'write it like "127.0.0.1:25", "[::1]:25" or "unix:/path/of/socket"'


class Endpoint(NamedTuple):
    """One end of a connection: an IP address and port, or a unix socket's path with port 0.

    A host with a slash in it is a path.  ``str()`` gives ``192.0.2.1:25``, ``[2001:db8::1]:25`` or the path.  The far
    end of an accepted unix socket has no name: ``Endpoint("")``.
    """

    host: str
    port: int = 0

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> Endpoint:
        """Read ``192.0.2.1:25``, ``[2001:db8::1]:25``, ``mail.example.org:25`` or ``unix:/path/of/socket``.

        The host may be a name, which becomes lower case; a listener and a resolver need an address, and check for one
        with ``is_address``.

        Args:
            text: What a person wrote; white space around it is ignored.
            default_port: The port of a text without one; None if the port must be written.

        Raises:
            SettingError: The text names no endpoint.  ``where`` is the text; the caller adds the place of the setting.
        """
        text = text.strip()
        if text.startswith("unix:/"):
            return cls(text.removeprefix("unix:"))
        if text.startswith(":"):
            remedy = f'write "0.0.0.0{text}" for every IPv4 address'
            raise SettingError("this does not name an address", where=text, remedy=remedy)
        match = _HOST_PORT.fullmatch(text)
        if match is None or (match[3] is None and default_port is None):
            raise SettingError("this is not a host and port", where=text, remedy=_REMEDY)
        port = int(match[3]) if match[3] is not None else default_port or 0
        if port > 65_535:
            raise SettingError(f"there is no port {port}", where=text, remedy="write one from 1 to 65535")
        endpoint = cls(match[1] or match[2].lower(), port)
        if match[1] is not None and not endpoint.is_address:
            raise SettingError(f'"{match[1]}" is not an IP address', where=text, remedy=_REMEDY)
        return endpoint

    @property
    def is_path(self) -> bool:
        """Whether this is a unix socket's path."""
        return "/" in self.host

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, with a zone (``fe80::1%eth0``) or without."""
        host, zone, name = self.host.partition("%")
        if zone and not name:
            return False
        for family in (socket.AF_INET6,) if zone else (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, host)
            except OSError:
                continue
            except ValueError:  # a NUL or a surrogate
                return False
            return True
        return False

    @property
    def is_loopback(self) -> bool:
        """Whether this is an end on this machine: a unix socket, or a loopback address."""
        host = self.host.lower().removeprefix("::ffff:")
        return not host or self.is_path or host == "::1" or (host.startswith("127.") and self.is_address)

    def __str__(self) -> str:
        if self.is_path or not self.host:
            return self.host or "a local process"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def interleave(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The order of attempts: an IPv6 address, another family's, IPv6 again, and so on (RFC 8305 §4).

    Within a family the given order stays; of equal endpoints the first counts.
    """
    unique = list(dict.fromkeys(endpoints))
    six = [endpoint for endpoint in unique if ":" in endpoint.host]
    rest = [endpoint for endpoint in unique if ":" not in endpoint.host]
    return [endpoint for endpoint in chain(*zip_longest(six, rest)) if endpoint is not None]


class Stream(Protocol):
    """The writing side of an open connection, and its controls.  Every method returns at once."""

    @property
    def peer(self) -> Endpoint:
        """The other end."""
        ...

    @property
    def local(self) -> Endpoint:
        """Our end."""
        ...

    def write(self, data: bytes) -> None:
        """Queue ``data``; after ``disconnected`` it is dropped without an error.

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
        """Send the queued octets, then end the channel; ``disconnected`` follows.

        If the peer is still sending, a connection reset may destroy what it has not read yet; ``close_gently`` avoids
        that.
        """
        ...

    def close_gently(self, seconds: float = 5.0, octets: int = 16_777_216) -> None:
        """Send the queued octets and end this direction, so that no connection reset destroys the last reply.

        Input is read and dropped until the peer ends the channel, ``seconds`` have passed or ``octets`` were dropped.
        The handler gets no more ``data_received``.
        """
        ...

    def abort(self) -> None:
        """End the channel now and drop the queued octets; the peer sees an end or a reset."""
        ...

    def set_handler(self, handler: Handler) -> None:
        """Replace the handler; the new one gets no ``connected``, because the channel is open already."""
        ...


class Handler(Protocol):
    """The receiver of a channel's events."""

    def connected(self, stream: Stream) -> None:
        """The connection is open; called once, first."""
        ...

    def data_received(self, data: bytes) -> None:
        """At least one octet arrived, and at most the read size of the network (256 KiB)."""
        ...

    def eof_received(self) -> None:
        """The peer will send no more; writing may still work.  The connection stays open until this side closes it."""
        ...

    def pause_writing(self) -> None:
        """The write queue is past its high-water mark."""
        ...

    def resume_writing(self) -> None:
        """The write queue has drained."""
        ...

    def disconnected(self, error: Exception | None) -> None:
        """The connection has ended; called once, last.  ``error`` is None for an orderly end."""
        ...


HandlerFactory = Callable[[], Handler]


class Listener(Protocol):
    """Accepts channels at one endpoint."""

    @property
    def local(self) -> Endpoint:
        """The endpoint; a port that was given as 0 is the one that the system chose."""
        ...

    def close(self) -> None:
        """Accept no more channels; open ones stay open."""
        ...


class Network(Protocol):
    """Opens and accepts connections."""

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> Stream:
        """Open a connection to one address.  ``handler.connected`` has been called when this returns.

        ``source`` is the local address to use.  Raises ``Unreachable``, whose text names the endpoint; ``LocalError``
        if the host is a name (ask a resolver first).  Cancel to give up sooner than the system: nothing stays open.
        """
        ...

    async def listen(self, endpoint: Endpoint, factory: HandlerFactory, *, backlog: int = 512) -> Listener:
        """Accept connections at ``endpoint``, with a new handler for each.

        Must be called on the loop that is to serve the connections.  Raises ``SettingError``, which names the address
        and the remedy.
        """
        ...
