"""Limits on what a client repeats in one session.

Everything that a client can do again and again without bringing a message is counted: errors (illegal commands, refused
MAIL and DATA, refused content), refused recipients, recipients beyond the limit of a transaction, and idle commands
(HELO, EHLO, NOOP, RSET, VRFY, EXPN, HELP, BDAT with a few octets).  One too many ends the session with 421 and the
reason.  An accepted message sets all counts back to 0, so that a long session with many messages never ends for what it
did hours ago; Postfix does the same.

A client that has used half of a limit (of the idle commands, a fifth) is answered more slowly: after each turn its
session rests for 0.5 s to 1 s, and no other session waits for it.  With 200 sessions of one host, each of which may say
1,000 idle commands, it is the rest that keeps most of the processor for others.
"""

from __future__ import annotations

from typing import Final

from posthouse.core import Reply
from posthouse.protocol import Limits, Receiver, State
from posthouse.server.policy import Policy

__all__ = ["Conduct", "EXCESS_FACTOR", "SMALL_CHUNK"]

#: A BDAT chunk of fewer octets, not the last of its message, counts as an idle command.
SMALL_CHUNK: Final = 512
#: Recipients beyond the limit of a transaction, in multiples of this limit, before the session is ended.  They are many
#: because clients that give all recipients of a long list in one transaction may send to the first part of them (RFC
#: 5321 §4.5.3.1.10).
EXCESS_FACTOR: Final = 10

_SLOW_FROM: Final = 0.5  # the share of a limit from which on the session rests
_IDLE_SLOW_FROM: Final = 0.2
_FRUITLESS_FROM: Final = 0.02
_SHORTEST_REST: Final = 0.5  # seconds
_LONGEST_REST: Final = 1.0


class Conduct:
    """The counts of one session.

    Each method takes the octets of the reply to what it counts, and returns them with the 421 behind it if that was one
    too many.
    """

    __slots__ = (
        "_errors",
        "_excess",
        "_has_counted",
        "_idle",
        "_limits",
        "_policy",
        "_receiver",
        "_refused",
        "fruitless",
        "has_accepted",
        "rest",
    )

    def __init__(self, receiver: Receiver, policy: Policy, limits: Limits) -> None:
        self._receiver = receiver
        self._policy = policy
        self._limits = limits
        self._errors = 0
        self._idle = 0
        self._refused = 0
        self._excess = 0
        self._has_counted = False
        #: True since a message was accepted; the session sets it back when it has dated that.
        self.has_accepted = False
        #: True once a fiftieth of a limit is used: the client's next commands are not urgent.
        self.fruitless = False
        #: Seconds that the session rests after each turn.
        self.rest = 0.0

    def tell(self, policy: Policy) -> None:
        """The session is another client's now, with another policy; the counts stay."""
        self._policy = policy

    def accepted(self) -> None:
        """A message was accepted."""
        self.has_accepted = True
        if self._has_counted:
            self._has_counted = False
            self._errors = self._idle = self._refused = self._excess = 0
            self.rest = 0.0
            self.fruitless = False

    def error(self, wire: bytes) -> bytes:
        """An error."""
        self._errors += 1
        return self._counted(wire, self._errors, self._limits.errors, "errors")

    def idle(self, wire: bytes, commands: int = 1) -> bytes:
        """A command that brings no message, or one that undoes as much as ``commands`` of them did."""
        self._idle += commands
        most = self._limits.idle_commands
        return self._counted(wire, self._idle, most, "commands without a message", _IDLE_SLOW_FROM)

    def refused(self, wire: bytes, accepted: int) -> bytes:
        """A refused recipient; ``accepted`` are those of the open transaction, which a long list has as well."""
        self._refused += 1
        most = self._limits.refused_recipients + accepted
        return self._counted(wire, self._refused, most, "refused recipients")

    def excess(self, wire: bytes) -> bytes:
        """A recipient beyond the limit of a transaction."""
        self._excess += 1
        most = EXCESS_FACTOR * self._limits.recipients
        return self._counted(wire, self._excess, most, "recipients beyond the limit")

    def _counted(self, wire: bytes, count: int, most: int, what: str, slow_from: float = _SLOW_FROM) -> bytes:
        self._has_counted = True
        share = count / most if most else 1.0
        if share >= _FRUITLESS_FROM:
            self.fruitless = True
        if share >= slow_from:
            self.rest = max(self.rest, _SHORTEST_REST, min(_LONGEST_REST, share * _LONGEST_REST))
        if count <= most or self._receiver.state is State.CLOSED:
            return wire
        reply = Reply(421, "4.7.0", f"Too many {what} in one session (limit {most}); closing connection")
        self._policy.refused("session", reply)
        return wire + self._receiver.close(reply)
