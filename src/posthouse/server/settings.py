"""Settings of a receiving SMTP: what a listener hands to each of its sessions."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

from posthouse.net import Clock
from posthouse.protocol import Limits, Offer, Transcript
from posthouse.protocol.leniency import Leniency
from posthouse.server.policy import LoginTerms, Peer, PolicyFactory
from posthouse.server.turn_queue import TurnQueue

__all__ = ["Protection", "Proxies", "ServerTimeouts", "SessionSettings"]


class ServerTimeouts(NamedTuple):
    """Limits on time, in seconds.

    RFC 5321 §4.5.3.2.7 wants at least five minutes between commands.  A command counts when it is complete, so that one
    sent octet by octet does not hold a session open.
    """

    #: From one complete command to the next.
    command: float = 300.0
    #: Between two pieces of content.
    content: float = 300.0
    #: For a whole content, from 354 (or the first BDAT) to its end.
    transfer: float = 3600.0
    #: For a session without an accepted message, outside content.
    session: float = 1800.0
    #: For an answer of our own: a policy's, or the result of storing.
    answer: float = 600.0
    #: Octets of content a second, on average, after the first ``slow_start`` seconds; 0: any speed.
    least_rate: float = 100.0
    slow_start: float = 300.0
    #: For a TLS handshake.
    handshake: float = 30.0

    def transfer_of(self, octets: int) -> float:
        """The time that content may have taken by now, if so many octets of it have come."""
        if not self.least_rate:
            return self.transfer
        return min(self.transfer, self.slow_start + octets / self.least_rate)

    @property
    def shortest(self) -> float:
        """The shortest time of a session that has a limit."""
        return min(self.command, self.content, self.transfer, self.session, self.answer, self.slow_start)


class Protection(NamedTuple):
    """How sessions are protected: TLS and logging in.

    ``tls`` gives the TLS settings for a new handshake (None: no TLS), ``implicit`` means TLS from the first octet, and
    otherwise STARTTLS is offered.  ``login`` has the terms of AUTH (None: no AUTH).  With ``tls_required`` no AUTH is
    offered in clear; refusing mail in clear is the policy's part.
    """

    tls: Callable[[], ssl.SSLContext] | None = None
    implicit: bool = False
    login: LoginTerms | None = None
    tls_required: bool = False

    def offer(self, base: Offer, *, tls: bool, loopback: bool, certified: bool = True) -> Offer:
        """What EHLO announces on such a channel.  ``certified``: whether the client has shown a certificate that was
        verified; EXTERNAL is offered to no other, because it could only fail (RFC 4422 appendix A), unless the
        terms say otherwise."""
        login = self.login
        auth = () if login is None or (self.tls_required and not tls) else login.offered(tls=tls, loopback=loopback)
        if not certified and "EXTERNAL" in auth and login is not None and login.needs_certificate:
            auth = tuple(each for each in auth if each != "EXTERNAL")
        return base._replace(starttls=self.tls is not None and not tls, auth=auth)


class Proxies(NamedTuple):
    """The addresses that may speak for other clients, each as a function of a peer's host: by the PROXY protocol, whose
    header must come within ``seconds``; by XCLIENT; by XFORWARD."""

    proxy: Callable[[str], bool]
    xclient: Callable[[str], bool]
    xforward: Callable[[str], bool]
    seconds: float = 5.0


class SessionSettings(NamedTuple):
    """What all sessions of one server have in common.

    ``policy`` makes a session's policy and ``transcript`` its transcript (None: no transcripts); ``on_error`` is given
    the exceptions of a policy or an intake, which end as 451 for the client.  ``turns`` has the sessions that have more
    to do than one turn of the loop allows them.
    ``leniency`` says what is tolerated from a peer.  ``proxies`` may speak for other clients; None: nobody may.
    ``greeting_pause``: seconds before 220, in which a client that speaks is refused.  ``all_commands``: the policy is a
    ``CommandPolicy``.
    """

    policy: PolicyFactory
    clock: Clock
    hostname: str
    offer: Offer
    lmtp: bool
    limits: Limits
    timeouts: ServerTimeouts
    transcript: Callable[[], Transcript] | None
    on_error: Callable[[BaseException], None]
    turns: TurnQueue
    leniency: Callable[[Peer], Leniency]
    protection: Protection | None = None
    proxies: Proxies | None = None
    greeting_pause: float = 0.0
    all_commands: bool = False
