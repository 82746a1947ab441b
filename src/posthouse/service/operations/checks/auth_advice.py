"""Advice about the authentication of one message: what its sender can change, and which record to publish."""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.mailauth.all_checks import MessageChecks
from posthouse.mailauth.dkim.verdict import SignatureResult
from posthouse.mailauth.domain_check import DomainFinding
from posthouse.mailauth.domain_check.domain_report import txt_line
from posthouse.mailauth.spf.spf_record import is_spf
from posthouse.mailauth.spf.spf_result import SpfResult

__all__ = ["advice_for"]


def advice_for(found: MessageChecks) -> list[DomainFinding]:
    """What is wrong with the authentication of a message, and what to do."""
    findings = [] if found.spf is None else list(_spf(found.spf))
    findings += [each for signature in found.dkim.signatures for each in _signature(signature)]
    author = found.dmarc.author_domain
    if found.arc.result == "fail":
        text = f"The ARC chain is not valid: {found.arc.reason}."
        findings.append(DomainFinding("warning", text, "Receivers treat the message as one without a chain."))
    if not found.dkim.signatures:
        findings.append(
            DomainFinding(
                "warning",
                "The message has no DKIM signature.",
                f"Sign it: posthouse dkim keygen {author or 'DOMAIN'} makes a key and shows its record.",
            )
        )
    findings += _dmarc(found)
    if found.dmarc.result == "pass":  # one method is enough, and forwarding breaks the other
        return [each._replace(level="warning") if each.level == "error" else each for each in findings]
    return findings


def _spf(spf: SpfResult) -> Iterator[DomainFinding]:
    if spf.result == "pass":
        return
    text = f"SPF is {spf.result} for {spf.domain or 'the sender'}: {spf.reason}."
    match spf.result:
        case "temperror":
            yield DomainFinding("note", text, "Ask again later.")
        case "permerror":
            yield DomainFinding("error", text, f"See posthouse check domain {spf.record or spf.domain}.")
        case _:
            level = "error" if spf.result == "fail" else "warning"
            record = _allowing(spf)
            remedy = f"If {spf.ip} is a host of yours, publish this record."
            if not record:
                remedy = "Name a domain that can have a record: with --from the sender, with --helo the host in full."
            yield DomainFinding("error" if level == "error" else "warning", text, remedy, record)


def _allowing(spf: SpfResult) -> str:
    """The SPF record of the domain with the client in it, "" where there is no domain to publish it for."""
    if "." not in spf.domain or spf.domain.startswith("[") or not spf.domain.isascii():
        return ""
    client = f"ip{6 if ':' in spf.ip else 4}:{spf.ip}"
    first = spf.lookups[0].answer.records if spf.lookups else ()
    texts = [each.decode("ascii", "replace") for each in first if isinstance(each, bytes) and is_spf(each)]
    if not texts:
        return txt_line(spf.domain, f"v=spf1 {client} -all")
    version, _, rest = texts[0].partition(" ")
    return txt_line(spf.domain, " ".join([version, client, *rest.split()]))


def _signature(found: SignatureResult) -> Iterator[DomainFinding]:
    text = f"The signature of {found.domain or 'an unknown domain'} is {found.result}: {found.reason}."
    match found.result:
        case "pass":
            return
        case "temperror":
            yield DomainFinding("note", text, "Ask again later.")
        case "fail":
            yield DomainFinding(
                "error", text, "See that nothing changes the message after it is signed, and that the key is right."
            )
        case _:
            yield DomainFinding(
                "error", text, f"See posthouse check domain {found.domain} --selector {found.selector}."
            )


def _dmarc(found: MessageChecks) -> Iterator[DomainFinding]:
    dmarc = found.dmarc
    text = f"DMARC is {dmarc.result} for {dmarc.author_domain or 'the author'}: {dmarc.reason}."
    match dmarc.result:
        case "none":
            name = f"_dmarc.{dmarc.author_domain}"
            record = f"v=DMARC1; p=none; rua=mailto:postmaster@{dmarc.author_domain}"
            literal = dmarc.author_domain.startswith("[")
            yield DomainFinding("warning", text, "Publish a policy.", "" if literal else txt_line(name, record))
        case "temperror":
            yield DomainFinding("note", text, "Ask again later.")
        case "permerror":
            yield DomainFinding("error", text, "Write one From field with one address.")
        case "fail" if not found.dmarc_known:
            author = dmarc.author_domain
            remedy = f"Sign with d={author}, or give the sender with --from."
            if found.spf is None:
                remedy = f"Sign with d={author}, or give the host and the sender with --ip and --from."
            yield DomainFinding(
                "warning",
                f"Whether the message passes DMARC is not known: no signature passed for a domain that is aligned with "
                f"{author}, and SPF was not checked.",
                remedy,
            )
        case "fail":
            wish = {"reject": " Receivers refuse it.", "quarantine": " Receivers put it aside."}.get(
                dmarc.disposition, ""
            )
            yield DomainFinding("error", text + wish, _alignment(found))


def _alignment(found: MessageChecks) -> str:
    """What would make the message pass."""
    author = found.dmarc.author_domain
    if found.spf is not None and found.spf.result == "pass":
        return f"SPF passed for {found.spf.domain}: use an address of {author} in MAIL FROM, or sign with d={author}."
    signed = next((each.domain for each in found.dkim.signatures if each.result == "pass"), "")
    if signed:
        return f"The signature of {signed} passed: sign with d={author} in its place or besides."
    return f"Sign with d={author}, or send from a host that the SPF record of {author} allows."
