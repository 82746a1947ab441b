"""Handlers with the names and interfaces of those that come with aiosmtpd."""

from __future__ import annotations

import asyncio
import email
import mailbox
import os
import smtplib
import sys
from email.message import Message as EmailMessage
from typing import Any, TextIO

from posthouse.app.aiosmtpd.smtp import SMTP, Envelope, Session

__all__ = ["AsyncMessage", "Debugging", "Mailbox", "Message", "Proxy", "Sink"]


class Sink:
    """Accepts all messages and drops them."""


class Debugging:
    """Prints each message to a stream, standard output by default."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Print the message, with the peer behind its header section."""

        def show(*words: object) -> None:
            print(*words, file=self.stream)

        show("---------- MESSAGE FOLLOWS ----------")
        if envelope.mail_options:
            show("mail options:", envelope.mail_options)
            show()
        content = envelope.content or b""
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
        in_header = True
        for line in text.splitlines():
            if in_header and not line:
                show(f"X-Peer: {session.peer!r}")
                in_header = False
            show(line)
        show("------------ END MESSAGE ------------")
        return "250 OK"


class _Parsed:
    """Base class of handlers that get a message of the standard library."""

    def __init__(self, message_class: type[EmailMessage] | None = None) -> None:
        self.message_class = message_class

    def prepare_message(self, session: Session, envelope: Envelope) -> EmailMessage:
        """The message, with the peer and the envelope in fields ``X-Peer``, ``X-MailFrom`` and ``X-RcptTo``."""
        content = envelope.content or b""
        kind: Any = self.message_class or EmailMessage
        if isinstance(content, str):
            message: EmailMessage = email.message_from_string(content, kind)
        else:
            message = email.message_from_bytes(content, kind)
        message["X-Peer"] = str(session.peer)
        message["X-MailFrom"] = envelope.mail_from or ""
        message["X-RcptTo"] = ", ".join(envelope.rcpt_tos)
        return message


class Message(_Parsed):
    """Calls ``handle_message``, which a subclass defines, with each message."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Read the message and hand it over."""
        self.handle_message(self.prepare_message(session, envelope))
        return "250 OK"

    def handle_message(self, message: EmailMessage) -> None:
        """Take a message.  Runs in the event loop and must not wait."""
        raise NotImplementedError


class AsyncMessage(_Parsed):
    """Awaits ``handle_message``, which a subclass defines, with each message."""

    def __init__(
        self, message_class: type[EmailMessage] | None = None, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(message_class)
        self.loop = loop

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Read the message and hand it over."""
        await self.handle_message(self.prepare_message(session, envelope))
        return "250 OK"

    async def handle_message(self, message: EmailMessage) -> None:
        """Take a message."""
        raise NotImplementedError


class Mailbox(Message):
    """Keeps all messages in a Maildir."""

    def __init__(self, mail_dir: str | os.PathLike[str], message_class: type[EmailMessage] | None = None) -> None:
        super().__init__(message_class)
        self.mail_dir = mail_dir
        self.mailbox = mailbox.Maildir(os.fspath(mail_dir))

    def handle_message(self, message: EmailMessage) -> None:
        """Write the message into the Maildir."""
        self.mailbox.add(message)

    def reset(self) -> None:
        """Remove all messages."""
        self.mailbox.clear()


class Proxy:
    """Passes each message on to another server; a failure is answered 451, and not 250 as aiosmtpd does."""

    def __init__(self, remote_hostname: str, remote_port: int) -> None:
        self._place = remote_hostname, remote_port

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Send the message on, with the peer in a field ``X-Peer``."""
        peer = session.peer[0] if session.peer else ""
        head, separator, body = (envelope.original_content or b"").partition(b"\r\n\r\n")
        content = head + b"\r\nX-Peer: " + peer.encode("ascii", "replace") + separator + body
        return await asyncio.to_thread(self._deliver, envelope.mail_from or "", list(envelope.rcpt_tos), content)

    def _deliver(self, sender: str, recipients: list[str], content: bytes) -> str:
        try:
            with smtplib.SMTP(*self._place, timeout=60) as client:
                refused = client.sendmail("" if sender == "<>" else sender, recipients, content)
        except (OSError, smtplib.SMTPException):
            return "451 4.4.1 The next server does not take this message now; try again later"
        return "250 OK" if not refused else f"554 5.1.1 Refused: {', '.join(refused)}"
