"""The hosts that receive a domain's mail (MX, RFC 5321 §5.1), and what the DNS says of TLS with them: DANE (RFC 7672),
MTA-STS (RFC 8461) and TLS reports (RFC 8460)."""

from __future__ import annotations

import re
from typing import NamedTuple

from posthouse.core import MX, Answer, Kind, Question, Status
from posthouse.mailauth.domain_check.domain_report import DomainFinding, TopicReport, txt_line
from posthouse.mailauth.questions import Check

__all__ = ["ReceivingHosts", "mta_sts", "receiving_hosts", "tls_reports", "tlsa_records"]

_MOST_HOSTS = 10  # hosts that are looked at
_STS = re.compile(r"v=STSv1[ \t]*;(?:.*;)?[ \t]*id=[A-Za-z0-9]{1,32}[ \t]*(?:;.*)?")
_RPT = re.compile(r"v=TLSRPTv1[ \t]*;(?:.*;)?[ \t]*rua=(?:mailto|https):[^ ;]+.*")


class ReceivingHosts(NamedTuple):
    """The report on the hosts that receive a domain's mail.

    Args:
        report: What was found.
        hosts: Those with an address.
        mechanism: The mechanism of SPF that means them, "" if there are none.
        exists: False if the domain does not exist.
    """

    report: TopicReport
    hosts: tuple[str, ...] = ()
    mechanism: str = ""
    exists: bool = True


def receiving_hosts(domain: str) -> Check[ReceivingHosts]:
    """The hosts that receive the mail of a domain."""
    answer = yield Question(domain, Kind.MX)
    if answer.status is Status.FAILED:
        return ReceivingHosts(TopicReport("mx", "unknown: the DNS failed", (), (_failed(answer),)), mechanism="mx")
    if answer.status is Status.NXDOMAIN:
        finding = DomainFinding("error", f"{domain} does not exist in the DNS.", "Check the spelling, or register it.")
        return ReceivingHosts(TopicReport("mx", "the domain does not exist", (), (finding,)), exists=False)
    found = sorted(each for each in answer.records if isinstance(each, MX))
    texts = tuple(f"{each.preference} {each.exchange}." for each in found)
    if not found:
        return (yield from _without_mx(domain))
    if not found[0].exchange and len(found) == 1:
        return ReceivingHosts(TopicReport("mx", "the domain receives no mail (null MX, RFC 7505)", texts))
    findings: list[DomainFinding] = []
    hosts: list[str] = []
    for each in found[:_MOST_HOSTS]:
        if each.exchange:
            usable = yield from _host(each.exchange, findings)
            hosts += [each.exchange] * usable
        else:
            findings.append(
                DomainFinding(
                    "error", "The null MX (.) stands beside other MX records (RFC 7505 §3).", "Remove one kind."
                )
            )
    if not hosts:
        findings.append(
            DomainFinding(
                "error",
                "No host of the MX records has an address: the domain gets no mail.",
                "Give one of them an A or AAAA record.",
            )
        )
    report = TopicReport("mx", f"{len(found)} MX record{'s' * (len(found) > 1)}", texts, tuple(findings))
    return ReceivingHosts(report, tuple(hosts), "mx")


def _without_mx(domain: str) -> Check[ReceivingHosts]:
    """A domain without MX: its own address takes its mail (RFC 5321 §5.1)."""
    for kind in (Kind.A, Kind.AAAA):
        answer = yield Question(domain, kind)
        if answer.status is Status.OK:
            finding = DomainFinding(
                "note",
                f"{domain} has no MX record, so its mail goes to its own address.",
                "Publish an MX record; one for a domain without mail is 0 and a dot.",
                f"{domain}. IN MX 10 {domain}.",
            )
            report = TopicReport("mx", "no MX record; the domain's own address is used", (), (finding,))
            return ReceivingHosts(report, (domain,), "a")
    finding = DomainFinding(
        "warning",
        f"{domain} has neither MX nor address, so it receives no mail, and receivers may refuse its own.",
        "Publish an MX record; this one says that the domain has no mail.",
        f"{domain}. IN MX 0 .",
    )
    return ReceivingHosts(TopicReport("mx", "no MX record and no address", (), (finding,)))


def _host(host: str, findings: list[DomainFinding]) -> Check[bool]:
    """Whether a host of an MX record has an address."""
    alias = yield Question(host, Kind.CNAME)
    if alias.status is Status.OK:
        findings.append(
            DomainFinding(
                "warning",
                f"{host} in an MX record is an alias, which RFC 5321 §5.1 forbids.",
                f"Name {alias.records[0]!s} itself.",
            )
        )
    for kind in (Kind.A, Kind.AAAA):
        answer = yield Question(host, kind)
        if answer.status is Status.OK:
            return True
        if answer.status is Status.FAILED:
            findings.append(_failed(answer))
            return True
    findings.append(
        DomainFinding(
            "error", f"{host} in an MX record has no address.", "Give it an A record, or remove the MX record."
        )
    )
    return False


def _failed(answer: Answer) -> DomainFinding:
    return DomainFinding("note", f"The DNS gave no answer: {answer.reason}.", "Ask again later.")


def tlsa_records(hosts: tuple[str, ...]) -> Check[TopicReport]:
    """The report on the TLSA records of the hosts (DANE)."""
    found: list[str] = []
    unsigned: list[str] = []
    for host in hosts[:_MOST_HOSTS]:
        answer = yield Question(f"_25._tcp.{host}", Kind.TLSA)
        if answer.status is Status.OK:
            found += [f"{host}: {each!s}" for each in answer.records]
            unsigned += [host] * (not answer.authenticated)
    if not found:
        return TopicReport("dane", "no TLSA records: senders cannot demand this certificate by DANE")
    findings: tuple[DomainFinding, ...] = ()
    if unsigned:
        findings = (
            DomainFinding(
                "note",
                f"The answer for {', '.join(unsigned)} is not marked as signed, and TLSA records need DNSSEC.",
                "Sign the zone, or ask a resolver that validates.",
            ),
        )
    return TopicReport("dane", f"{len(found)} TLSA record{'s' * (len(found) > 1)}", tuple(found), findings)


def mta_sts(domain: str) -> Check[TopicReport]:
    """The report on the MTA-STS record; the policy itself is a web page, and is not fetched."""
    name = f"_mta-sts.{domain}"
    texts = yield from _texts(name, "v=STSv1")
    if not texts:
        return TopicReport("mta-sts", "no record: senders may fall back to mail without TLS")
    findings: tuple[DomainFinding, ...] = ()
    if len(texts) > 1 or _STS.fullmatch(texts[0]) is None:
        findings = (
            DomainFinding(
                "error",
                "The MTA-STS record has no effect: it must be one, with an id of letters and digits (RFC 8461).",
                "Publish it in this form, with a new id whenever the policy changes.",
                txt_line(name, "v=STSv1; id=1;"),
            ),
        )
    note = DomainFinding(
        "note",
        "The policy was not fetched.",
        f"See that https://mta-sts.{domain}/.well-known/mta-sts.txt names the MX hosts.",
    )
    return TopicReport("mta-sts", "a record", tuple(texts), (*findings, note))


def tls_reports(domain: str) -> Check[TopicReport]:
    """The report on the TLS-RPT record."""
    name = f"_smtp._tls.{domain}"
    texts = yield from _texts(name, "v=TLSRPTv1")
    if not texts:
        return TopicReport("tls-rpt", "no record: senders tell nobody when TLS with the domain's hosts fails")
    if len(texts) == 1 and _RPT.fullmatch(texts[0]) is not None:
        return TopicReport("tls-rpt", "a record", tuple(texts))
    finding = DomainFinding(
        "error",
        "The TLS-RPT record has no effect: it must stand alone, with an address in rua= (RFC 8460 §3).",
        "Publish it in this form.",
        txt_line(name, f"v=TLSRPTv1; rua=mailto:postmaster@{domain}"),
    )
    return TopicReport("tls-rpt", "a record without effect", tuple(texts), (finding,))


def _texts(name: str, version: str) -> Check[list[str]]:
    """The TXT records of a name that begin with a version."""
    answer = yield Question(name, Kind.TXT)
    texts = [each.decode("ascii", "backslashreplace") for each in answer.records if isinstance(each, bytes)]
    return [each for each in texts if each.startswith(version)]
