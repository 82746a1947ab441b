"""Settings of a receiving SMTP: what a listener hands to each of its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from posthouse.net import Clock
from posthouse.protocol import Limits, Offer, Transcript
from posthouse.protocol.leniency import Leniency
from posthouse.server.policy import Peer, PolicyFactory
from posthouse.server.turn_queue import TurnQueue

__all__ = ["LEAST_RATE", "SLOW_START", "ServerTimeouts", "SessionSettings"]

#: Octets of content a second; slower content is ended with 421.
LEAST_RATE: Final = 100.0
#: Seconds of content that are not judged by their speed.
SLOW_START: Final = 300.0


class ServerTimeouts(NamedTuple):
    """Limits on time, in seconds.

    RFC 5321 §4.5.3.2.7 wants at least five minutes between commands.  A command counts when it is complete, so that one
    sent octet by octet does not hold a session open.  Content must come at ``LEAST_RATE`` after its first
    ``SLOW_START`` seconds.
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


class SessionSettings(NamedTuple):
    """What all sessions of one server have in common.

    ``policy`` makes a session's policy and ``transcript`` its transcript (None: no transcripts); ``on_error`` is given
    the exceptions of a policy or an intake, which end as 451 for the client.  ``turns`` has the sessions that have more
    to do than one turn of the loop allows them.  ``leniency`` says what is tolerated from a peer.
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
