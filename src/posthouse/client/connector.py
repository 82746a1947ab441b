"""Opening a session: a host's addresses raced, and the dialogue up to the reply to EHLO."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.client.model import SessionRefused, Timeouts
from posthouse.client.session import Session
from posthouse.core import NetworkError, RemoteError
from posthouse.net import Clock, Endpoint, Network, connect_any
from posthouse.protocol import Limits, Tap, Transcript

__all__ = ["connect"]


async def connect(
    endpoints: Sequence[Endpoint],
    *,
    network: Network,
    clock: Clock,
    hostname: str,
    name: str = "",
    lmtp: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
    tap: Tap | None = None,
    source: str = "",
) -> Session:
    """Open a session with whichever of one host's addresses answers first (RFC 8305), up to the reply to EHLO.

    ``hostname`` is how we name ourselves, ``name`` the host's name for people, ``source`` the local address to use.
    ``tap`` is told the dialogue as values, or ``transcript`` each line of it.
    Raises Unreachable, SessionRefused, TimedOut, Broken or RemoteError; the channel is closed then.
    """
    timeouts = timeouts or Timeouts()

    def make() -> Session:
        return Session(
            clock=clock,
            hostname=hostname,
            name=name,
            lmtp=lmtp,
            timeouts=timeouts,
            limits=limits,
            transcript=transcript,
            tap=tap,
        )

    _, session = await connect_any(network, clock, endpoints, make, source=source, timeout=timeouts.connect)
    try:
        await session.open()
    except (RemoteError, NetworkError) as error:
        if isinstance(error, SessionRefused) and session.fault is None:
            await session.quit()
        else:
            session.abort()
        raise
    except BaseException:
        session.abort()
        raise
    return session
