"""The records by which a domain lets its mail be verified: DKIM keys (RFC 6376) and the DMARC policy (RFC 9989)."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.core import Kind, Question, Status
from posthouse.mailauth.dkim.key_record import find_keys, key_question, read_key_record
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.dmarc.dmarc_record import DmarcRecord
from posthouse.mailauth.dmarc.tree_walk import DnsTreeWalk, walk_tree
from posthouse.mailauth.domain_check.domain_report import DomainFinding, FindingLevel, TopicReport, txt_line
from posthouse.mailauth.questions import Check
from posthouse.mailauth.tag_list import TagFault

__all__ = ["dkim_keys", "dmarc_policy"]

_MOST_SELECTORS = 20
_GOOD_RSA_BITS = 2048


def dkim_keys(domain: str, selectors: Sequence[str]) -> Check[TopicReport]:
    """The report on the keys with these selectors; the DNS does not tell which there are."""
    if not selectors:
        finding = DomainFinding(
            "note",
            "DKIM keys have names (selectors) that the DNS does not list, and none was given.",
            "Name one with --selector; s= in the DKIM-Signature of a message says which.",
        )
        return TopicReport("dkim", "not looked at", (), (finding,))
    findings: list[DomainFinding] = []
    texts: list[str] = []
    for selector in selectors[:_MOST_SELECTORS]:
        yield from _key(domain, selector.lower(), texts, findings)
    return TopicReport("dkim", f"{len(texts)} of {len(selectors)} keys found", tuple(texts), tuple(findings))


def _key(domain: str, selector: str, texts: list[str], findings: list[DomainFinding]) -> Check[None]:
    question = key_question(domain, selector)
    answer = yield question
    records = [each for each in answer.records if isinstance(each, bytes)]
    if len(records) > 1:
        findings.append(
            DomainFinding(
                "error", f"{question.name} has {len(records)} TXT records, and receivers take any one.", "Keep one."
            )
        )
    kind = "rsa"
    for each in records[:1]:
        texts.append(f"{question.name}: {each.decode('ascii', 'backslashreplace')}")
        try:
            record = read_key_record(each)
        except TagFault:
            continue  # find_keys says it
        kind = record.kind
        if record.testing:
            findings.append(
                DomainFinding(
                    "warning",
                    f"The key {selector} says that it is a test (t=y), so receivers may ignore it.",
                    "Remove t=y.",
                )
            )
    try:
        keys = yield from find_keys(domain, selector, "ed25519-sha256" if kind == "ed25519" else "rsa-sha256")
    except SignatureFault as fault:
        level: FindingLevel = "note" if fault.result == "temperror" else "error"
        findings.append(
            DomainFinding(
                level,
                f"{fault.reason[:1].upper()}{fault.reason[1:]}.",
                "Publish the record that posthouse dkim show prints.",
            )
        )
        return
    bits = keys[0][1].bits
    if keys[0][1].kind == "rsa" and bits < _GOOD_RSA_BITS:
        findings.append(
            DomainFinding(
                "warning",
                f"The RSA key {selector} has {bits} bits, which is weak.",
                "Make one of 2048 bits: posthouse dkim rotate.",
            )
        )


def dmarc_policy(domain: str) -> Check[TopicReport]:
    """The report on the DMARC policy of a domain, its own or one that it inherits."""
    walk = yield from walk_tree(domain)
    findings = [DomainFinding("error", f"{each[:1].upper()}{each[1:]}.", "Keep one record.") for each in walk.remarks]
    if walk.failure:
        findings.append(DomainFinding("note", f"The DNS gave no answer: {walk.failure}.", "Ask again later."))
        return TopicReport("dmarc", "unknown: the DNS failed", (), tuple(findings))
    record, owner = _that_counts(walk)
    if record is None:
        findings.append(
            DomainFinding(
                "warning",
                f"{domain} has no DMARC record: receivers are not told what to do with forged mail.",
                "Publish one that asks for reports; make it stricter when they show only your hosts.",
                txt_line(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"),
            )
        )
        return TopicReport("dmarc", "no record", (), tuple(findings))
    level: FindingLevel = "warning" if record.applies else "error"
    findings += [DomainFinding(level, f"_dmarc.{owner}: {each}.", "Correct the record.") for each in record.remarks]
    policy, _ = record.policy(subdomain=owner != domain)
    if policy == "none" and record.applies:
        findings.append(
            DomainFinding(
                "note",
                "The policy is none: receivers deliver mail that only pretends to be the domain's.",
                "When the reports show only your hosts, write p=quarantine, and later p=reject.",
            )
        )
    if not record.rua:
        findings.append(
            DomainFinding(
                "note",
                "rua= is missing, so nobody reports what is sent in the domain's name.",
                f"Add rua=mailto:postmaster@{domain}",
            )
        )
    yield from _destinations(owner, record, findings)
    inherited = "" if owner == domain else f", inherited from {owner}"
    return TopicReport("dmarc", f"policy {policy}{inherited}", (f"_dmarc.{owner}: {record.text}",), tuple(findings))


def _that_counts(walk: DnsTreeWalk) -> tuple[DmarcRecord | None, str]:
    """The record that counts for the domain, and whose it is (RFC 9989 §4.10.1)."""
    for owner in (walk.domain, walk.organizational_domain):
        record = walk.at(owner)
        if record is not None:
            return record, owner
    return (None, "") if walk.suffix is None else (walk.suffix.record, walk.suffix.domain)


def _destinations(owner: str, record: DmarcRecord, findings: list[DomainFinding]) -> Check[None]:
    """Report addresses in other domains must be allowed there (RFC 9990 §4)."""
    domains = dict.fromkeys(each.address.domain for each in (*record.rua, *record.ruf) if each.address is not None)
    for domain in list(domains)[:10]:
        if domain == owner or domain.endswith(f".{owner}") or owner.endswith(f".{domain}"):
            continue
        name = f"{owner}._report._dmarc.{domain}"
        answer = yield Question(name, Kind.TXT)
        allowed = any(isinstance(each, bytes) and each.startswith(b"v=DMARC1") for each in answer.records)
        if not allowed and answer.status is not Status.FAILED:
            findings.append(
                DomainFinding(
                    "warning",
                    f"Reports go to {domain}, which does not say that it takes them, so none will come.",
                    f"Have the owner of {domain} publish this record.",
                    txt_line(name, "v=DMARC1"),
                )
            )
