"""The sending SMTP: sessions, transactions, and one outcome for each recipient."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.client.connector import connect
    from posthouse.client.features import result_of
    from posthouse.client.pipeline import deliver
    from posthouse.client.session import Session
    from posthouse.client.types import Greeted, SessionRefused, Timeouts

__all__ = ["Greeted", "Session", "SessionRefused", "Timeouts", "connect", "deliver", "result_of"]

__getattr__ = lazily(
    __name__,
    {
        "connector": "connect",
        "features": "result_of",
        "pipeline": "deliver",
        "session": "Session",
        "types": "Greeted SessionRefused Timeouts",
    },
)
