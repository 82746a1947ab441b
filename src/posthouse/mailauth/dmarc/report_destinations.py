"""Destinations of DMARC reports: which addresses of a record may get them (RFC 9990 §4, RFC 9991 §4).

A record may name addresses elsewhere.  Without a check anybody could publish a record that floods another's mailbox,
so a destination outside of the organization must say in its own DNS that it takes the reports.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from posthouse.core import Address, Question, Status
from posthouse.core.dns import Kind
from posthouse.mailauth.dmarc.dmarc_record import DmarcRecord, ReportUri, read_dmarc_record
from posthouse.mailauth.dmarc.tree_walk import walk_tree
from posthouse.mailauth.questions import Check

__all__ = ["ReportDestination", "find_destinations"]

_LONGEST_NAME: Final = 253
_MOST_TEXTS: Final = 100
#: Octets of the longest local part, and of the longest address (RFC 5321 §4.5.3.1).
_LONGEST_LOCAL: Final = 64
_LONGEST_ADDRESS: Final = 254


class ReportDestination(NamedTuple):
    """An address in a record, and whether reports go there.

    Args:
        uri: What the record has.
        addresses: Where reports go: the address of the URI, or those that its host wants instead.  Empty if none do.
        external: The address is outside of the record's organization.
        temporary: The DNS did not answer; ask again later.
        reason: One sentence that says why.
    """

    uri: ReportUri
    addresses: tuple[Address, ...] = ()
    external: bool = False
    temporary: bool = False
    reason: str = ""


def find_destinations(
    domain: str, record: DmarcRecord, kind: Literal["rua", "ruf"] = "rua"
) -> Check[tuple[ReportDestination, ...]]:
    """Check where reports about a domain go.

    Args:
        domain: The domain at which the record was found.
        record: The policy record.
        kind: ``rua`` for aggregate reports, ``ruf`` for failure reports.  A public suffix (``psd=y``) gets no failure
            reports (RFC 9991 §2).

    Returns:
        One for each URI of the record, in its order; at most 10.
    """
    if kind == "ruf" and record.psd == "y":
        return ()
    found = []
    for uri in record.rua if kind == "rua" else record.ruf:
        destination = yield from _find(domain, uri, kind)
        found.append(destination)
    return tuple(found)


def _find(domain: str, uri: ReportUri, kind: Literal["rua", "ruf"]) -> Check[ReportDestination]:
    if uri.address is None:
        return ReportDestination(uri, reason=f"{uri.uri:.80} is no mailto: address, and nothing else is supported")
    if not _can_be_sent_to(uri.address):
        return ReportDestination(uri, reason=f"{uri.uri:.80} is an address that not every server can send to")
    host = uri.address.domain
    if host == domain:
        return ReportDestination(uri, (uri.address,), reason=f"{host} is the domain itself")
    own = yield from walk_tree(domain)
    other = yield from walk_tree(host)
    if own.failure or other.failure:
        return ReportDestination(uri, temporary=True, reason=own.failure or other.failure)
    if own.organizational_domain == other.organizational_domain:
        return ReportDestination(uri, (uri.address,), reason=f"{host} belongs to {own.organizational_domain} too")
    name = f"{domain}._report._dmarc.{host}"
    if len(name) > _LONGEST_NAME:
        return ReportDestination(uri, external=True, reason=f"{host} cannot allow it: the name would be too long")
    answer = yield Question(name, Kind.TXT)
    if answer.status is Status.FAILED:
        reason = answer.reason or f"the TXT record of {name} could not be had"
        return ReportDestination(uri, external=True, temporary=True, reason=reason)
    texts = [each for each in answer.records[:_MOST_TEXTS] if isinstance(each, bytes)]
    records = [each for each in map(read_dmarc_record, texts) if each is not None]
    if not records:
        reason = f"{host} has not allowed reports about {domain}: {name} has no TXT record v=DMARC1"
        return ReportDestination(uri, external=True, reason=reason)
    wanted = [each for record in records for each in (record.rua if kind == "rua" else record.ruf)]
    if any(each.address is None or each.address.domain != host for each in wanted):
        reason = f"{host} wants the reports to go to another host, which is not allowed"
        return ReportDestination(uri, external=True, reason=reason)
    given = dict.fromkeys(each.address for each in wanted if each.address is not None) or (uri.address,)
    addresses = tuple(each for each in given if _can_be_sent_to(each))
    return ReportDestination(uri, addresses[:10], external=True, reason=f"{name} allows it")


def _can_be_sent_to(address: Address) -> bool:
    """Whether every server can send to an address: no report waits for one that some cannot."""
    return address.is_ascii and len(address.local) <= _LONGEST_LOCAL and len(str(address)) <= _LONGEST_ADDRESS
