"""How long a session waits, and what opening one tells."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.core import RemoteError, Reply

__all__ = ["Greeted", "SessionRefused", "Timeouts"]


class Timeouts(NamedTuple):
    """How long to wait, in seconds: RFC 5321 §4.5.3.2's values, and one for opening the channel."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    quit: float = 5.0


class SessionRefused(RemoteError):
    """The peer would not open a session: its greeting or its reply to EHLO and HELO was negative.

    ``reply`` is that reply.
    """

    reply: Reply


class Greeted(NamedTuple):
    """What opening a session told: the greeting, and the reply to EHLO, LHLO or HELO."""

    greeting: Reply
    hello: Reply
