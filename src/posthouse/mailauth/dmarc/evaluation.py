"""DMARC of one message: policy discovery, alignment, and the disposition that the domain's owner wants (RFC 9989 §5.3).

Only what the result needs is asked: identifiers that equal the author's domain need no tree walk, an identifier that
did not pass needs none unless a temporary failure made it so, and the author's existence counts only where ``np``
differs from what holds otherwise.  A failed look-up makes the result ``temperror`` only if the result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from posthouse.core import Address, LocalError, Question, Status
from posthouse.core.dns import Kind
from posthouse.mailauth.dmarc.author_domains import Author, author_domains
from posthouse.mailauth.dmarc.dmarc_record import POLICIES, DmarcPolicy, DmarcRecord
from posthouse.mailauth.dmarc.dmarc_result import DmarcResult, DmarcWord
from posthouse.mailauth.dmarc.tree_walk import DnsTreeWalk, find_record, walk_tree
from posthouse.mailauth.questions import Check
from posthouse.mailauth.results.authentication_results import RESULT_WORDS
from posthouse.message.authors import Unreadable
from posthouse.message.mailboxes import with_a_labels

__all__ = ["DkimVerdicts", "DomainVerdict", "SpfVerdict", "check_dmarc"]

#: Author domains of one message that are judged, authenticated domains that are looked at, and tree walks for those.
_MOST_AUTHORS: Final = 5
_MOST_DOMAINS: Final = 100
_MOST_WALKS: Final = 10


class DomainVerdict(Protocol):
    """What another method says of a domain: an ``SpfResult``, or the result of one DKIM signature."""

    @property
    def result(self) -> str:
        """``pass``, ``fail``, ``temperror`` …"""
        ...

    @property
    def domain(self) -> str:
        """The domain that was authenticated."""
        ...


class _Signatures(Protocol):
    @property
    def signatures(self) -> Iterable[DomainVerdict]: ...


SpfVerdict: TypeAlias = DomainVerdict | tuple[str, str] | str | None
"""The result of SPF for the reverse-path: as ``check_spf`` gives it, a pair of result and domain, a domain that passed,
or None."""

DkimVerdicts: TypeAlias = (
    _Signatures | DomainVerdict | Iterable[DomainVerdict | tuple[str, str] | str] | tuple[str, str] | str | None
)
"""The results of DKIM: as ``verify_dkim`` gives them, several of what ``SpfVerdict`` may be, or None."""


def check_dmarc(author: Author, spf: SpfVerdict = None, dkim: DkimVerdicts = None) -> Check[DmarcResult]:
    """Judge a message by DMARC.

        answer(check_dmarc("example.org", spf=("pass", "bounce.example.org")), zone)
        answer(check_dmarc(message, spf=spf_result, dkim=dkim_result), zone)

    Args:
        author: The domain in From, or From's value, or the message.  A message with several author domains (at most 5)
            is judged for each, and the strictest result counts (RFC 9989 §11.5).
        spf: The result of SPF for the reverse-path; for a null reverse-path that of HELO (RFC 7208 §2.4).
        dkim: The results of the signatures.  Those that did not pass count only if they may pass later
            (``temperror``).  At most 100 domains are looked at, and 10 that equal neither the author's domain nor are
            outside of its organizational domain.

    Raises:
        ValueError: A pair does not begin with a result of SPF or DKIM (RFC 8601).
        TypeError: A verdict or the author is of another type.

    Returns:
        The result.  ``disposition`` is what the owner of the author's domain wants; whether the receiver does it is
        the receiver's policy, and a policy of ``reject`` alone should not be the reason to refuse (§5.4).
    """
    try:
        domains = author_domains(author)
    except Unreadable as error:
        return DmarcResult("permerror", "", reason=f"the author cannot be told: {error}")
    if len(domains) > _MOST_AUTHORS:
        return DmarcResult("permerror", "", reason=f"From has more than {_MOST_AUTHORS} domains")
    identifiers = _identifiers(spf, dkim)
    results = []
    for domain in domains:
        judged = yield from _judge(domain, identifiers)
        results.append(judged)
    if len(results) == 1:
        return results[0]
    counts = max(results, key=_severity)
    return counts._replace(authors=tuple(results), reason=f"of {len(results)} author domains: {counts.reason}")


class _Identifier(NamedTuple):
    """A domain that SPF or DKIM was asked about; ``passed`` is False where it may pass later (``temperror``)."""

    method: str
    domain: str
    passed: bool


class _Alignment(NamedTuple):
    """The identifiers that are aligned, and what was not had."""

    passed: tuple[_Identifier, ...] = ()
    pending: tuple[_Identifier, ...] = ()  # aligned, and SPF or DKIM had a temporary error
    failures: tuple[str, ...] = ()  # walks that were not finished
    organizational_domain: str = ""


def _identifiers(spf: SpfVerdict, dkim: DkimVerdicts) -> list[_Identifier]:
    signatures: Iterable[object]
    if dkim is None:
        signatures = ()
    elif isinstance(dkim, str) or hasattr(dkim, "domain") or _is_pair(dkim):
        signatures = (dkim,)
    else:
        listed: object = getattr(dkim, "signatures", dkim)
        if not isinstance(listed, Iterable) or isinstance(listed, (bytes, bytearray)):
            raise _no_verdict("dkim", dkim)
        signatures = listed
    found: dict[tuple[str, str], _Identifier] = {}
    for method, verdict in (("spf", spf), *(("dkim", each) for each in signatures)):
        identifier = _identifier(method, verdict)
        if identifier is not None:
            key = (method, identifier.domain)
            if identifier.passed or key not in found:
                found[key] = identifier
        if len(found) == _MOST_DOMAINS:
            break
    return list(found.values())


def _is_pair(value: object) -> bool:
    """True for ``("pass", "example.org")``: a domain has a dot, and a result has none."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(each, str) for each in value)
        and "." not in value[0]
    )


def _identifier(method: str, verdict: object) -> _Identifier | None:
    """What a verdict means for DMARC, None if it means nothing."""
    if verdict is None:
        return None
    if isinstance(verdict, str):
        result, domain = "pass", verdict
    elif hasattr(verdict, "result"):
        result, domain = verdict.result, verdict.domain  # type: ignore[attr-defined]
    elif not isinstance(verdict, Sequence) or len(verdict) != 2 or not all(isinstance(each, str) for each in verdict):
        raise _no_verdict(method, verdict)
    else:
        result, domain = verdict
        if result not in RESULT_WORDS["spf"]:  # DKIM has no others
            raise ValueError(f"{result!r:.40} is no result of {method.upper()}; give pairs of result and domain")
    if result not in ("pass", "temperror") or not domain:
        return None
    try:
        plain = with_a_labels(Address("", domain.lower().removesuffix("."))).domain.lower()
    except LocalError:
        return None
    return _Identifier(method, plain, result == "pass")


def _no_verdict(method: str, verdict: object) -> TypeError:
    return TypeError(
        f"{method} is {type(verdict).__name__}; give the result of its check, a domain that passed, or a pair such as "
        "('pass', 'example.org')"
    )


def _judge(domain: str, identifiers: list[_Identifier]) -> Check[DmarcResult]:
    """The result for one author domain."""
    if domain.startswith("["):
        return DmarcResult(
            "none", domain, reason="the author's domain is an address literal, for which no policy exists"
        )
    walk = yield from find_record(domain)
    record, policy_domain = walk.at(domain), domain
    if record is None and not walk.failure:
        walk = yield from walk_tree(domain)
        record, policy_domain = _inherited(walk)
    if walk.failure:
        return DmarcResult("temperror", domain, reason=walk.failure, remarks=walk.remarks)
    remarks = walk.remarks
    if record is None:
        return DmarcResult("none", domain, reason=f"there is no DMARC policy for {domain}", remarks=remarks)
    remarks += tuple(f"_dmarc.{policy_domain}: {each}" for each in record.remarks)
    if not record.applies:
        reason = f"the DMARC record of {policy_domain} has no valid policy and asks for no reports, so it has no effect"
        return DmarcResult("none", domain, "none", "", "", policy_domain, "", record, reason=reason, remarks=remarks)
    alignment = yield from _align(domain, record, identifiers)
    found = DmarcResult(
        "pass",
        domain,
        policy_domain=policy_domain,
        organizational_domain=alignment.organizational_domain,
        record=record,
        spf_aligned=any(each.method == "spf" for each in alignment.passed),
        dkim_aligned=any(each.method == "dkim" for each in alignment.passed),
        aligned=tuple(dict.fromkeys(each.domain for each in alignment.passed)),
        exists=walk.exists,
        remarks=remarks,
    )
    result, reason = _word(domain, alignment)
    return (yield from _with_policy(found._replace(result=result, reason=reason)))


def _inherited(walk: DnsTreeWalk) -> tuple[DmarcRecord | None, str]:
    """The record above a domain that has none: the organizational domain's, else the public suffix's (§4.10.1)."""
    organizational = walk.organizational_domain
    record = walk.at(organizational)
    if record is not None:
        return record, organizational
    return (None, "") if walk.suffix is None else (walk.suffix.record, walk.suffix.domain)


def _align(domain: str, record: DmarcRecord, identifiers: list[_Identifier]) -> Check[_Alignment]:
    """Which identifiers are aligned with the author's domain (§4.10.2).

    Of each method the domains that passed are looked at until one is aligned; those with a temporary error only if
    nothing is.
    """
    passed: list[_Identifier] = []
    pending: list[_Identifier] = []
    failures: list[str] = []
    organizational, walks = "", 0
    # Identifiers that equal the author's domain need no walk, so they come first.
    for each in sorted(identifiers, key=lambda found: (not found.passed, found.domain != domain)):
        if not each.passed and passed:
            break
        if each.passed and each.method in {found.method for found in passed}:
            continue
        if each.domain == domain:
            (passed if each.passed else pending).append(each)
            continue
        if (record.aspf if each.method == "spf" else record.adkim) == "s" or walks == _MOST_WALKS:
            continue
        if not organizational:
            own = yield from walk_tree(domain)
            if own.failure:
                failures.append(own.failure)
                continue
            organizational = own.organizational_domain
        if not f".{each.domain}".endswith(f".{organizational}"):
            continue  # its organizational domain is itself or above it, so it is another one
        walks += 1
        other = yield from walk_tree(each.domain)
        if other.failure:
            failures.append(other.failure)
        elif other.organizational_domain == organizational:
            (passed if each.passed else pending).append(each)
    return _Alignment(tuple(passed), tuple(pending), tuple(failures), organizational)


def _word(domain: str, alignment: _Alignment) -> tuple[DmarcWord, str]:
    """The result and its reason."""
    if alignment.passed:
        names = " and ".join(f"{each.method.upper()} passed for {each.domain}" for each in alignment.passed)
        return "pass", f"{names}, aligned with {domain}"
    if alignment.pending:
        first = alignment.pending[0]
        return "temperror", f"{first.method.upper()} had a temporary error for {first.domain}, aligned with {domain}"
    if alignment.failures:
        return "temperror", alignment.failures[0]
    return "fail", f"neither SPF nor DKIM passed for a domain that is aligned with {domain}"


def _with_policy(found: DmarcResult) -> Check[DmarcResult]:
    """The result with the policy that counts for the author's domain, and the disposition."""
    record = found.record
    assert record is not None
    subdomain = found.policy_domain != found.author_domain
    policy, tag = record.policy(subdomain=subdomain)
    absent, absent_tag = record.policy(subdomain=subdomain, exists=False)
    if absent_tag == "np" and found.exists is None and (absent != policy) and found.result == "fail":
        answer = yield Question(found.author_domain, Kind.A)
        if answer.status is Status.FAILED:
            reason = answer.reason or f"it cannot be told whether {found.author_domain} exists"
            return found._replace(result="temperror", policy=policy, policy_tag=tag, reason=reason)
        found = found._replace(exists=answer.status is not Status.NXDOMAIN)
    if absent_tag == "np" and found.exists is False:
        policy, tag = absent, absent_tag
    disposition: DmarcPolicy = policy if found.result == "fail" else "none"
    if record.t and disposition != "none":
        disposition = POLICIES[POLICIES.index(disposition) - 1]
    return found._replace(policy=policy, policy_tag=tag, disposition=disposition)


def _severity(found: DmarcResult) -> int:
    """The order in which results of several authors count: the one that calls for the strictest handling."""
    if found.result == "fail":
        return {"reject": 6, "quarantine": 5, "none": 2}[found.disposition]
    return {"temperror": 4, "permerror": 3, "none": 1, "pass": 0}[found.result]
