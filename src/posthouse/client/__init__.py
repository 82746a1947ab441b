"""Talk out: the sending SMTP, one outcome per recipient."""

from posthouse.client.session import Greeted, Refused, Session, Timeouts, connect
from posthouse.client.transaction import deliver, result_of

__all__ = ["Greeted", "Refused", "Session", "Timeouts", "connect", "deliver", "result_of"]
