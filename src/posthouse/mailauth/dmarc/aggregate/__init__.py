"""Aggregate reports of DMARC (RFC 9990): values, writer, reader, and sums of many reports."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.dmarc.aggregate.aggregate_reader import UnreadableReport, read_aggregate_report
    from posthouse.mailauth.dmarc.aggregate.aggregate_summary import DomainSummary, SourceSummary, summarize
    from posthouse.mailauth.dmarc.aggregate.aggregate_values import (
        AggregateRecord,
        AggregateReport,
        AggregateRow,
        PolicyOverride,
        PolicyPublished,
        ReportedSignature,
        ReportedSpf,
        ReportMetadata,
        aggregate_row,
        policy_published,
    )
    from posthouse.mailauth.dmarc.aggregate.aggregate_writer import (
        ReportFile,
        aggregate_xml,
        compose_aggregate,
        report_file,
    )

__all__ = [
    "AggregateRecord",
    "AggregateReport",
    "AggregateRow",
    "DomainSummary",
    "PolicyOverride",
    "PolicyPublished",
    "ReportFile",
    "ReportMetadata",
    "ReportedSignature",
    "ReportedSpf",
    "SourceSummary",
    "UnreadableReport",
    "aggregate_row",
    "aggregate_xml",
    "compose_aggregate",
    "policy_published",
    "read_aggregate_report",
    "report_file",
    "summarize",
]

__getattr__ = lazily(
    __name__,
    {
        "aggregate_reader": "UnreadableReport read_aggregate_report",
        "aggregate_summary": "DomainSummary SourceSummary summarize",
        "aggregate_values": (
            "AggregateRecord AggregateReport AggregateRow PolicyOverride PolicyPublished ReportMetadata "
            "ReportedSignature ReportedSpf aggregate_row policy_published"
        ),
        "aggregate_writer": "ReportFile aggregate_xml compose_aggregate report_file",
    },
)
