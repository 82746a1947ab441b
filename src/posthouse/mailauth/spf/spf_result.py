"""The result of SPF: the word, the term that decided, the way to it, the look-ups, and the reason in words."""

from __future__ import annotations

from typing import Literal, NamedTuple

from posthouse.core import MX, Answer, Question, Status

__all__ = ["SpfLookup", "SpfResult", "SpfStep", "SpfWord"]

SpfWord = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
"""The results of RFC 7208 §2.6, which are also those of RFC 8601 §2.7.2."""


class SpfLookup(NamedTuple):
    """One question that SPF has asked, its answer, and the term that asked ("" for the first record)."""

    question: Question
    answer: Answer
    term: str = ""

    def __str__(self) -> str:
        """One line: ``TXT example.org: v=spf1 -all``, ``A mx.example.org: nxdomain``."""
        found = self.answer
        if found.status is not Status.OK:
            return f"{self.question.kind} {self.question.name}: {found.status}"
        return f"{self.question.kind} {self.question.name}: {' | '.join(map(_record_text, found.records))}"


class SpfStep(NamedTuple):
    """A term in the SPF record of a domain."""

    domain: str
    term: str


class SpfResult(NamedTuple):
    """What SPF says of one identity of one message.

    Args:
        result: The word.
        identity: Which identity was checked: ``"mailfrom"``, or ``"helo"`` where the reverse-path is null (§2.4).
        domain: The domain that was checked, in lower case and A-labels; as it was given where it is malformed.
        sender: The sender of the check; its local part is postmaster where there is none (§4.3).
        ip: The client's address; an IPv4-mapped one as IPv4.
        helo: The name in the client's HELO or EHLO.
        term: The term that gave the result, as it stands in the record (``-all``), or the term with the error; ""
            where none did.
        record: The domain in whose record ``term`` stands: another than ``domain`` after a redirect; for an error,
            wherever it was met.
        path: The terms on the way to what decided, outermost first: redirects, the term, and what matched inside of an
            include.
        reason: One sentence that says why.
        explanation: What the domain's owner says to those whose mail fails (exp, §6.2); a third party's words,
            printable ASCII; "" if there is none.
        lookups: The questions that were asked, in order, with their answers.
        terms: How many terms with DNS look-ups were used; 10 are allowed (§4.6.4).
        voids: How many of them had an empty answer; 2 are allowed (§4.6.4).
    """

    result: SpfWord
    identity: Literal["mailfrom", "helo"]
    domain: str
    sender: str
    ip: str
    helo: str
    term: str = ""
    record: str = ""
    path: tuple[SpfStep, ...] = ()
    reason: str = ""
    explanation: str = ""
    lookups: tuple[SpfLookup, ...] = ()
    terms: int = 0
    voids: int = 0

    @property
    def mechanism(self) -> str:
        """The mechanism that decided, for Received-SPF (§9.1): ``"include"``; ``"default"`` where none did."""
        name = self.term.lstrip("+-~?").partition(":")[0].partition("/")[0].partition("=")[0].lower()
        return name if name in _MECHANISMS else "default"

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The properties of RFC 8601 §2.7.2: ``(("smtp.mailfrom", "ann@example.org"),)`` or smtp.helo."""
        if self.identity == "helo":
            return (("smtp.helo", self.helo),)
        return (("smtp.mailfrom", self.sender),)


_MECHANISMS = frozenset(("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"))


def _record_text(record: str | bytes | MX) -> str:
    if isinstance(record, bytes):
        return record.decode("ascii", "backslashreplace")
    return f"{record.preference} {record.exchange}." if isinstance(record, MX) else record
