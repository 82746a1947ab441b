"""One attempt at one target: deliverers for SMTP, LMTP, Maildir, Python handlers and nowhere.

A delivery is given an envelope, content and a target.  It knows no spool and no schedule.
"""

from posthouse.delivery.feedback import Feedback, asked_of, asked_wait, feedback_of
from posthouse.delivery.maildir import MaildirDeliverer, expand_path
from posthouse.delivery.model import Deliverer, Delivery, InstantDeliverer, LocalDeliverer, SitedDeliverer
from posthouse.delivery.mx import Exchange, IsSelf, LocalIdentity, NextHops, Undeliverable, next_hops
from posthouse.delivery.python import PythonDeliverer
from posthouse.delivery.smtp import LmtpDeliverer, SmtpDeliverer
from posthouse.delivery.trace import AttemptTracer

__all__ = [
    "AttemptTracer",
    "Deliverer",
    "Delivery",
    "Exchange",
    "Feedback",
    "InstantDeliverer",
    "IsSelf",
    "LmtpDeliverer",
    "LocalDeliverer",
    "LocalIdentity",
    "MaildirDeliverer",
    "NextHops",
    "PythonDeliverer",
    "SitedDeliverer",
    "SmtpDeliverer",
    "Undeliverable",
    "asked_of",
    "asked_wait",
    "expand_path",
    "feedback_of",
    "next_hops",
]
