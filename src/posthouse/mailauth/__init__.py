"""Mail authentication: SPF, DKIM, DMARC and ARC as checks that yield their DNS questions; no I/O.

Everything is imported at its first use.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.all_checks import MessageChecks, check_all
    from posthouse.mailauth.arc import ArcResult, seal_arc, verify_arc
    from posthouse.mailauth.batv import Batv
    from posthouse.mailauth.dkim.keys import DkimKey
    from posthouse.mailauth.dkim.signing import DkimSigner, SigningOptions, sign_dkim
    from posthouse.mailauth.dkim.verdict import DkimResult, SignatureResult
    from posthouse.mailauth.dkim.verification import DkimPolicy, DkimVerifier, verify_dkim
    from posthouse.mailauth.dmarc import DmarcResult, check_dmarc
    from posthouse.mailauth.domain_check.check_domain import check_domain
    from posthouse.mailauth.domain_check.domain_report import DomainReport
    from posthouse.mailauth.questions import TIME_LIMIT, Check, Resolver, answer, ask
    from posthouse.mailauth.spf.check_host import check_spf
    from posthouse.mailauth.spf.received_spf import received_spf
    from posthouse.mailauth.spf.spf_result import SpfResult
    from posthouse.mailauth.srs import Srs
    from posthouse.mailauth.zone import Zone, read_zone

__all__ = [
    "ArcResult",
    "Batv",
    "Check",
    "DkimKey",
    "DkimPolicy",
    "DkimResult",
    "DkimSigner",
    "DkimVerifier",
    "DmarcResult",
    "DomainReport",
    "MessageChecks",
    "Resolver",
    "SignatureResult",
    "SigningOptions",
    "SpfResult",
    "Srs",
    "TIME_LIMIT",
    "Zone",
    "answer",
    "ask",
    "check_all",
    "check_dmarc",
    "check_domain",
    "check_spf",
    "read_zone",
    "received_spf",
    "seal_arc",
    "sign_dkim",
    "verify_arc",
    "verify_dkim",
]

__getattr__ = lazily(
    __name__,
    {
        "all_checks": "MessageChecks check_all",
        "arc": "ArcResult seal_arc verify_arc",
        "batv": "Batv",
        "dkim.keys": "DkimKey",
        "dkim.signing": "DkimSigner SigningOptions sign_dkim",
        "dkim.verdict": "DkimResult SignatureResult",
        "dkim.verification": "DkimPolicy DkimVerifier verify_dkim",
        "dmarc": "DmarcResult check_dmarc",
        "domain_check.check_domain": "check_domain",
        "domain_check.domain_report": "DomainReport",
        "questions": "Check Resolver TIME_LIMIT answer ask",
        "spf.check_host": "check_spf",
        "spf.received_spf": "received_spf",
        "spf.spf_result": "SpfResult",
        "srs": "Srs",
        "zone": "Zone read_zone",
    },
)
