"""All checks of one message, one after the other: SPF, DKIM, ARC, and DMARC on the first two."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from posthouse.core import Address
from posthouse.mailauth.arc.arc_result import ArcResult
from posthouse.mailauth.arc.arc_validation import verify_arc
from posthouse.mailauth.dkim.verdict import DkimResult
from posthouse.mailauth.dkim.verification import verify_dkim
from posthouse.mailauth.dmarc.dmarc_result import DmarcResult
from posthouse.mailauth.dmarc.evaluation import check_dmarc
from posthouse.mailauth.questions import Check
from posthouse.mailauth.spf.check_host import check_spf
from posthouse.mailauth.spf.spf_result import SpfResult

__all__ = ["MessageChecks", "check_all"]


class MessageChecks(NamedTuple):
    """The results of all checks of one message.

    Args:
        spf: SPF's; None where no client was named.
        dkim: DKIM's.
        arc: ARC's.
        dmarc: DMARC's, from what is known of SPF and DKIM; see ``dmarc_known``.
    """

    spf: SpfResult | None
    dkim: DkimResult
    arc: ArcResult
    dmarc: DmarcResult

    @property
    def dmarc_known(self) -> bool:
        """Whether a receiver comes to the same result of DMARC.

        False where DMARC fails because SPF could not be checked: no client was named, or no sender and no HELO.
        """
        return self.dmarc.result != "fail" or (self.spf is not None and bool(self.spf.domain))


def check_all(
    message: bytes,
    *,
    ip: str | IPv4Address | IPv6Address | None = None,
    mail_from: str | Address | None = None,
    helo: str = "",
    receiver: str = "unknown",
    now: float | None = None,
) -> Check[MessageChecks]:
    """Check a message that lies at hand; a server that has it arriving runs the checks one by one as they can begin.

    Args:
        message: The message with CRLF line ends.
        ip: The address of the client that has sent it; None leaves SPF out.
        mail_from: The reverse-path; None, "" or ``<>`` for a null one.
        helo: The argument of HELO or EHLO.
        receiver: The name of the host that checks.
        now: Seconds since 1970 at which the message was received; None is the system's time.

    Raises:
        LocalError: ``ip`` is no IP address.
    """
    spf = None if ip is None else check_spf(ip, mail_from, helo, receiver=receiver, now=now)
    return _checked(spf, message, now)


def _checked(spf: Check[SpfResult] | None, message: bytes, now: float | None) -> Check[MessageChecks]:
    judged = None if spf is None else (yield from spf)
    dkim = yield from verify_dkim(message, now)
    arc = yield from verify_arc(message, now)
    dmarc = yield from check_dmarc(message, judged, dkim)
    return MessageChecks(judged, dkim, arc, dmarc)
