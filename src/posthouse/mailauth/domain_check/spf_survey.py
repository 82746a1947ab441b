"""Survey of a domain's SPF record without a client: syntax, what it costs in look-ups, and what weakens it.

``check_spf`` stops at the first match, so a record with too many look-ups passes for some clients and fails for others.
The survey follows every include and redirect, and counts as if no term matched.
"""

from __future__ import annotations

from typing import NamedTuple

from posthouse.core import MX, Kind, Question, Status
from posthouse.mailauth.domain_check.domain_report import DomainFinding, FindingLevel, TopicReport, txt_line
from posthouse.mailauth.domains import a_labels
from posthouse.mailauth.questions import Check
from posthouse.mailauth.spf.check_host import MOST_HOSTS, MOST_TERMS, MOST_VOIDS
from posthouse.mailauth.spf.macros import MacroText, expand_domain, letters_of
from posthouse.mailauth.spf.spf_record import SpfRecord, SyntaxFault, Term, parse_record, select

__all__ = ["survey_spf"]

_MOST_VISITED = 40  # terms with look-ups that are followed; a record that needs more is hopeless anyway
_LONG = 450  # octets of a record that fits an answer by UDP with the rest (RFC 7208 §3.4)


def survey_spf(domain: str, receiving: str) -> Check[TopicReport]:
    """The report on the SPF record of a domain in A-labels; ``receiving``: the mechanism that means the
    hosts which receive its mail, "" if it has none."""
    answer = yield Question(domain, Kind.TXT)
    if answer.status is Status.FAILED:
        finding = DomainFinding("note", f"The DNS gave no answer: {answer.reason}.", "Ask again later.")
        return TopicReport("spf", "unknown: the DNS failed", (), (finding,))
    records = select(answer.records)
    texts = tuple(each.decode("ascii", "backslashreplace") for each in records)
    if not records:
        record = f"v=spf1 {receiving} -all" if receiving else "v=spf1 -all"
        finding = DomainFinding(
            "warning",
            f"{domain} publishes no SPF record, so any host may use it as the sender.",
            "Publish one that names the hosts which send for the domain; this one allows "
            + ("the hosts that receive its mail." if receiving else "no host."),
            txt_line(domain, record),
        )
        return TopicReport("spf", "no record", (), (finding,))
    if len(records) > 1:
        finding = DomainFinding(
            "error",
            f"{domain} publishes {len(records)} SPF records, so each check is a permanent error.",
            "Join their terms in one record, and remove the others.",
            txt_line(domain, _joined(texts)),
        )
        return TopicReport("spf", "permanent error: several records", texts, (finding,))
    survey = _Survey()
    record_or_fault = parse_record(records[0])
    if isinstance(record_or_fault, SyntaxFault):
        finding = DomainFinding(
            "error",
            f"The SPF record has a syntax error in {record_or_fault.term!r}, so each check is a permanent error.",
            f"Correct it: {record_or_fault.problem}.",
        )
        return TopicReport("spf", "permanent error: syntax", texts, (finding,))
    yield from survey.visit(record_or_fault, domain, ())
    survey.judge(record_or_fault, domain, texts[0])
    used = f"{survey.terms} of {MOST_TERMS} look-ups"
    return TopicReport("spf", f"one record, {used}", texts, tuple(survey.findings))


def _joined(texts: tuple[str, ...]) -> str:
    """One record with the terms of several, each once, ``all`` at the end."""
    terms = list(dict.fromkeys(term for text in texts for term in text.split(" ")[1:] if term))
    kept = [term for term in terms if term.lstrip("+-~?").lower() != "all"]
    return " ".join(["v=spf1", *kept, "~all"])


class _Visit(NamedTuple):
    """A term that is visited: the domain of its record, and the domains on the way."""

    domain: str
    path: tuple[str, ...]


class _Survey:
    """What is found in a record and in those that it names."""

    def __init__(self) -> None:
        self.findings: list[DomainFinding] = []
        self.terms = 0
        self._visited = 0
        self._voids: list[str] = []

    def visit(self, record: SpfRecord, domain: str, path: tuple[str, ...]) -> Check[None]:
        """Follow the terms of a record."""
        here = _Visit(domain, (*path, domain))
        for term in record.terms:
            if term.kind in ("all", "ip4", "ip6"):
                continue
            if not self._may_visit():
                return
            yield from self._follow(term, here)
        if record.redirect is not None and self._may_visit():
            yield from self._enter(record.redirect_text, record.redirect, here)

    def _may_visit(self) -> bool:
        self.terms += 1
        self._visited += 1
        return self._visited <= _MOST_VISITED

    def _follow(self, term: Term, here: _Visit) -> Check[None]:
        if term.kind == "include":
            assert term.domain is not None
            yield from self._enter(term.text, term.domain, here)
            return
        target = here.domain if term.domain is None else _fixed(term.domain, here.domain)
        if target is None or term.kind == "ptr":
            return  # it depends on the message
        if term.kind == "mx":
            yield from self._exchanges(term.text, target, here)
            return
        kinds = (Kind.A,) if term.kind == "exists" else (Kind.A, Kind.AAAA)
        found = False
        for kind in kinds:
            answer = yield Question(target, kind)
            found = found or answer.status in (Status.OK, Status.FAILED)
        if not found:
            self._void(term.text, target, here)

    def _exchanges(self, text: str, target: str, here: _Visit) -> Check[None]:
        answer = yield Question(target, Kind.MX)
        hosts = [each for each in answer.records if isinstance(each, MX)]
        if answer.status in (Status.NODATA, Status.NXDOMAIN):
            self._void(text, target, here)
        elif len(hosts) > MOST_HOSTS:
            self._add(
                "error",
                f"{text} in the record of {here.domain} finds {len(hosts)} MX records, and {MOST_HOSTS} are allowed: "
                "each check that comes to it is a permanent error.",
                "Name the hosts with ip4 and ip6 in place of mx.",
            )

    def _enter(self, text: str, spec: MacroText, here: _Visit) -> Check[None]:
        """The record that an include or a redirect names."""
        target = _fixed(spec, here.domain)
        if target is None:
            return
        if target in here.path:
            self._add(
                "error",
                f"{text} in the record of {here.domain} leads back to {target}: checks end with a permanent error.",
                f"Remove {text}.",
            )
            return
        answer = yield Question(target, Kind.TXT)
        if answer.status is Status.FAILED:
            self._add("note", f"The record of {target} was not had: {answer.reason}.", "Ask again later.")
            return
        records = select(answer.records)
        problem = ""
        if not records:
            problem = f"{target} does not exist" if answer.status is Status.NXDOMAIN else f"{target} has no SPF record"
        elif len(records) > 1:
            problem = f"{target} has {len(records)} SPF records"
        else:
            found = parse_record(records[0])
            if isinstance(found, SpfRecord):
                yield from self.visit(found, target, here.path)
                return
            problem = f"the record of {target} has a syntax error in {found.term!r}"
        self._add(
            "error",
            f"{text} in the record of {here.domain} is a permanent error: {problem}.",
            f"Remove {text}, or ask the owner of {target} to publish a right record.",
        )

    def _void(self, text: str, target: str, here: _Visit) -> None:
        self._voids.append(text)
        self._add(
            "warning",
            f"{text} in the record of {here.domain} finds no record of {target}; {MOST_VOIDS} such terms are allowed.",
            f"Remove {text}.",
        )

    def _add(self, level: FindingLevel, text: str, remedy: str, publish: str = "") -> None:
        if len(self.findings) < _MOST_VISITED:
            self.findings.append(DomainFinding(level, text, remedy, publish))

    def judge(self, record: SpfRecord, domain: str, text: str) -> None:
        """What is said of the record as a whole."""
        if self.terms > MOST_TERMS:
            more = "more than " if self._visited > _MOST_VISITED else ""
            self._add(
                "error",
                f"The record needs {more}{self.terms} look-ups with its includes, and {MOST_TERMS} are allowed: "
                "checks of hosts that stand late in it are a permanent error.",
                "Remove includes of services that no longer send, and name fixed hosts with ip4 and ip6.",
            )
        elif self.terms > MOST_TERMS - 2:
            self._add(
                "note",
                f"The record needs {self.terms} of {MOST_TERMS} look-ups; a service that adds one more will break it.",
                "Remove what no longer sends, and name fixed hosts with ip4 and ip6.",
            )
        if len(self._voids) > MOST_VOIDS:
            self._add(
                "error",
                f"{len(self._voids)} terms find nothing, and {MOST_VOIDS} are allowed: checks are a permanent error.",
                f"Remove {', '.join(self._voids[:5])}.",
            )
        self._judge_end(record, domain, text)
        for term in record.terms:
            if term.kind == "ptr":
                self._add(
                    "warning", "ptr is slow and unreliable, and must not be used (RFC 7208 §5.5).", "Use ip4, ip6 or a."
                )
            if term.match == "pass" and term.kind in ("ip4", "ip6") and term.network == 0 and _whole(term):
                self._add("warning", f"{term.text} allows every host.", "Name the networks that send for the domain.")
        if record.ignored:
            ignored = ", ".join(record.ignored[:5])
            self._add("warning", f"all ends the record, so this is ignored: {ignored}.", "Put all at the end.")
        if record.unknown:
            unknown = ", ".join(record.unknown[:5])
            self._add(
                "note", f"Receivers ignore modifiers that they do not know: {unknown}.", "Look for a typing error."
            )
        if len(text) > _LONG:
            self._add(
                "note",
                f"The record has {len(text)} octets; above {_LONG} the answer may not fit in one DNS packet.",
                "Move some terms to a record of their own, and include it.",
            )

    def _judge_end(self, record: SpfRecord, domain: str, text: str) -> None:
        last = record.terms[-1] if record.terms else None
        if last is None or last.kind != "all":
            if record.redirect is None:
                self._add(
                    "warning",
                    "The record does not end with all or redirect, so it says nothing about other hosts.",
                    "Add ~all while you try the record, and -all later.",
                    txt_line(domain, f"{text.rstrip()} ~all"),
                )
        elif last.match in ("pass", "neutral"):
            says = (
                "allows every host to send for the domain" if last.match == "pass" else "says nothing about other hosts"
            )
            better = [each for each in text.split(" ") if each.lstrip("+-~?").lower() != "all"]
            self._add(
                "error" if last.match == "pass" else "warning",
                f"{last.text} {says}.",
                "Write ~all while you try the record, and -all later.",
                txt_line(domain, " ".join([*(each for each in better if each), "~all"])),
            )


def _whole(term: Term) -> bool:
    return term.shift4 == 32 if term.kind == "ip4" else term.shift6 == 128


def _fixed(spec: MacroText, domain: str) -> str | None:
    """The name that a domain-spec means for every message, None if it depends on the message."""
    if not letters_of(spec) <= {"d"}:
        return None
    return a_labels(expand_domain(spec, {"d": domain}))
