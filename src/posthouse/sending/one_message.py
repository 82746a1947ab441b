"""``posthouse.send`` and ``posthouse.asend``: one message by whatever ``via`` names, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from posthouse.sending.argument_types import check_transcript
from posthouse.sending.messages.batches import transactions
from posthouse.sending.options import SendOptions, ServerTarget, limit_of
from posthouse.sending.results import SendResult
from posthouse.sending.via import Via, route_of

if TYPE_CHECKING:
    from posthouse.sending.connection.credentials import CredentialsLike
    from posthouse.sending.connection.dialogue_record import TranscriptLike
    from posthouse.sending.messages.batches import EnvelopesLike
    from posthouse.sending.messages.message_forms import MessageLike

__all__ = ["asend", "send"]


def send(
    message: MessageLike,
    via: Via | None = None,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    envelope: EnvelopesLike | None = None,
    verp: bool | str = False,
    transcript: TranscriptLike = False,
    **options: Unpack[SendOptions],
) -> SendResult:
    """Send one message; no event loop is needed.  Returns a ``SendResult`` with one outcome for each recipient.

    Every reply about a recipient is an outcome.  An exception says that nothing was tried for any of them.

    Args:
        message: A ``Message``, an ``email.message.EmailMessage``, octets, an open file or a ``pathlib.Path``.
        via: The URL of a server (``smtp://``, ``smtps://``, ``smtp+starttls://``, ``lmtp://``, ``lmtp+unix://``),
            ``mx:``, ``spool:`` (the local daemon), ``file:PATH``, ``memory:NAME``, or an object with ``deliver``.  None
            takes ``$POSTHOUSE_URL``, else the settings of Django (``MAILERS``, ``EMAIL_HOST``).
        timeout: The time limit of the whole call, in seconds or as ``"30s"``.  Without it each phase has its own.
            ``file:`` and ``memory:`` wait for nothing.
        credentials: ``(name, password)``, or a function ``(host, user, fresh)`` that gives OAuth tokens.
        envelope: An ``Envelope``, or ``(sender, recipients)``, in place of the message's own; or a list of envelopes,
            each a transaction of its own.
        verp: One transaction for each recipient, whose sender names the recipient: True, or a template such as
            ``"bounces+{local}={domain}@lists.example.com"``.
        transcript: True puts the dialogue into ``result.transcript``; a function is called with each line.
        **options: See ``SendOptions``.

    Raises:
        LocalError: The message, an address or an argument cannot be sent.
        SettingError: The URL or a setting is wrong.
        CannotConnect, TimedOut, TLSFailed, AuthRefused: There was no session with the server.
    """
    batch = transactions(message, envelope, verp)
    route = route_of(via, timeout=timeout, credentials=credentials, options=options)
    if not isinstance(route, ServerTarget):
        check_transcript(transcript)
        from posthouse.sending.transports.handing_over import handed_over

        limit = None if timeout is None else limit_of("timeout", timeout)
        return _joined([handed_over(route, each, limit, transcript) for each in batch])
    from posthouse.sending.blocking_client import Client

    return Client(route, transcript=transcript).send_once(batch)


async def asend(
    message: MessageLike,
    via: Via | None = None,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    envelope: EnvelopesLike | None = None,
    verp: bool | str = False,
    transcript: TranscriptLike = False,
    **options: Unpack[SendOptions],
) -> SendResult:
    """``send``, awaited, with the same arguments and exceptions.  Cancelled, it ends the connection at once."""
    batch = transactions(message, envelope, verp)
    route = route_of(via, timeout=timeout, credentials=credentials, options=options, asynchronous=True)
    if not isinstance(route, ServerTarget):
        check_transcript(transcript)
        from posthouse.sending.transports.handing_over import awaited

        limit = None if timeout is None else limit_of("timeout", timeout)
        return _joined([await awaited(route, each, limit, transcript) for each in batch])
    from posthouse.sending.async_client import AsyncClient

    return await AsyncClient(route, transcript=transcript).send_once(batch)


def _joined(results: list[SendResult]) -> SendResult:
    """One result of the transactions of one call."""
    if len(results) == 1:
        return results[0]
    lines = [line for each in results for line in each.transcript]
    ids = ", ".join(each.queue_id for each in results if each.queue_id)
    return SendResult([outcome for each in results for outcome in each], queue_id=ids, transcript=lines)
