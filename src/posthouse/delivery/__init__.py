"""One attempt at one target: deliverers for SMTP, LMTP, Maildir, Python handlers and nowhere.

A deliverer is given an envelope, content and a target.  It knows neither the spool nor the schedule.
"""

from posthouse.delivery.discard import DiscardDeliverer
from posthouse.delivery.feedback import Feedback, asked_of, asked_wait, feedback_of
from posthouse.delivery.maildir import MaildirDeliverer, expand_path
from posthouse.delivery.maildir_files import MaildirFiles
from posthouse.delivery.model import Deliverer, Delivery
from posthouse.delivery.mx import Exchange, IsSelf, LocalIdentity, NextHops, Undeliverable, next_hops
from posthouse.delivery.python import PythonDeliverer
from posthouse.delivery.smtp import LmtpDeliverer, SmtpDeliverer
from posthouse.delivery.tracer import AttemptTracer

__all__ = [
    "AttemptTracer",
    "Deliverer",
    "Delivery",
    "DiscardDeliverer",
    "Exchange",
    "Feedback",
    "IsSelf",
    "LmtpDeliverer",
    "LocalIdentity",
    "MaildirDeliverer",
    "MaildirFiles",
    "NextHops",
    "PythonDeliverer",
    "SmtpDeliverer",
    "Undeliverable",
    "asked_of",
    "asked_wait",
    "expand_path",
    "feedback_of",
    "next_hops",
]
