"""Opening a session: the race of a host's addresses, and the dialogue up to the reply to EHLO, STARTTLS or AUTH."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from posthouse.client.channel import AsyncChannel
from posthouse.client.deadline import Deadline
from posthouse.client.model import LoginFailed, SessionRefused, Timeouts, TlsUnavailable
from posthouse.client.pipeline import expire
from posthouse.client.session import Session
from posthouse.core import NetworkError, RemoteError
from posthouse.net import Clock, Endpoint, Network, connect_any
from posthouse.protocol import Limits, Tap, Transcript

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.tls_policy import TlsPolicy

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
    tls: TlsPolicy | None = None,
    login: LoginSettings | None = None,
    deadline: Deadline | None = None,
) -> Session:
    """Open a session with one host: race its addresses (RFC 8305), then the dialogue that opens it.

    Args:
        endpoints: The addresses of the host.
        network: The network to open the connection in.
        clock: The clock for all time limits.
        hostname: The argument of EHLO: the name of this machine; "" for the address literal of this end.
        name: The host's name in texts.
        lmtp: LMTP (RFC 2033) and not SMTP.
        timeouts: The time limit of each phase.
        limits: The most that is accepted of the peer's replies.
        transcript: Is called with each line of the dialogue.
        tap: Is told the dialogue as values; instead of ``transcript``.
        source: The local address to use.
        tls: Whether TLS is begun, and what the peer's certificate must prove; None for a session in clear.
        login: The credentials for AUTH; None for no login.
        deadline: The time limit of all phases together; None for that of each phase alone.

    Raises:
        Unreachable, TimedOut, Broken, RemoteError, SessionRefused: No session; the connection is closed then.
        TlsNotOffered, TlsRefused, TlsFailed, CertificateRefused, WrongDoor: TLS did not come about (``client.model``).
        NoMechanism, LoginRefused, LoginDeferred, LoginFailed: The login did not succeed.
    """
    timeouts = timeouts or Timeouts()

    def make() -> AsyncChannel:
        return AsyncChannel(
            clock=clock, name=name, lmtp=lmtp, timeouts=timeouts, limits=limits, transcript=transcript, tap=tap
        )

    seconds = timeouts.connect if deadline is None else min(timeouts.connect, deadline.left)
    _, channel = await connect_any(network, clock, endpoints, make, source=source, timeout=seconds)
    session = Session(channel, hostname, tls, login, network)
    timer = None
    if deadline is not None and deadline.seconds is not None:
        timer = clock.call_later(deadline.left, partial(expire, channel, deadline))
    try:
        return await _opened(session)
    finally:
        if timer is not None:
            timer.cancel()


async def _opened(session: Session) -> Session:
    """The session when its opening dialogue has ended; closed if that failed."""
    try:
        await session.open()
    except (RemoteError, NetworkError) as error:
        if isinstance(error, (SessionRefused, TlsUnavailable, LoginFailed)) and session.fault is None:
            await session.quit()
        else:
            session.abort()
        raise
    except BaseException:
        session.abort()
        raise
    return session
