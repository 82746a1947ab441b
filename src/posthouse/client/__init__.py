"""Talk out: the sending SMTP, one outcome per recipient."""

from posthouse.client.connecting import connect
from posthouse.client.delivery import deliver
from posthouse.client.session import Session
from posthouse.client.terms import Greeted, Refused, Timeouts
from posthouse.client.traits import result_of

__all__ = ["Greeted", "Refused", "Session", "Timeouts", "connect", "deliver", "result_of"]
