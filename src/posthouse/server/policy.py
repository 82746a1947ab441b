"""Protocols of what stands behind the receiving SMTP: the policy that decides, and the intake that takes the content.

``server`` knows the SMTP dialogue, and neither directory nor spool nor configuration.  It declares here what it calls,
and a higher layer hands in the objects (``service.policy`` for the daemon, an ``App`` for a library user).

A policy answers with a ``Verdict`` at once, or with an awaitable of one if it has to ask (the DNS, the disk).  The
session awaits only then, so that the common case costs no task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from posthouse.core import Envelope, NetworkError, Recipient, Remark, Reply, Verdict
from posthouse.core._mypyc import mypyc_attr
from posthouse.net.tls_engine import TlsInfo
from posthouse.protocol.commands import Greet, Mail, Rcpt
from posthouse.protocol.sasl.exchange import Authenticated, Denied, Exchange, Question
from posthouse.protocol.sasl.mechanisms import MECHANISMS, ServerContext, server_exchange

__all__ = [
    "Answer",
    "CommandPolicy",
    "ForwardingPolicy",
    "Intake",
    "LoginTerms",
    "Peer",
    "Policy",
    "PolicyFactory",
    "SecuredPolicy",
]

Answer = Verdict | Awaitable[Verdict]


class Peer(NamedTuple):
    """The client's address and port, ``("", 0)`` for a unix socket; ``local_host`` and ``local_port`` are our own."""

    host: str
    port: int
    local_host: str = ""
    local_port: int = 0


class Intake(Protocol):
    """The taker of one message's content.

    The session calls ``write`` for each piece, then exactly one of ``commit`` or ``abort``; before ``commit`` it calls
    ``remarked``, if a lenient server has tolerated something.  If the channel ends while the result of ``commit`` is
    waited for, ``abort`` is called as well: no client will hear that result.

    An intake that can no longer succeed (too large, disk full) keeps taking ``write`` calls, drops the octets, and
    gives the reason in the verdicts of ``commit``.
    """

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets (CRLF line ends, dot-stuffing undone).

        An awaitable means back-pressure: the session stops reading until it is done.  Nothing that the peer does
        raises an exception.
        """
        ...

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """What a lenient server has tolerated in this message.  A strict one never calls it."""
        ...

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        """Store the message.  It is promised only when this returns a 250.

        One verdict for SMTP; one for each accepted recipient, in their order, for LMTP (RFC 2033 §4.2).
        """
        ...

    def abort(self) -> None:
        """Drop the message: the peer vanished, said RSET, or broke the protocol.

        After ``commit``: drop it if storing has not begun, because the client will send it again.
        """
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
        """May this recipient be added?  ``envelope`` is that of MAIL, without recipients.  ``accepted`` are the
        recipients so far, in their order; the list grows and must not be changed or kept."""
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
        """The session refused by itself what was illegal or past a limit.  This is for the log; there is no answer."""
        ...

    def disconnected(self) -> None:
        """The session is over."""
        ...


class SecuredPolicy(Policy, Protocol):
    """The policy of a session in a server with a ``Protection``, which has more to tell it."""

    def tls_started(self, info: TlsInfo) -> None:
        """TLS is up; whatever the client said before does not count (RFC 3207 §4.2)."""
        ...

    def tls_failed(self, error: NetworkError) -> None:
        """The handshake failed, and the session is over.  This is for the log; there is no answer."""
        ...

    def logged_in(self, outcome: Authenticated) -> Answer:
        """AUTH succeeded so far; the verdict says whether the account may log in (235 2.7.0)."""
        ...

    def login_denied(self, outcome: Denied) -> Answer:
        """AUTH failed; the verdict's reply is that of ``outcome``, or one that ends the session."""
        ...


class CommandPolicy(SecuredPolicy, Protocol):
    """The policy of a session in a server with ``all_commands``, which answers every command: the reply of ``greeted``
    has all lines of EHLO, and NOOP, RSET and QUIT are its own."""

    def command(self, verb: str, text: str) -> Answer:
        """NOOP, with its text or "", RSET or QUIT."""
        ...


class ForwardingPolicy(SecuredPolicy, Protocol):
    """The policy of a session in a server with ``Proxies``, which has more to tell it."""

    def named(self, by: Peer, name: str, helo: str, protocol: str) -> None:
        """XCLIENT of the peer ``by`` has made this the session of another client; "" for what it did not say.  Called
        before ``connected``."""
        ...

    def forwarded(self, attributes: Mapping[str, str]) -> None:
        """XFORWARD: what is to be recorded of the next message's client; "" for what is not known."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class LoginTerms:
    """Base class of what a server must know to let clients log in: what it offers, its secrets, and the accounts."""

    def offered(self, *, tls: bool, loopback: bool) -> tuple[str, ...]:
        """The SASL mechanisms that EHLO announces on such a channel."""
        raise NotImplementedError

    @property
    def needs_certificate(self) -> bool:
        """Whether EXTERNAL is offered only to a client whose certificate was verified (RFC 4422 appendix A)."""
        return True

    def identity_of(self, info: TlsInfo) -> str:
        """The name of the account in a verified client certificate, "" without one."""
        return info.identity

    def context(self, offered: tuple[str, ...], bindings: Mapping[str, bytes], identity: str | None) -> ServerContext:
        """What a mechanism must know: fresh random values, and the facts of the channel that are given."""
        raise NotImplementedError

    def exchange(
        self, policy: SecuredPolicy, mechanism: str, initial: bytes | None, context: ServerContext
    ) -> Exchange | None:
        """The server's part of a mechanism that was offered, by its name in upper case; None if it is not known.

        ``policy`` is that of the session.
        """
        known = MECHANISMS.get(mechanism)
        return server_exchange(known, initial, context) if known is not None else None

    async def answer(self, question: Question) -> Any:
        """The accounts' answer; an exception becomes 454."""
        raise NotImplementedError

    def is_right(self, question: Question) -> bool:
        """Whether the accounts' answer certainly is yes, if that is known at once; else they are asked by
        ``answer_to``."""
        return False

    async def answer_to(self, host: str, question: Question) -> Any:
        """As ``answer``, for a client at ``host``: clients that guess may be made to wait for each other."""
        return await self.answer(question)


class PolicyFactory(Protocol):
    """Makes a session's policy."""

    def __call__(self, peer: Peer) -> Policy: ...
