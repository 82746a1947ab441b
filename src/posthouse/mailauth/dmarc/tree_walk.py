"""DNS tree walk of DMARC: the records on the way from a domain to the root, and the organizational domain among them
(RFC 9989 §4.10).

A walk asks for ``_dmarc`` at the domain and at each domain above it, at most 8 times: a name of more than 7 labels is
cut to 7 after the first question.  It ends at a record that says whether it belongs to a public suffix (``psd=y``) or
to an organization (``psd=n``).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.core import Answer, Question, Status
from posthouse.core.dns import Kind
from posthouse.mailauth.dmarc.dmarc_record import DmarcRecord, read_dmarc_record
from posthouse.mailauth.questions import Check

__all__ = ["DnsTreeWalk", "PublishedRecord", "find_record", "walk_targets", "walk_tree"]

_MOST_LABELS: Final = 7  # of a name that is asked for behind the first one
_MOST_TEXTS: Final = 100  # TXT records of one name that are looked at


class PublishedRecord(NamedTuple):
    """A policy record and the domain at which it was found, without ``_dmarc``."""

    domain: str
    record: DmarcRecord


class DnsTreeWalk(NamedTuple):
    """What a walk found.

    Args:
        domain: Where it began.
        found: The records, from the longest name to the shortest.
        failure: Why the walk could not be finished, in words; "" if it was.  A record that was not had may have been
            the one that decides.
        remarks: What is wrong at the domains, in sentences.
        exists: True if the domain itself is known to exist, None if the walk does not tell.
    """

    domain: str
    found: tuple[PublishedRecord, ...] = ()
    failure: str = ""
    remarks: tuple[str, ...] = ()
    exists: bool | None = None

    @property
    def organizational_domain(self) -> str:
        """The organizational domain (§4.10.2), valid if the walk has no failure."""
        for each in self.found:
            if each.record.psd == "n":
                return each.domain
            if each.record.psd == "y" and each.domain != self.domain:
                return _one_below(each.domain, self.domain)
        return self.found[-1].domain if self.found else self.domain

    def at(self, domain: str) -> DmarcRecord | None:
        """The record of that domain."""
        return next((each.record for each in self.found if each.domain == domain), None)

    @property
    def suffix(self) -> PublishedRecord | None:
        """The record of the public suffix above the domain (``psd=y``)."""
        return next((each for each in self.found if each.record.psd == "y" and each.domain != self.domain), None)


def walk_targets(domain: str) -> list[str]:
    """The domains at which a walk from ``domain`` asks, in order."""
    labels = domain.split(".")
    rest = labels[1:] if len(labels) <= _MOST_LABELS else labels[-_MOST_LABELS:]
    return [domain, *(".".join(rest[at:]) for at in range(len(rest)))]


def walk_tree(domain: str) -> Check[DnsTreeWalk]:
    """Walk from ``domain`` (lower case, A-labels, no final dot) up to the root; at most 8 questions."""
    found: list[PublishedRecord] = []
    remarks: list[str] = []
    exists: bool | None = None
    for target in walk_targets(domain):
        answer = yield Question(f"_dmarc.{target}", Kind.TXT)
        if target == domain and answer.status in (Status.OK, Status.NODATA):
            exists = True
        if answer.status is Status.FAILED:
            return DnsTreeWalk(domain, tuple(found), _failure(target, answer), tuple(remarks), exists)
        record = _record(target, answer, remarks)
        if record is not None:
            found.append(PublishedRecord(target, record))
            if record.psd != "u":
                break
    return DnsTreeWalk(domain, tuple(found), "", tuple(remarks), exists)


def find_record(domain: str) -> Check[DnsTreeWalk]:
    """The first step of a walk: the record of the domain itself."""
    answer = yield Question(f"_dmarc.{domain}", Kind.TXT)
    exists = True if answer.status in (Status.OK, Status.NODATA) else None
    if answer.status is Status.FAILED:
        return DnsTreeWalk(domain, (), _failure(domain, answer), (), exists)
    remarks: list[str] = []
    record = _record(domain, answer, remarks)
    found = () if record is None else (PublishedRecord(domain, record),)
    return DnsTreeWalk(domain, found, "", tuple(remarks), exists)


def _record(domain: str, answer: Answer, remarks: list[str]) -> DmarcRecord | None:
    """The record in an answer; None, with a remark, if there are several."""
    texts = [each for each in answer.records[:_MOST_TEXTS] if isinstance(each, bytes)]
    records = [record for record in map(read_dmarc_record, texts) if record is not None]
    if len(records) > 1:
        remarks.append(f"_dmarc.{domain} has {len(records)} DMARC records, so none of them counts; keep one")
        return None
    return records[0] if records else None


def _failure(domain: str, answer: Answer) -> str:
    return answer.reason or f"the TXT record of _dmarc.{domain} could not be had"


def _one_below(above: str, domain: str) -> str:
    """The domain one label below ``above`` on the way to ``domain``."""
    labels = domain.removesuffix(f".{above}").split(".")
    return f"{labels[-1]}.{above}"
