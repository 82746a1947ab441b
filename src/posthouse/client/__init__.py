"""The sending SMTP: sessions, transactions, and one outcome for each recipient."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.client.blocking import BlockingSession, open_blocking
    from posthouse.client.connector import connect
    from posthouse.client.features import result_of
    from posthouse.client.model import INTERACTIVE_TIMEOUTS, Greeted, SessionRefused, Timeouts
    from posthouse.client.server_url import ServerAddress, parse_server
    from posthouse.client.session import Session

__all__ = [
    "BlockingSession",
    "Greeted",
    "INTERACTIVE_TIMEOUTS",
    "ServerAddress",
    "Session",
    "SessionRefused",
    "Timeouts",
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
        "model": "Greeted INTERACTIVE_TIMEOUTS SessionRefused Timeouts",
        "server_url": "ServerAddress parse_server",
        "session": "Session",
    },
)
