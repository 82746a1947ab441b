"""Classification of bounces: why a message was not delivered, and whether the address may be used again.

Two witnesses are heard: the enhanced status code (RFC 3463, RFC 5248) and the words of the diagnostic.  Hosts use codes
loosely (``5.7.1`` stands for a blocklist, a policy, a refused relay), and so a code has a weight.  The words decide
where they are more specific than the code.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

from posthouse.core import Reply
from posthouse.message.reports.bounce_phrases import CODES, PHRASES

__all__ = ["Bounce", "BounceKind", "classify_bounce"]

_TEXT_MOST: Final = 4_000  # characters of a diagnostic that are searched
_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY_CODE: Final = re.compile(r"(?<![\d.])([245])[0-5]\d(?![\d.])")
_SPACE: Final = re.compile(r"\s+")
_AGREED: Final = 0.97  # both witnesses say the same
_ONLY_CLASS: Final = 0.2  # nothing but the first digit is known


class BounceKind(enum.StrEnum):
    """Why a message was not delivered to a recipient."""

    NO_MAILBOX = "no-mailbox"  # the address does not exist
    DISABLED = "disabled"  # the mailbox exists and takes no mail
    MOVED = "moved"  # the recipient has another address
    NO_DOMAIN = "no-domain"  # the domain does not exist, or takes no mail
    FULL = "full"  # the mailbox is over its quota
    TOO_LARGE = "too-large"  # the message is larger than is accepted
    GREYLISTED = "greylisted"  # a first attempt, refused on purpose
    RATE_LIMITED = "rate-limited"  # too much mail within a time
    BLOCKED = "blocked"  # the sending host or domain has a bad reputation
    SPAM = "spam"  # the content was taken for spam
    VIRUS = "virus"  # the content was taken for malicious
    AUTHENTICATION = "authentication"  # SPF, DKIM or DMARC did not pass
    POLICY = "policy"  # a rule of the receiving side
    RELAY_DENIED = "relay-denied"  # the host does not relay for the sender
    CONTENT = "content"  # the format or the conversion of the message
    LOOP = "loop"  # the message went in circles
    NETWORK = "network"  # no connection, no answer, no route
    SYSTEM = "system"  # trouble within the receiving system
    EXPIRED = "expired"  # given up after many attempts
    PROTOCOL = "protocol"  # a command was not understood
    UNKNOWN = "unknown"


#: Kinds after which the address will not work again, if the failure is permanent.
_OF_THE_ADDRESS: Final = frozenset({BounceKind.NO_MAILBOX, BounceKind.DISABLED, BounceKind.MOVED, BounceKind.NO_DOMAIN})


class Bounce(NamedTuple):
    """The classification of one bounce.

    Args:
        kind: Why.
        permanent: Whether the host said that the same message will fail again (5yz), or delivery was given up.
        confidence: How sure the kind is, 0 to 1.  From 0.8 on it can be acted upon without a person.
        evidence: What decided: the status code, or the words that were found.
    """

    kind: BounceKind
    permanent: bool
    confidence: float
    evidence: str = ""

    @property
    def hard(self) -> bool:
        """Whether the address should not be written to again: it does not exist, or takes no mail for good."""
        return self.permanent and self.kind in _OF_THE_ADDRESS

    @property
    def soft(self) -> bool:
        """Whether a later attempt may succeed."""
        return not self.hard


def classify_bounce(diagnostic: str | Reply, status: str = "", *, permanent: bool | None = None) -> Bounce:
    """Why delivery failed, judged by the reply of a host.

    Args:
        diagnostic: The reply, or any text that has it.
        status: The enhanced status code, where it stands apart from the text (``5.1.1``).
        permanent: Whether the failure is permanent, where that is known; None to read it from the codes.
    """
    if isinstance(diagnostic, Reply):
        status, diagnostic = status or diagnostic.enhanced, str(diagnostic)
    text = _SPACE.sub(" ", diagnostic[:_TEXT_MOST]).lower()
    codes = _codes(status, text)
    if permanent is None:
        permanent = _is_permanent(codes, text)
    by_code = _by_code(codes)
    by_words = _by_words(text)
    if by_code is None and by_words is None:
        digit = "5" if permanent else "4"
        return Bounce(BounceKind.UNKNOWN, permanent, _ONLY_CLASS, f"{digit}yz")
    if by_code is None or by_words is None:
        kind, weight, evidence = by_words or by_code or (BounceKind.UNKNOWN, 0.0, "")
        return Bounce(kind, permanent, weight, evidence)
    if by_code[0] is by_words[0]:
        return Bounce(by_code[0], permanent, _AGREED, f"{by_code[2]}, {by_words[2]}")
    kind, weight, evidence = max(by_words, by_code, key=lambda each: each[1])
    return Bounce(kind, permanent, weight, evidence)


_Judged = tuple[BounceKind, float, str]


def _codes(status: str, text: str) -> list[str]:
    """The status codes that were given, the surest first."""
    return [match[0] for match in (*_STATUS.finditer(status), *_STATUS.finditer(text))][:5]


def _is_permanent(codes: list[str], text: str) -> bool:
    if codes:
        return codes[0].startswith("5")
    code = _REPLY_CODE.search(text)
    return code is None or code[1] == "5"


def _by_code(codes: list[str]) -> _Judged | None:
    found: _Judged | None = None
    for code in codes:
        known = CODES.get(code) or CODES.get(f"x{code[1:]}")
        if known is not None and (found is None or known[1] > found[1]):
            found = BounceKind(known[0]), known[1], code
    return found


def _by_words(text: str) -> _Judged | None:
    found: _Judged | None = None
    for kind, weight, pattern in PHRASES:
        if found is not None and weight <= found[1]:
            continue
        match = pattern.search(text)
        if match is not None:
            found = BounceKind(kind), weight, match[0].strip()
    return found
