"""The sending SMTP: sessions, transactions, and one outcome for each recipient.

Over budget: what does without an event loop stands in modules of its own, so that blocking code imports no asyncio.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.client.auth import LoginSettings
    from posthouse.client.blocking import BlockingSession, open_blocking
    from posthouse.client.connector import connect
    from posthouse.client.features import result_of
    from posthouse.client.model import (
        INTERACTIVE_TIMEOUTS,
        Greeted,
        LoggedIn,
        LoginDeferred,
        LoginFailed,
        LoginRefused,
        NoMechanism,
        SessionRefused,
        Timeouts,
        TlsNotOffered,
        TlsRefused,
        TlsUnavailable,
        WrongDoor,
    )
    from posthouse.client.server_url import ServerAddress, parse_server
    from posthouse.client.session import Session
    from posthouse.client.tls_policy import TlsMode, TlsPolicy

__all__ = [
    "BlockingSession",
    "Greeted",
    "INTERACTIVE_TIMEOUTS",
    "LoggedIn",
    "LoginDeferred",
    "LoginFailed",
    "LoginRefused",
    "LoginSettings",
    "NoMechanism",
    "ServerAddress",
    "Session",
    "SessionRefused",
    "Timeouts",
    "TlsMode",
    "TlsNotOffered",
    "TlsPolicy",
    "TlsRefused",
    "TlsUnavailable",
    "WrongDoor",
    "connect",
    "open_blocking",
    "parse_server",
    "result_of",
]

__getattr__ = lazily(
    __name__,
    {
        "blocking": "BlockingSession open_blocking",
        "connector": "connect",
        "features": "result_of",
        "auth": "LoginSettings",
        "model": "Greeted INTERACTIVE_TIMEOUTS LoggedIn LoginDeferred LoginFailed LoginRefused NoMechanism "
        "SessionRefused Timeouts TlsNotOffered TlsRefused TlsUnavailable WrongDoor",
        "server_url": "ServerAddress parse_server",
        "session": "Session",
        "tls_policy": "TlsMode TlsPolicy",
    },
)
