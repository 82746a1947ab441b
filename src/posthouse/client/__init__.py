"""Talk out: the sending SMTP, one outcome per recipient."""

from posthouse.client.connect import connect
from posthouse.client.features import result_of
from posthouse.client.pipeline import deliver
from posthouse.client.session import Session
from posthouse.client.types import Greeted, SessionRefused, Timeouts

__all__ = ["Greeted", "Session", "SessionRefused", "Timeouts", "connect", "deliver", "result_of"]
