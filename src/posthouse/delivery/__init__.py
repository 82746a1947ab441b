"""One attempt at one target: deliverers for SMTP, LMTP, Maildir, Python handlers and nowhere.

A delivery is given an envelope, content and a target.  It knows no spool and no schedule.
"""

from posthouse.delivery.maildir import MaildirDeliverer, expand_path
from posthouse.delivery.model import Deliverer, InstantDeliverer, Job, LocalDeliverer, SitedDeliverer
from posthouse.delivery.mx import Exchange, Hops, IsSelf, NoHops, Ourselves, next_hops
from posthouse.delivery.python import HandlerDeliverer
from posthouse.delivery.smtp import LmtpDeliverer, SmtpDeliverer
from posthouse.delivery.trace import Notes

__all__ = [
    "Deliverer",
    "Exchange",
    "HandlerDeliverer",
    "Hops",
    "InstantDeliverer",
    "IsSelf",
    "Job",
    "LmtpDeliverer",
    "LocalDeliverer",
    "MaildirDeliverer",
    "NoHops",
    "Notes",
    "Ourselves",
    "SitedDeliverer",
    "SmtpDeliverer",
    "expand_path",
    "next_hops",
]
