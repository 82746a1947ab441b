"""DMARC (RFC 9989): policy records, the tree walk, alignment and disposition."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.dmarc.dmarc_record import DmarcRecord, ReportUri, read_dmarc_record
    from posthouse.mailauth.dmarc.dmarc_result import DmarcResult
    from posthouse.mailauth.dmarc.evaluation import check_dmarc
    from posthouse.mailauth.dmarc.tree_walk import DnsTreeWalk, walk_tree

__all__ = [
    "DmarcRecord",
    "DmarcResult",
    "DnsTreeWalk",
    "ReportUri",
    "check_dmarc",
    "read_dmarc_record",
    "walk_tree",
]

__getattr__ = lazily(
    __name__,
    {
        "dmarc_record": "DmarcRecord ReportUri read_dmarc_record",
        "dmarc_result": "DmarcResult",
        "evaluation": "check_dmarc",
        "tree_walk": "DnsTreeWalk walk_tree",
    },
)
