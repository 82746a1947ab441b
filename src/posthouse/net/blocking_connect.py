"""Opening a TCP or unix connection to a host with several addresses, without an event loop (RFC 8305).

The order and the delays are those of ``net.connect``: the next address joins when an attempt has failed, or after
``attempt_delay``; the first connection wins, and the others are closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Iterable

from posthouse.core import NetworkError, Unreachable
from posthouse.net.clock import Clock
from posthouse.net.stream import Endpoint, interleave
from posthouse.net.system import address_of, new_socket, unreachable

__all__ = ["connect_blocking"]

_UNDER_WAY = (errno.EINPROGRESS, errno.EINTR)


def connect_blocking(
    endpoints: Iterable[Endpoint],
    clock: Clock,
    *,
    source: str = "",
    attempt_delay: float = 0.25,
    timeout: float = 30.0,
) -> tuple[socket.socket, Endpoint]:
    """Connect to whichever of ``endpoints`` answers first; returns the socket, which does not block, and its endpoint.

    Args:
        endpoints: The addresses of one host.
        clock: The clock for the time limits.
        source: The local address to use.
        attempt_delay: Seconds after which the next attempt joins those under way.
        timeout: The time limit for all attempts together, in seconds.

    Raises:
        Unreachable: No attempt succeeded; the text names each address and why it failed.
        LocalError: An endpoint is neither an IP address nor a path.
    """
    waiting = deque(interleave(endpoints))
    if not waiting:
        raise Unreachable("there is no address to connect to")
    failures: list[NetworkError] = []
    begun = clock.monotonic()
    joins = begun
    won: list[socket.socket] = []
    with selectors.DefaultSelector() as running, contextlib.ExitStack() as others:
        while waiting or running.get_map():
            now = clock.monotonic()
            if now - begun >= timeout:
                break
            if waiting and (now >= joins or not running.get_map()):
                endpoint = waiting.popleft()
                joins = now + attempt_delay
                try:
                    sock = _attempt(endpoint, source)
                except OSError as error:
                    failures.append(unreachable(error, endpoint, source))
                    continue
                running.register(sock, selectors.EVENT_WRITE, endpoint)
                others.callback(_close_unless, sock, won)
            left = begun + timeout - clock.monotonic()
            for key, _ in running.select(max(0.0, min(left, joins - clock.monotonic()) if waiting else left)):
                found = key.fileobj
                assert isinstance(found, socket.socket)
                running.unregister(found)
                try:
                    _raise_failure(found)
                except OSError as error:
                    failures.append(unreachable(error, key.data, source))
                    joins = clock.monotonic()
                    continue
                won.append(found)
                return found, key.data
        parts = [str(failure) for failure in failures]
        parts += [f"{key.data} did not answer within {timeout:g} s" for key in running.get_map().values()]
        parts += [f"{endpoint} was not tried in time" for endpoint in waiting]
    raise Unreachable(parts[0] if len(parts) == 1 else "no address could be reached: " + "; ".join(parts))


def _attempt(endpoint: Endpoint, source: str) -> socket.socket:
    """A socket whose connection is under way.  Raises ``OSError``."""
    family, address = address_of(endpoint)
    sock = new_socket(family)
    try:
        if source and not endpoint.is_path:
            source_family, source_address = address_of(Endpoint(source))
            if source_family != family:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            sock.bind(source_address)
        code = sock.connect_ex(address)
        if code and code not in _UNDER_WAY:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _raise_failure(sock: socket.socket) -> None:
    """Raise the ``OSError`` of an attempt that has failed."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    sock.getpeername()  # a unix socket whose queue is full looks connected, and is not


def _close_unless(sock: socket.socket, won: list[socket.socket]) -> None:
    """Close the socket of an attempt that did not win."""
    if sock not in won:
        sock.close()
