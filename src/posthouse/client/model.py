"""Time limits of a session, the replies that opened it, and the exception of a refused one."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.core import RemoteError, Reply

__all__ = ["Greeted", "INTERACTIVE_TIMEOUTS", "SessionRefused", "Timeouts"]


class Timeouts(NamedTuple):
    """Time limits of a session in seconds, one for each phase.

    The defaults are those of RFC 5321 §4.5.3.2.  ``connect`` covers all addresses of the host together, ``block`` a
    peer that does not read content, ``final`` the reply to the end of the content.
    """

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    quit: float = 5.0


#: Time limits where a person or a program waits for the outcome: shorter than those of a relay for the greeting and the
#: commands, and still enough for a busy server.
INTERACTIVE_TIMEOUTS: Final = Timeouts(greeting=60.0, command=60.0, quit=2.0)


class SessionRefused(RemoteError):
    """The peer refused the session: its greeting, or its reply to EHLO and HELO, was negative.

    ``reply`` is that reply.
    """

    reply: Reply


class Greeted(NamedTuple):
    """The replies that opened a session: the greeting, and the reply to EHLO, LHLO or HELO."""

    greeting: Reply
    hello: Reply
