"""Settings of a receiving SMTP: what a listener hands to each of its sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from posthouse.net import Clock
from posthouse.protocol import Limits, Offer, Transcript
from posthouse.protocol.leniency import Leniency
from posthouse.server.policy import Peer, PolicyFactory

__all__ = ["ServerTimeouts", "SessionSettings"]


class ServerTimeouts(NamedTuple):
    """How long a client may be silent, in seconds.  RFC 5321 §4.5.3.2.7 wants at least five minutes."""

    #: Between commands.
    command: float = 300.0
    #: Between two pieces of content.
    content: float = 300.0
    #: For a whole content, from 354 (or the first BDAT) to its end.
    transfer: float = 3600.0


class SessionSettings(NamedTuple):
    """What all sessions of one server have in common.

    ``policy`` makes a session's policy and ``transcript`` its transcript (None: no transcripts); ``on_error`` is given
    the exceptions of a policy or an intake, which end as 451 for the client.  ``leniency`` says what is
    tolerated from a peer.
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
    leniency: Callable[[Peer], Leniency]
