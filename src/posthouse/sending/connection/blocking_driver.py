"""Sending over blocking sockets: no event loop and no thread, except one that waits for the system's name look-up where
a call has a time limit, because nothing else can end that.
"""

from __future__ import annotations

from functools import partial

from posthouse.client.blocking import BlockingSession, open_blocking
from posthouse.client.deadline import Deadline
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Outcome, PosthouseError, TlsFailed
from posthouse.net import Clock, Endpoint
from posthouse.net.hosts import addresses_blocking
from posthouse.sending.connection.credentials import login_of
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.connection.failures import completed, opening_failure
from posthouse.sending.messages.fitting import fit, fits
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.options import ServerTarget

__all__ = ["deliver_blocking", "open_blocking_session"]


def open_blocking_session(
    target: ServerTarget, record: DialogueRecord, deadline: Deadline, clock: Clock
) -> BlockingSession:
    """Open a session with the server.  Raises ``CannotConnect``, ``TimedOut``, ``TLSFailed``, ``AuthRefused``, or
    ``SettingError`` for what only shows when it is used (a file of certificates, a missing password)."""
    server = target.server
    login = login_of(server, target.credentials)
    opened = partial(
        open_blocking,
        hostname=target.local_name or name_for_ehlo(),
        clock=clock,
        name=server.host,
        lmtp=server.lmtp,
        timeouts=target.timeouts,
        tap=record,
        source=target.source,
        login=login,
        deadline=deadline,
    )
    proxy = target.proxy
    if proxy is not None:
        from posthouse.sending.connection.proxied_connecting import dial_through

        # A look whether the port speaks TLS would be a connection past the proxy.
        opened = partial(opened, dial=partial(dial_through, proxy), timeouts=target.timeouts._replace(patience=0.0))
    try:
        endpoints = _located(target, deadline)
        policy: TlsPolicy | None = server.policy()
        try:
            return opened(endpoints, tls=policy)
        except TlsFailed:
            if server.mode is not TlsMode.OPPORTUNISTIC:
                raise
        return opened(endpoints, tls=None)  # RFC 7435: once, in clear
    except PosthouseError as error:
        found = opening_failure(error, record, deadline)
        if found is error:
            raise
        raise found from error


def _located(target: ServerTarget, deadline: Deadline) -> list[Endpoint]:
    server = target.server
    if server.is_path:
        return [Endpoint(server.host)]
    if target.proxy is not None and target.proxy.resolves:
        return [Endpoint(server.host, server.port)]
    limit = None if deadline.seconds is None else deadline.left
    return addresses_blocking(server.host, server.port, timeout=limit)


def deliver_blocking(
    session: BlockingSession, message: Outgoing, deadline: Deadline, began: float, clock: Clock
) -> tuple[Outcome, ...]:
    """Send one message by an open session; ``began`` is when the call began, on the monotonic clock.

    The content follows the replies to the envelope and is never sent along with it: so a time limit that ends while a
    reply to RCPT is awaited leaves *deferred* behind, and not *ambiguous*.
    """
    session.limit(deadline)
    session.cautious = True
    envelope, content = message
    capabilities = session.capabilities
    if fits(capabilities, envelope):
        outcomes = session.deliver(envelope, content)
    else:
        fitted = fit(capabilities, envelope, content, session.peer)
        given = session.deliver(fitted.envelope, fitted.content) if fitted.envelope.recipients else ()
        outcomes = fitted.join(given, envelope.recipients)
    elapsed = clock.monotonic() - began
    if len(outcomes) == 1:
        return (completed(outcomes[0], elapsed),)
    return tuple([completed(each, elapsed) for each in outcomes])
