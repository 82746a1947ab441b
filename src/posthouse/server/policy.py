"""What the receiving SMTP asks of whoever stands behind it.

``server`` knows the dialogue and nothing of accounts, spool or configuration.  It declares here what it must be
told, and somebody above hands in the objects (``service.policy.listener_policy`` for the daemon, an ``App`` for a
library user).

A policy answers with a ``Verdict`` at once, or with an awaitable of one if it has to ask someone (DNS, disk).  The
session awaits only then: the common case costs no task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, Protocol

from posthouse.core import Envelope, Recipient, Reply, Verdict
from posthouse.protocol.commands import Greet, Mail, Rcpt

__all__ = ["Answer", "Intake", "Peer", "Policy", "PolicyFactory"]

Answer = Verdict | Awaitable[Verdict]


class Peer(NamedTuple):
    """Who is on the other end: address and port, ``("", 0)`` for a unix socket; ``local`` the same of our end."""

    host: str
    port: int
    local_host: str = ""
    local_port: int = 0


class Intake(Protocol):
    """One message's content on its way into safety (DESIGN §5).

    The session calls ``write`` for each piece, then exactly one of ``commit`` or ``abort``.  An intake that can no
    longer succeed (too large, disk full) keeps taking ``write`` calls, drops what it is given, and says so in
    ``commit``'s verdicts.
    """

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets (CRLF line ends, dot-stuffing undone).

        An awaitable means back-pressure: the session stops reading until it is done.  Never raises for what the
        peer did.
        """
        ...

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        """Store it.  Only when this returns a 250 is the message promised.

        One verdict for SMTP; one for each accepted recipient, in their order, for LMTP (RFC 2033 §4.2).
        """
        ...

    def abort(self) -> None:
        """Forget it: the peer vanished, reset, or broke the protocol."""
        ...


class Policy(Protocol):
    """The decisions of one session.  One object per connection, made by a ``PolicyFactory``."""

    def connected(self) -> Answer:
        """The opening reply: 220, or 421/554 to send the peer away (RFC 5321 §3.1)."""
        ...

    def greeted(self, greet: Greet) -> Answer:
        """After HELO, EHLO or LHLO.  The session adds the extension lines to a positive EHLO/LHLO reply."""
        ...

    def mail(self, mail: Mail) -> Answer:
        """May this sender begin a transaction?"""
        ...

    def rcpt(self, envelope: Envelope, rcpt: Rcpt, accepted: Sequence[Recipient]) -> Answer:
        """May this recipient be added?  ``envelope`` is what MAIL said, without recipients; those who were ``accepted``
        so far, in their order, are only to be looked at: their number grows."""
        ...

    def verify(self, text: str) -> Answer:
        """VRFY."""
        ...

    def expand(self, text: str) -> Answer:
        """EXPN."""
        ...

    def help(self, topic: str) -> Answer:
        """HELP, with its argument or ""."""
        ...

    def intake(self, envelope: Envelope) -> Intake | Verdict:
        """The recipients are known and content is about to come; a verdict refuses DATA instead."""
        ...

    def refused(self, what: str, reply: Reply) -> None:
        """The session itself refused something illegal or past a limit; told for the log, nothing is asked."""
        ...

    def disconnected(self) -> None:
        """The session is over."""
        ...


class PolicyFactory(Protocol):
    """Makes a session's policy."""

    def __call__(self, peer: Peer) -> Policy: ...
