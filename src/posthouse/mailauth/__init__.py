"""Mail authentication: SPF, DKIM, DMARC and ARC as checks that yield their DNS questions; no I/O.

Everything is imported at its first use.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.batv import Batv
    from posthouse.mailauth.questions import TIME_LIMIT, Check, Resolver, answer, ask
    from posthouse.mailauth.srs import Srs
    from posthouse.mailauth.zone import Zone, read_zone

__all__ = ["Batv", "Check", "Resolver", "Srs", "TIME_LIMIT", "Zone", "answer", "ask", "read_zone"]

__getattr__ = lazily(
    __name__,
    {
        "batv": "Batv",
        "questions": "Check Resolver TIME_LIMIT answer ask",
        "srs": "Srs",
        "zone": "Zone read_zone",
    },
)
