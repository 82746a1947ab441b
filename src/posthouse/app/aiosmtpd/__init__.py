"""Handlers written for aiosmtpd, run by this library's receiving SMTP.

The modules have the names of aiosmtpd's, so a program needs other imports only: ``posthouse.app.aiosmtpd.controller``
in place of ``aiosmtpd.controller``, likewise ``smtp`` and ``handlers``.  A handler may go on importing from aiosmtpd:
its ``AuthResult``, ``LoginPassword`` and ``MISSING`` are understood too.
"""

from posthouse.app.aiosmtpd.controller import (
    Controller,
    UnixSocketController,
    UnixSocketUnthreadedController,
    UnthreadedController,
)
from posthouse.app.aiosmtpd.handlers import AsyncMessage, Debugging, Mailbox, Message, Proxy, Sink
from posthouse.app.aiosmtpd.smtp import (
    MISSING,
    SMTP,
    AuthResult,
    Envelope,
    LoginPassword,
    Session,
    auth_mechanism,
    syntax,
)

__all__ = [
    "AsyncMessage",
    "AuthResult",
    "Controller",
    "Debugging",
    "Envelope",
    "LoginPassword",
    "MISSING",
    "Mailbox",
    "Message",
    "Proxy",
    "SMTP",
    "Session",
    "Sink",
    "UnixSocketController",
    "UnixSocketUnthreadedController",
    "UnthreadedController",
    "auth_mechanism",
    "syntax",
]
