"""Aggregate reports summed up: for each domain which hosts sent in its name, and whether they passed.

A report that comes twice (same organization, domain and id; RFC 9990 §3.5.4) counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from posthouse.mailauth.dmarc.aggregate.aggregate_values import AggregateReport, AggregateRow, PolicyPublished

__all__ = ["DomainSummary", "SourceSummary", "summarize"]

#: Domains of signatures and of SPF that are kept for one source.
_MOST_NAMES: Final = 20


class SourceSummary(NamedTuple):
    """What one client sent in the name of a domain.

    Args:
        source_ip: Its address.
        header_from: The author's domain.
        messages: How many messages.
        passed: How many of them passed DMARC.
        dkim: How many by an aligned signature.
        spf: How many by aligned SPF.
        quarantined: How many were put aside.
        rejected: How many were refused.
        signed_by: Domains whose signatures passed, aligned or not.
        sent_as: Domains for which SPF passed, aligned or not.
        overrides: Why policies were not applied, each once.
    """

    source_ip: str
    header_from: str
    messages: int
    passed: int
    dkim: int
    spf: int
    quarantined: int
    rejected: int
    signed_by: tuple[str, ...] = ()
    sent_as: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


class DomainSummary(NamedTuple):
    """What all reports say of one domain.

    Args:
        domain: The domain of the policy record.
        policy: The policy in the newest report.
        reporters: The organizations that reported, each once.
        reports: How many reports.
        begin: The first second of the time, since 1970.
        end: The last second.
        messages: How many messages.
        passed: How many of them passed DMARC.
        errors: What reporters say is wrong with the record, each once.
        sources: The clients, those with the most failures first, then those with the most messages.
    """

    domain: str
    policy: PolicyPublished
    reporters: tuple[str, ...]
    reports: int
    begin: int
    end: int
    messages: int
    passed: int
    errors: tuple[str, ...]
    sources: tuple[SourceSummary, ...]


@dataclass(slots=True)
class _SourceCounts:
    counts: Counter[str] = field(default_factory=Counter)
    signed_by: dict[str, None] = field(default_factory=dict)
    sent_as: dict[str, None] = field(default_factory=dict)
    overrides: dict[str, None] = field(default_factory=dict)

    def add(self, row: AggregateRow, count: int) -> None:
        counts = self.counts
        counts["messages"] += count
        counts["passed"] += count * row.passed
        counts["dkim"] += count * (row.dkim == "pass")
        counts["spf"] += count * (row.spf == "pass")
        counts[row.disposition] += count
        _note(self.signed_by, (each.domain for each in row.signatures if each.result == "pass"))
        _note(self.sent_as, (each.domain for each in row.spf_results if each.result == "pass"))
        _note(self.overrides, (each.kind for each in row.overrides))

    def summary(self, source_ip: str, header_from: str) -> SourceSummary:
        counts = self.counts
        return SourceSummary(
            source_ip,
            header_from,
            counts["messages"],
            counts["passed"],
            counts["dkim"],
            counts["spf"],
            counts["quarantine"],
            counts["reject"],
            tuple(self.signed_by),
            tuple(self.sent_as),
            tuple(self.overrides),
        )


def _note(found: dict[str, None], names: Iterable[str]) -> None:
    for name in names:
        if name and len(found) < _MOST_NAMES:
            found[name] = None


def summarize(reports: Iterable[AggregateReport]) -> list[DomainSummary]:
    """The sum of reports for each domain, in the order of the domains' names."""
    by_domain: dict[str, dict[tuple[str, str], AggregateReport]] = {}
    for report in reports:
        key = (report.metadata.org_name, report.metadata.report_id)
        by_domain.setdefault(report.policy.domain, {})[key] = report
    return [_domain(name, list(by_domain[name].values())) for name in sorted(by_domain)]


def _domain(name: str, reports: list[AggregateReport]) -> DomainSummary:
    sources: dict[tuple[str, str], _SourceCounts] = {}
    for report in reports:
        for record in report.records:
            row = record.row
            sources.setdefault((row.source_ip, row.header_from), _SourceCounts()).add(row, record.messages)
    listed = [found.summary(*key) for key, found in sources.items()]
    listed.sort(key=lambda each: (each.passed - each.messages, -each.messages, each.source_ip, each.header_from))
    newest = max(reports, key=lambda each: each.metadata.end)
    return DomainSummary(
        name,
        newest.policy,
        tuple(dict.fromkeys(each.metadata.org_name for each in reports)),
        len(reports),
        min(each.metadata.begin for each in reports),
        newest.metadata.end,
        sum(each.messages for each in listed),
        sum(each.passed for each in listed),
        tuple(dict.fromkeys(error for each in reports for error in each.metadata.errors)),
        tuple(listed),
    )
