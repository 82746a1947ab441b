"""Judgement of one message: the results of its methods, what is done about them, and how that is written.

What is done with a message whose author's domain it fails to prove (``[mailauth] verify = "enforce"``), in this order:

1. An ``[[mailauth.exception]]`` for the author's domain replaces the domain's own policy.
2. A trusted sealer (``trusted_sealers``) that has seen the message pass lets it through (RFC 8617 §8).
3. ``reject`` is refused with 550 5.7.26 (RFC 7372), ``quarantine`` goes where ``quarantine`` says, ``none`` passes.
4. A message whose author cannot be read (DMARC ``permerror``: no From, two, a malformed one) is refused with 550
   5.6.0: mail programs show an author nevertheless, and no policy would protect that name.
5. Where DMARC does not pass the message, ``spf_fail = "reject"`` refuses what SPF fails (550 5.7.23).

A temporary failure is no failure: the message passes, or is deferred with 451 4.4.3 (RFC 7208 §8.6) where
``dns_failure = "defer"``.  With ``verify = "mark"`` nothing is refused or quarantined; the fields say what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from posthouse.core import MethodVerdict, Reply, Verdict
from posthouse.mailauth.arc import ArcResult
from posthouse.mailauth.dkim import DkimResult, SignatureResult
from posthouse.mailauth.dmarc import DmarcResult
from posthouse.mailauth.results import AuthenticationResults, MethodResult, ResultProperty, write_results
from posthouse.mailauth.spf import SpfResult
from posthouse.service.config.mailauth_settings import DmarcException, MailauthSettings

__all__ = ["Decision", "Judged", "decide", "exception_for", "method_results", "results_field", "verdicts"]

_LONGEST_REASON: Final = 300  # characters of a reason in a history
_LONGEST_COMMENT: Final = 120  # characters of a comment in a field
_SHORTEST_B: Final = 8  # characters of a signature that tell it from others of the message (RFC 6008)


class Judged(NamedTuple):
    """The results of all methods; ``vouched`` is the trusted sealer that has seen the message pass DMARC, "" without
    one."""

    spf: SpfResult
    dkim: DkimResult
    arc: ArcResult
    dmarc: DmarcResult
    vouched: str = ""


class Decision(NamedTuple):
    """What is done: ``refusal`` or ``quarantine`` (a reason), or neither; ``policy`` is what was applied or, with
    ``verify = "mark"``, would have been: none, quarantine, reject; ``override`` says why it is not the domain's own."""

    policy: str = "none"
    refusal: Verdict | None = None
    quarantine: str = ""
    override: str = ""


def exception_for(domain: str, exceptions: Sequence[DmarcException]) -> DmarcException | None:
    """The exception for an author's domain: that of the longest name that is the domain or stands above it."""
    fitting = [each for each in exceptions if domain == each.domain or domain.endswith(f".{each.domain}")]
    return max(fitting, key=lambda each: len(each.domain), default=None)


def decide(judged: Judged, settings: MailauthSettings, *, enforce: bool) -> Decision:
    """What is done with the message; see the module."""
    spf, _, _, dmarc, vouched = judged
    policy, override = str(dmarc.disposition), ""
    exception = exception_for(dmarc.author_domain, settings.exception) if dmarc.author_domain else None
    if exception is not None and dmarc.result in ("fail", "none"):
        policy, override = exception.policy, f"exception for {exception.domain}: {exception.reason}"
    if vouched and dmarc.result != "pass":
        policy, override = "none", f"sealed by {vouched}, which is trusted and has seen it pass"
    if dmarc.result in ("temperror", "pass"):
        policy = "none"
    if not enforce:
        return Decision(policy, override=override)
    if dmarc.result == "temperror" and settings.dns_failure == "defer" and not vouched:
        reply = Reply(451, "4.4.3", "The author's domain cannot be authenticated now; try again later")
        return Decision("none", Verdict(reply, f"dmarc temperror: {dmarc.reason}"), override=override)
    if policy == "reject":
        text = f"The message does not prove that it comes from {_ascii(dmarc.author_domain)}, which asks to refuse it"
        reply = Reply(550, "5.7.26", f"{text} (DMARC)" if exception is None else f"{text.partition(', ')[0]} (DMARC)")
        return Decision(policy, Verdict(reply, f"dmarc fail: {override or dmarc.reason}"), override=override)
    if dmarc.result == "permerror":
        reply = Reply(
            550, "5.6.0", "The author in From cannot be checked (DMARC); write one From field with valid addresses"
        )
        return Decision("reject", Verdict(reply, f"dmarc permerror: {dmarc.reason}"), override=override)
    if spf.result == "fail" and settings.spf_fail == "reject" and dmarc.result != "pass" and not vouched:
        reply = Reply(550, "5.7.23", f"{_ascii(spf.ip)} may not send for {_ascii(spf.domain)} (SPF)")
        return Decision(policy, Verdict(reply, f"spf fail: {spf.reason}"), override=override)
    if policy == "quarantine":
        return Decision(policy, quarantine=f"dmarc fail: {override or dmarc.reason}", override=override)
    return Decision(policy, override=override)


def verdicts(judged: Judged, decision: Decision) -> tuple[MethodVerdict, ...]:
    """The results for the history, one for each method; ``arc`` only if the message has a chain."""
    spf, dkim, arc, dmarc, _ = judged
    domains = [each.domain for each in dkim.signatures if each.result == dkim.result and each.domain]
    asked = ""
    if dmarc.policy or decision.override:
        asked = decision.policy if decision.override else dmarc.disposition if dmarc.result == "fail" else ""
    reason = f"{dmarc.reason}; {decision.override}" if decision.override else dmarc.reason
    found = [
        MethodVerdict("spf", spf.result, spf.domain, _short(spf.reason)),
        MethodVerdict("dkim", dkim.result, domains[0] if domains else "", _short(dkim.reason)),
        MethodVerdict("dmarc", dmarc.result, dmarc.author_domain, _short(reason), asked),
    ]
    if arc.result != "none":
        found.append(MethodVerdict("arc", arc.result, arc.sets[-1].domain if arc.sets else "", _short(arc.reason)))
    return tuple(found)


def method_results(judged: Judged) -> tuple[MethodResult, ...]:
    """The statements of an Authentication-Results field: SPF, each signature, ARC, DMARC; also what a seal says."""
    return tuple(_statements(judged))


def results_field(authserv_id: str, judged: Judged) -> bytes:
    """The Authentication-Results field, in ASCII, with its CRLF."""
    return write_results(AuthenticationResults(authserv_id, method_results(judged)))


def _statements(judged: Judged) -> Iterator[MethodResult]:
    spf, dkim, arc, dmarc, _ = judged
    yield MethodResult("spf", spf.result, _properties(spf.properties), comment=_comment(spf.reason))
    if not dkim.signatures:
        yield MethodResult("dkim", "none")
    for each in dkim.signatures:
        yield MethodResult("dkim", each.result, tuple(_signature(each)), comment=_comment(each.reason))
    if arc.result != "none":
        properties = (*arc.properties, ("smtp.remote-ip", spf.ip))
        yield MethodResult("arc", arc.result, _properties(properties), comment=_comment(arc.reason))
    yield MethodResult("dmarc", dmarc.result, _properties(dmarc.properties), comment=_comment(dmarc.reason))


def _signature(result: SignatureResult) -> Iterator[ResultProperty]:
    for name, value in (("d", result.domain), ("i", result.identity), ("s", result.selector), ("a", result.algorithm)):
        if value and not (name == "i" and value == f"@{result.domain}"):
            yield ResultProperty("header", name, _ascii(value))
    if result.signature:
        yield ResultProperty("header", "b", _ascii(result.signature[:_SHORTEST_B]))


def _properties(pairs: Sequence[tuple[str, str]]) -> tuple[ResultProperty, ...]:
    """``("smtp.mailfrom", "ann@example.org")`` as a property; one without a value is left out."""
    found = []
    for path, value in pairs:
        ptype, _, name = path.partition(".")
        if value:
            found.append(ResultProperty(ptype, name, _ascii(value)))
    return tuple(found)


def _comment(reason: str) -> str:
    text = _ascii(reason)
    return text if len(text) <= _LONGEST_COMMENT else f"{text[: _LONGEST_COMMENT - 3]}..."


def _short(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 1]}…"


def _ascii(text: str) -> str:
    """Text for a field or a reply: such a field must not be the reason why a message needs SMTPUTF8."""
    return text if text.isascii() else text.encode("ascii", "replace").decode()
