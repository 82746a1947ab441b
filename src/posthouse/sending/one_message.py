"""``posthouse.send`` and ``posthouse.asend``: one message by whatever ``via`` names, in one call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Unpack

from posthouse.client.features import check_addresses
from posthouse.client.model import Deadline
from posthouse.core import LocalError
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.messages.outgoing import Outgoing, outgoing
from posthouse.sending.options import SendOptions, ServerTarget
from posthouse.sending.results import SendResult
from posthouse.sending.via import Via, route_of

if TYPE_CHECKING:
    from posthouse.sending.connection.credentials import CredentialsLike
    from posthouse.sending.connection.dialogue_record import TranscriptLike
    from posthouse.sending.messages.outgoing import EnvelopeLike, MessageLike
    from posthouse.sending.transports import Transport

__all__ = ["asend", "send"]


def send(
    message: MessageLike,
    via: Via | None = None,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    envelope: EnvelopeLike | None = None,
    transcript: TranscriptLike = False,
    **options: Unpack[SendOptions],
) -> SendResult:
    """Send one message; no event loop is needed.  Returns a ``SendResult`` with one outcome for each recipient.

    Every reply about a recipient is an outcome.  An exception says that nothing was tried for any of them.

    Args:
        message: A ``Message``, an ``email.message.EmailMessage``, octets, an open file or a ``pathlib.Path``.
        via: The URL of a server (``smtp://``, ``smtps://``, ``smtp+starttls://``, ``lmtp://``, ``lmtp+unix://``),
            ``mx:``, ``spool:`` (the local daemon), ``file:PATH``, ``memory:NAME``, or an object with ``deliver``.  None
            takes ``$POSTHOUSE_URL``, else ``EMAIL_HOST`` and the other settings of Django.
        timeout: The time limit of the whole call, in seconds or as ``"30s"``.  Without it each phase has its own.
        credentials: ``(name, password)``, or a function ``(host, user, fresh)`` that gives OAuth tokens.
        envelope: An ``Envelope``, or ``(sender, recipients)``, in place of the message's own.
        transcript: True puts the dialogue into ``result.transcript``; a function is called with each line.
        **options: See ``SendOptions``.

    Raises:
        LocalError: The message, an address or an argument cannot be sent.
        SettingError: The URL or a setting is wrong.
        CannotConnect, TimedOut, TLSFailed, AuthRefused: There was no session with the server.
    """
    ready = _ready(message, envelope)
    route = route_of(via, timeout=timeout, credentials=credentials, options=options)
    if not isinstance(route, ServerTarget):
        return _handed_over(route, ready)
    from posthouse.net.clock import SystemClock
    from posthouse.sending.connection.blocking_driver import deliver_blocking, open_blocking_session

    clock = SystemClock()
    began = clock.monotonic()
    deadline = Deadline(clock, route.timeout)
    record = DialogueRecord(transcript, str(route))
    session = open_blocking_session(route, record, deadline, clock)
    with session:
        outcomes = deliver_blocking(session, ready, deadline, began, clock)
        session.limit(None)
    return SendResult(outcomes, transcript=record.lines)


async def asend(
    message: MessageLike,
    via: Via | None = None,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    envelope: EnvelopeLike | None = None,
    transcript: TranscriptLike = False,
    **options: Unpack[SendOptions],
) -> SendResult:
    """``send``, awaited, with the same arguments and exceptions.  Cancelled, it ends the connection at once."""
    ready = _ready(message, envelope)
    route = route_of(via, timeout=timeout, credentials=credentials, options=options, asynchronous=True)
    if not isinstance(route, ServerTarget):
        return await _awaited(route, ready)
    from posthouse.net import SocketNetwork, SystemClock
    from posthouse.sending.connection.async_driver import deliver_async, open_async_session

    clock = SystemClock()
    began = clock.monotonic()
    deadline = Deadline(clock, route.timeout)
    record = DialogueRecord(transcript, str(route))
    session = await open_async_session(route, record, deadline, clock, SocketNetwork())
    try:
        outcomes = await deliver_async(session, ready, deadline, began, clock)
    except BaseException:
        session.abort()
        raise
    await session.quit()
    return SendResult(outcomes, transcript=record.lines)


def _ready(message: object, envelope: EnvelopeLike | None) -> Outgoing:
    """The message, with addresses that can be written in commands."""
    ready = outgoing(message, envelope)
    check_addresses(ready.envelope)
    return ready


def _handed_over(transport: Transport, ready: Outgoing) -> SendResult:
    result = transport.deliver(ready.envelope, ready.content)
    if isinstance(result, SendResult):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise LocalError(f"{type(transport).__name__} is asynchronous; use asend, or an asynchronous Client")


async def _awaited(transport: Transport, ready: Outgoing) -> SendResult:
    result = transport.deliver(ready.envelope, ready.content)
    return result if isinstance(result, SendResult) else await result
