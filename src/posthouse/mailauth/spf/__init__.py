"""SPF (RFC 7208): may this host send mail with this reverse-path?"""

from posthouse.mailauth.spf.check_host import MOST_HOSTS, MOST_TERMS, MOST_VOIDS, check_spf
from posthouse.mailauth.spf.received_spf import received_spf
from posthouse.mailauth.spf.spf_record import SpfRecord, SyntaxFault, Term, parse_record
from posthouse.mailauth.spf.spf_result import SpfLookup, SpfResult, SpfStep, SpfWord

__all__ = [
    "MOST_HOSTS",
    "MOST_TERMS",
    "MOST_VOIDS",
    "SpfLookup",
    "SpfRecord",
    "SpfResult",
    "SpfStep",
    "SpfWord",
    "SyntaxFault",
    "Term",
    "check_spf",
    "parse_record",
    "received_spf",
]
