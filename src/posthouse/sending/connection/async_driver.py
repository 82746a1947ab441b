"""Sending in an event loop: the same steps as ``blocking_driver``, awaited."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from posthouse.client.connector import connect
from posthouse.client.deadline import Deadline
from posthouse.client.hostname import name_for_ehlo
from posthouse.client.session import Session
from posthouse.client.tls_policy import TlsMode
from posthouse.core import Outcome, PosthouseError, TlsFailed, Unreachable
from posthouse.net import Clock, Endpoint, Network
from posthouse.net.hosts import addresses_of
from posthouse.sending.connection.credentials import login_of
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.connection.failures import completed, opening_failure
from posthouse.sending.messages.fitting import Fitted, fit, fits
from posthouse.sending.messages.outgoing import Outgoing
from posthouse.sending.options import ServerTarget

if TYPE_CHECKING:
    from posthouse.sending.connection.proxied_connecting import ProxyNetwork

__all__ = ["deliver_async", "open_async_session"]

#: Octets of content that are converted in the event loop; longer content is converted by a thread.
_SHORT = 65_536
#: Seconds after which the system's name look-up is given up where the call has no time limit.
_LOOKUP = 60.0


async def open_async_session(
    target: ServerTarget, record: DialogueRecord, deadline: Deadline, clock: Clock, network: Network
) -> Session:
    """Open a session with the server; as ``open_blocking_session``.  Cancelled, it leaves nothing open."""
    server = target.server
    login = login_of(server, target.credentials)
    opened = partial(
        connect,
        network=network,
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
    proxied: ProxyNetwork | None = None
    if proxy is not None:
        from posthouse.sending.connection.proxied_connecting import ProxyNetwork  # few connections need it

        seconds = min(target.timeouts.connect, deadline.left)
        # A look whether the port speaks TLS would be a connection past the proxy.
        timeouts = target.timeouts._replace(patience=0.0)
        proxied = ProxyNetwork(network, clock, proxy, seconds)
        opened = partial(opened, network=proxied, timeouts=timeouts)
    try:
        endpoints = await _located(target, deadline)
        try:
            return await opened(endpoints, tls=server.policy())
        except TlsFailed:
            if server.mode is not TlsMode.OPPORTUNISTIC:
                raise
        return await opened(endpoints, tls=None)  # RFC 7435: once, in clear
    except PosthouseError as error:
        late = proxied.late if proxied is not None and isinstance(error, Unreachable) else None
        found = opening_failure(late or error, record, deadline)
        if found is error:
            raise
        raise found from error


async def _located(target: ServerTarget, deadline: Deadline) -> list[Endpoint]:
    server = target.server
    if server.is_path:
        return [Endpoint(server.host)]
    if target.proxy is not None and target.proxy.resolves:
        return [Endpoint(server.host, server.port)]
    return await addresses_of(server.host, server.port, timeout=min(_LOOKUP, deadline.left))


async def deliver_async(
    session: Session, message: Outgoing, deadline: Deadline, began: float, clock: Clock
) -> tuple[Outcome, ...]:
    """Send one message by an open session; as ``deliver_blocking``.  Cancelled, it ends the connection."""
    session.cautious = True
    fitted = await _fitted(session, message)
    given: tuple[Outcome, ...] = ()
    if fitted.envelope.recipients:
        given = await session.within(deadline, fitted.envelope, fitted.content)
    elapsed = clock.monotonic() - began
    outcomes = fitted.join(given, message.envelope.recipients)
    return tuple([completed(each, elapsed) for each in outcomes])


async def _fitted(session: Session, message: Outgoing) -> Fitted:
    envelope, content = message
    capabilities, peer = session.capabilities, session.peer
    if content.size <= _SHORT or fits(capabilities, envelope):
        return fit(capabilities, envelope, content, peer)
    return await asyncio.to_thread(fit, capabilities, envelope, content, peer)
