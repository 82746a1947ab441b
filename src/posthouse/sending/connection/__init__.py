"""Connections with a server for one caller: opened as its URL and arguments say, in an event loop or without one.

``blocking_driver`` and ``async_driver`` are the two kinds; everything else here serves both.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.sending.connection.async_driver import deliver_async, open_async_session
    from posthouse.sending.connection.blocking_driver import deliver_blocking, open_blocking_session
    from posthouse.sending.connection.credentials import CredentialsLike, OAuthToken, TokenFunction
    from posthouse.sending.connection.dialogue_record import DialogueRecord, TranscriptLike

__all__ = [
    "CredentialsLike",
    "DialogueRecord",
    "OAuthToken",
    "TokenFunction",
    "TranscriptLike",
    "deliver_async",
    "deliver_blocking",
    "open_async_session",
    "open_blocking_session",
]

__getattr__ = lazily(
    __name__,
    {
        "async_driver": "deliver_async open_async_session",
        "blocking_driver": "deliver_blocking open_blocking_session",
        "credentials": "CredentialsLike OAuthToken TokenFunction",
        "dialogue_record": "DialogueRecord TranscriptLike",
    },
)
