"""Submission of one message to one named server, in one session, without a queue.

The system resolves the server's name, its addresses are raced (RFC 8305), and QUIT ends the session.  The server's
reply about a recipient is an ``Outcome``; a server that cannot be reached, or that refuses the session, is an
exception, because then no recipient was tried.  Nothing is stored, and a deferred recipient is not retried.
"""

from __future__ import annotations

from posthouse.client.features import check_addresses
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS, Timeouts
from posthouse.client.server_url import ServerAddress, locate, open_session
from posthouse.client.session import Session
from posthouse.core import Body, Content, Envelope, Outcome
from posthouse.net import Clock, Network, SocketNetwork, SystemClock
from posthouse.protocol import Capabilities, Transcript

__all__ = ["submit"]


async def submit(
    server: ServerAddress,
    envelope: Envelope,
    content: Content,
    *,
    network: Network | None = None,
    clock: Clock | None = None,
    hostname: str = "",
    timeouts: Timeouts = INTERACTIVE_TIMEOUTS,
    transcript: Transcript | None = None,
    chunking: bool = True,
) -> tuple[Outcome, ...]:
    """Submit one message; returns an outcome for each recipient, in the order of the envelope.

    Cancelled, it aborts the connection.

    Args:
        server: The server, as ``parse_server`` reads it from a URL.
        envelope: Sender and recipients.
        content: The message, with CRLF line ends.
        network: The network; None for the sockets of this machine.
        clock: The clock; None for that of this machine.
        hostname: The argument of EHLO; "" for the name of this machine, or the address literal of the connection's
            own end if that name is not qualified.
        timeouts: The time limit of each phase.
        transcript: Is called with each line of the dialogue.
        chunking: False sends the content by DATA even where the server offers BDAT (RFC 3030).

    Raises:
        LocalError: An address cannot be sent; nothing was connected.
        NoSuchHost, Unreachable: The name has no address, or no address accepts a connection.
        TimedOut, Broken, RemoteError: The server did not open the session as RFC 5321 has it.
        SessionRefused: The server refused the session.
        TlsNotOffered, TlsRefused, TlsFailed, CertificateRefused, WrongDoor: The URL asks for TLS, which did not come
            about; nothing of the message was sent.
        NoMechanism, LoginRefused, LoginDeferred, LoginFailed: The login did not succeed.
    """
    check_addresses(envelope)
    network, clock = network or SocketNetwork(), clock or SystemClock()
    endpoints = await locate(server, timeout=timeouts.connect)
    session = await open_session(
        server,
        endpoints,
        network=network,
        clock=clock,
        hostname=hostname or name_for_ehlo(),
        timeouts=timeouts,
        transcript=transcript,
    )
    if not chunking:
        offered = session.capabilities.keywords
        kept = {name: value for name, value in offered.items() if name not in ("CHUNKING", "BINARYMIME")}
        session.sender.capabilities = Capabilities(kept)
    try:
        outcomes = await _give(session, envelope, content)
    except BaseException:
        session.abort()
        raise
    await session.quit()
    return outcomes


async def _give(session: Session, envelope: Envelope, content: Content) -> tuple[Outcome, ...]:
    """Send the message in a form that the server can carry, as the relay does."""
    keywords = session.capabilities.keywords
    if "8BITMIME" in keywords and not envelope.smtputf8 and envelope.body is not Body.BINARYMIME:
        return await session.deliver(envelope, content)
    from posthouse.delivery.adapt import give  # imports what converts messages
    from posthouse.delivery.model import Delivery

    return tuple(await give(session, Delivery(envelope, content)))
