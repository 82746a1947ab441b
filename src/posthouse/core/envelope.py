"""The envelope of a mail transaction (RFC 5321 §2.3.1): the sender, the recipients, and the parameters of MAIL and RCPT
as typed values.  The content is not part of it (``core.content``).
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from posthouse.core.address import Address

__all__ = ["Body", "Envelope", "Notify", "OriginalRecipient", "Recipient", "Ret"]


class Body(enum.StrEnum):
    """BODY= of MAIL (RFC 6152, RFC 3030)."""

    SEVENBIT = "7BIT"
    EIGHTBITMIME = "8BITMIME"
    BINARYMIME = "BINARYMIME"


class Ret(enum.StrEnum):
    """RET= of MAIL (RFC 3461 §4.3): how much of the message a failure report returns."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(enum.Flag):
    """NOTIFY= of RCPT (RFC 3461 §4.1).  ``NEVER`` stands alone."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


class OriginalRecipient(NamedTuple):
    """ORCPT= of RCPT (RFC 3461 §4.2), xtext already decoded: ``("rfc822", "bob@example.org")``."""

    kind: str
    address: str


class Recipient(NamedTuple):
    """One RCPT: the forward-path and its DSN parameters.

    ``notify`` is None without NOTIFY, which means reports of failure, and of delay at the discretion of the MTA.
    ``originals`` are the other addresses that the client named and that led to this one: an alias, a list, a moved
    mailbox.  They are never sent.
    """

    address: Address
    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None
    originals: tuple[Address, ...] = ()


class Envelope(NamedTuple):
    """One mail transaction without its content.

    ``sender`` is None for the null reverse-path; ``size`` is what SIZE= declared, in octets, or None;
    ``auth`` is AUTH= of MAIL (RFC 4954 §5), xtext decoded: None if absent, "" for ``<>``.
    """

    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    body: Body = Body.SEVENBIT
    smtputf8: bool = False
    size: int | None = None
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False
