"""Submission of one message to one named server over a blocking socket: ``submit`` without an event loop.

``posthouse send`` uses it, because a program that sends one message and ends spends a fifth of its time on importing
asyncio.
"""

from __future__ import annotations

from posthouse.client.blocking import BlockingSession, open_blocking
from posthouse.client.features import check_addresses
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.model import INTERACTIVE_TIMEOUTS
from posthouse.client.server_url import ServerAddress
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Content, Envelope, Outcome, TlsFailed
from posthouse.net import Endpoint
from posthouse.net.hosts import addresses_blocking
from posthouse.protocol import Transcript
from posthouse.sending.messages.fitting import fit

__all__ = ["submit_blocking"]


def submit_blocking(
    server: ServerAddress, envelope: Envelope, content: Content, *, transcript: Transcript | None = None
) -> tuple[Outcome, ...]:
    """Submit one message, with the time limits of a person who waits; returns an outcome for each recipient, in the
    order of the envelope.  Raises what ``submit`` raises.  An exception meanwhile, ``KeyboardInterrupt`` included,
    aborts the connection."""
    check_addresses(envelope)
    with _opened(server, transcript) as session:
        fitted = fit(session.capabilities, envelope, content, session.peer)
        given = session.deliver(fitted.envelope, fitted.content) if fitted.envelope.recipients else ()
    return fitted.join(given, envelope.recipients)


def _opened(server: ServerAddress, transcript: Transcript | None) -> BlockingSession:
    timeouts = INTERACTIVE_TIMEOUTS
    if server.is_path:
        endpoints = [Endpoint(server.host)]
    else:
        endpoints = addresses_blocking(server.host, server.port, timeout=timeouts.connect)
    hostname = name_for_ehlo()

    def opened(policy: TlsPolicy | None) -> BlockingSession:
        return open_blocking(
            endpoints,
            hostname=hostname,
            name=server.host,
            lmtp=server.lmtp,
            timeouts=timeouts,
            transcript=transcript,
            tls=policy,
            login=server.login(),
        )

    try:
        return opened(server.policy())
    except TlsFailed:
        if server.mode is not TlsMode.OPPORTUNISTIC:
            raise
    return opened(None)  # RFC 7435: once, in clear
