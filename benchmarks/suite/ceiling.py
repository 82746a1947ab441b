"""Ceiling of every client: raw sockets that write the octets of a dialogue and count the lines of the replies.

Nothing is parsed, checked or built, so no client in Python is faster with this receiver on this machine.  A client that
comes near the ceiling waits for the receiver, and its ratio to another client says little.
"""

from __future__ import annotations

import select
import socket
import time

__all__ = ["in_line", "one_at_a_time"]

_TIMEOUT = 60.0
_READ = 65_536
#: Lines of the replies to MAIL, RCPT and DATA.
_ENVELOPE_REPLIES = 3


def _lines(channel: socket.socket, count: int) -> None:
    """Read until so many lines have come."""
    while count > 0:
        data = channel.recv(_READ)
        if not data:
            raise ConnectionError("the receiver has closed the connection")
        count -= data.count(b"\r\n")


def _session(port: int) -> socket.socket:
    """A session behind the reply to EHLO."""
    channel = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _lines(channel, 1)
    channel.sendall(b"EHLO load.test\r\n")
    greeted = b""
    while not greeted.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2].startswith(b"250 "):
        data = channel.recv(_READ)
        if not data:
            raise ConnectionError("the receiver has closed the connection")
        greeted += data
    return channel


def one_at_a_time(port: int, envelope: bytes, content: bytes, amount: int) -> float:
    """Seconds for so many messages on one connection; an envelope is sent when the message before it has its reply.

    ``envelope`` is MAIL, RCPT and DATA, ``content`` ends with the dot.
    """
    with _session(port) as channel:
        begun = time.perf_counter()
        for _ in range(amount):
            channel.sendall(envelope)
            _lines(channel, _ENVELOPE_REPLIES)
            channel.sendall(content)
            _lines(channel, 1)
        return time.perf_counter() - begun


def in_line(port: int, envelope: bytes, content: bytes, amount: int, connections: int) -> float:
    """Seconds for so many messages on some connections; each envelope leaves behind the content before it."""
    sessions = {channel.fileno(): channel for channel in (_session(port) for _ in range(connections))}
    both = content + envelope
    awaited = dict.fromkeys(sessions, _ENVELOPE_REPLIES)
    poll = select.epoll()
    try:
        begun = time.perf_counter()
        for number, channel in sessions.items():
            channel.sendall(envelope)
            poll.register(number, select.EPOLLIN)
        done = 0
        while done < amount:
            ready = poll.poll(_TIMEOUT)
            if not ready:
                raise TimeoutError(f"the receiver was silent for {_TIMEOUT:g} s")
            for number, _ in ready:
                data = sessions[number].recv(_READ)
                if not data:
                    raise ConnectionError("the receiver has closed the connection")
                awaited[number] -= data.count(b"\r\n")
                if awaited[number] <= 0:
                    sessions[number].sendall(both)
                    awaited[number] = 1 + _ENVELOPE_REPLIES
                    done += 1
        return time.perf_counter() - begun
    finally:
        poll.close()
        for channel in sessions.values():
            channel.close()
