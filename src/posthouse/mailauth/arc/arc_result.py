"""The result of ARC: the word, the sets of the chain, and what a trusted sealer says in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from posthouse.mailauth.arc.arc_fields import ArcSet
from posthouse.mailauth.results import AuthenticationResults, UnreadableResults, read_results

__all__ = ["ArcResult", "sealed_results", "vouching_set"]


class ArcResult(NamedTuple):
    """What validation says of a chain (RFC 8617 §5.2).

    Args:
        result: ``none``: the message has no chain.  ``pass``: every seal and the newest signature are valid.
            ``fail``: something is not; the message counts as one without a chain.
        reason: What decided it, one sentence without a full stop.
        sets: The sets from the oldest to the newest; those that could be read, if the result is ``fail``.
        oldest_pass: The instance of the oldest ARC-Message-Signature that still verifies, 0 if all do; None unless
            the result is ``pass``.
        highest: The highest instance of any ARC field, 0 without one.
        newest_failed: The newest seal itself says that the chain is broken (``cv=fail``); nothing is added then.
        temporary: The DNS did not answer.  ARC knows no temporary result (§5.2.1), but the receiver may defer.
    """

    result: Literal["none", "pass", "fail"]
    reason: str
    sets: tuple[ArcSet, ...] = ()
    oldest_pass: int | None = None
    highest: int = 0
    newest_failed: bool = False
    temporary: bool = False

    @property
    def domains(self) -> tuple[str, ...]:
        """The sealers of a valid chain, from the newest to the oldest; none if the chain is not valid."""
        return tuple(each.domain for each in reversed(self.sets)) if self.result == "pass" else ()

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The property of RFC 8617 §10.2 that validation knows: header.oldest-pass."""
        return () if self.oldest_pass is None else (("header.oldest-pass", str(self.oldest_pass)),)

    @property
    def report_comment(self) -> str:
        """The comment of a DMARC report in which a chain changed the disposition (RFC 8617 §7.2.2)."""
        seals = (
            f"as[{n}].d={each.domain} as[{n}].s={each.selector}" for each in reversed(self.sets) for n in [each[0]]
        )
        comment = " ".join((f"arc={self.result}", *seals))
        first = sealed_results(self.sets[0]) if self.sets else None
        addresses = [found.property("smtp", "remote-ip") for found in (first.results if first is not None else ())]
        address = next(filter(None, addresses), "")
        return f"{comment} remote-ip[1]={address}" if address else comment


def sealed_results(sealed: ArcSet) -> AuthenticationResults | None:
    """What a sealer found out about the message when it came in; None if the field cannot be read.

    It is the sealer's word, and no more: whether to believe it is a question of trust.
    """
    try:
        return read_results(sealed.payload).usable()
    except UnreadableResults:
        return None


def vouching_set(arc: ArcResult, trusted: Collection[str], author_domain: str) -> ArcSet | None:
    """The set in which a trusted sealer says that the message passed DMARC for its author when it came in.

    Args:
        arc: The result of validation.
        trusted: Domains of sealers that are believed; a name also stands for the domains below it.
        author_domain: The domain in From.

    Every host that sealed the message later must be trusted too, because it may have changed the message.  None if
    there is no such set.
    """
    names = {each.lower().removesuffix(".") for each in trusted}
    if arc.result != "pass":
        return None
    for sealed in reversed(arc.sets):
        if not any(f".{sealed.domain}".endswith(f".{name}") for name in names):
            return None
        found = sealed_results(sealed)
        for result in () if found is None else found.of("dmarc"):
            domain = result.property("header", "from").rpartition("@")[2].lower().removesuffix(".")
            if result.result == "pass" and domain in ("", author_domain.lower()):
                return sealed
    return None
