"""SPF (RFC 7208): may this host send mail with this reverse-path?"""

from posthouse.mailauth.spf.check_host import MOST_HOSTS, MOST_TERMS, MOST_VOIDS, check_spf
from posthouse.mailauth.spf.received_spf import received_spf
from posthouse.mailauth.spf.spf_record import Record, SyntaxFault, Term, parse_record
from posthouse.mailauth.spf.spf_result import Lookup, SpfResult, SpfWord, Step

__all__ = [
    "Lookup",
    "MOST_HOSTS",
    "MOST_TERMS",
    "MOST_VOIDS",
    "Record",
    "SpfResult",
    "SpfWord",
    "Step",
    "SyntaxFault",
    "Term",
    "check_spf",
    "parse_record",
    "received_spf",
]
