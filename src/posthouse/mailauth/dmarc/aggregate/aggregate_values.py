"""Values of aggregate reports (RFC 9990): what a report says, and what a receiver collects for one.

A receiver keeps one ``AggregateRow`` for each combination of client, identifiers and results, and counts the messages
that had it.  Rows are hashable, so that a mapping from row to number is all that must be kept, and hold no more of a
message than the report will show: no address, no content.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, Protocol

from posthouse.mailauth.dmarc.dmarc_result import DmarcResult
from posthouse.mailauth.dmarc.evaluation import DomainVerdict

__all__ = [
    "AggregateRecord",
    "AggregateReport",
    "AggregateRow",
    "PolicyOverride",
    "PolicyPublished",
    "ReportMetadata",
    "ReportedSignature",
    "ReportedSpf",
    "aggregate_row",
    "policy_published",
]

#: Signatures of one row (RFC 9990 §3.1.3 allows 100).
_MOST_SIGNATURES: Final = 20


class ReportedSignature(NamedTuple):
    """The result of one DKIM signature; ``comment`` is for people."""

    domain: str
    selector: str
    result: str
    comment: str = ""


class ReportedSpf(NamedTuple):
    """The result of SPF; ``scope`` is ``mfrom`` or, in older reports, ``helo``; ``comment`` is for people."""

    domain: str
    result: str
    scope: str = "mfrom"
    comment: str = ""


class PolicyOverride(NamedTuple):
    """Why a message was treated otherwise than its author's domain wants.

    ``kind`` is ``local_policy``, ``mailing_list``, ``policy_test_mode``, ``trusted_forwarder`` or ``other``; older
    reports also have ``forwarded`` and ``sampled_out``.  ``comment`` is for people.
    """

    kind: str
    comment: str = ""


class AggregateRow(NamedTuple):
    """What messages with the same results have in common.

    Args:
        source_ip: The client's address.
        header_from: The author's domain.
        disposition: What was done: ``none``, ``pass`` (nothing, because DMARC passed and there is a policy),
            ``quarantine`` or ``reject``.
        dkim: ``pass`` if a signature of an aligned domain passed, else ``fail``.
        spf: ``pass`` if SPF passed for an aligned domain, else ``fail``.
        envelope_from: The domain of the reverse-path, "" for a null one.
        envelope_to: The domain of the recipient; "" if it is not told.
        overrides: Why the policy was not applied.
        signatures: The DKIM signatures, aligned or not.
        spf_results: The results of SPF, aligned or not.
    """

    source_ip: str
    header_from: str
    disposition: str
    dkim: str
    spf: str
    envelope_from: str = ""
    envelope_to: str = ""
    overrides: tuple[PolicyOverride, ...] = ()
    signatures: tuple[ReportedSignature, ...] = ()
    spf_results: tuple[ReportedSpf, ...] = ()

    @property
    def passed(self) -> bool:
        """DMARC passed."""
        return "pass" in (self.dkim, self.spf)


class AggregateRecord(NamedTuple):
    """A row and the number of messages that had it."""

    row: AggregateRow
    messages: int


class PolicyPublished(NamedTuple):
    """The policy that a report is about, as its record has it; "" where a tag is not given or not told.

    ``domain`` is that of the record.  ``testing`` is ``t=y``; ``discovery`` is ``treewalk`` or, of receivers with a
    list of public suffixes, ``psl``.
    """

    domain: str
    p: str
    sp: str = ""
    np: str = ""
    adkim: str = ""
    aspf: str = ""
    fo: str = ""
    testing: bool = False
    discovery: str = ""


class ReportMetadata(NamedTuple):
    """Who reports, and of what time.

    Args:
        org_name: The organization that reports.
        email: Where to ask about the report.
        report_id: Unique among the reports of this organization about this domain.
        begin: The first second of the time, since 1970.
        end: The last second.
        contact: Where else to ask.
        errors: What is wrong with the record, in sentences.
        generator: The program.
    """

    org_name: str
    email: str
    report_id: str
    begin: int
    end: int
    contact: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""


class AggregateReport(NamedTuple):
    """An aggregate report that was read."""

    metadata: ReportMetadata
    policy: PolicyPublished
    records: tuple[AggregateRecord, ...]

    @property
    def messages(self) -> int:
        """How many messages the report is about."""
        return sum(each.messages for each in self.records)


class _Signed(DomainVerdict, Protocol):
    @property
    def selector(self) -> str: ...


def policy_published(dmarc: DmarcResult) -> PolicyPublished | None:
    """The policy that a report about this result has; None if there is no record, and so nothing to report.

    Results with equal policies go into one report (RFC 9990 §3.1).
    """
    record = dmarc.record
    if record is None or not record.applies:
        return None
    return PolicyPublished(
        dmarc.policy_domain,
        record.p or "none",
        record.sp or "",
        record.np or "",
        record.adkim,
        record.aspf,
        ":".join(record.fo) if record.ruf else "",
        record.t,
        "treewalk",
    )


def aggregate_row(
    source_ip: str,
    dmarc: DmarcResult,
    spf: DomainVerdict | None,
    signatures: Iterable[_Signed],
    *,
    done: Literal["none", "quarantine", "reject"],
    envelope_from: str = "",
    envelope_to: str = "",
    overrides: Iterable[PolicyOverride] = (),
) -> AggregateRow:
    """The row of one message.

    Args:
        source_ip: The client's address.
        dmarc: The result of DMARC.
        spf: The result of SPF, None if it was not checked.
        signatures: The results of the DKIM signatures; those that say most about the message are kept (RFC 9990
            §3.1.3): first those that pass and are of the author's domain, then aligned ones, then the others that pass.
        done: What was done with the message, whatever its author's domain wants.
        envelope_from: The domain of the reverse-path.
        envelope_to: The domain of the recipient.
        overrides: Why something else was done.  That the record asks for a milder policy (``t=y``) is added here.
    """
    organization = f".{dmarc.organizational_domain or dmarc.policy_domain}"

    def rank(each: DomainVerdict) -> tuple[bool, bool, bool]:
        return each.result != "pass", each.domain != dmarc.author_domain, not f".{each.domain}".endswith(organization)

    kept = sorted(signatures, key=rank)
    reasons = list(overrides)
    if dmarc.result == "fail" and dmarc.disposition != dmarc.policy and dmarc.record is not None and dmarc.record.t:
        reasons.insert(0, PolicyOverride("policy_test_mode"))
    passed = dmarc.result == "pass" and done == "none" and dmarc.policy not in ("", "none")
    return AggregateRow(
        source_ip,
        dmarc.author_domain,
        "pass" if passed else done,
        "pass" if dmarc.dkim_aligned else "fail",
        "pass" if dmarc.spf_aligned else "fail",
        envelope_from,
        envelope_to,
        tuple(reasons),
        tuple(ReportedSignature(each.domain, each.selector, each.result) for each in kept[:_MOST_SIGNATURES]),
        () if spf is None else (ReportedSpf(spf.domain, spf.result),),
    )
