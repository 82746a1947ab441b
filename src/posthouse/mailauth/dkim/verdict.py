"""Results of DKIM: of one signature and of a message, in the words of RFC 8601 §2.7.1."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DkimResult", "SignatureFault", "SignatureResult"]


class SignatureFault(Exception):
    """A reason why a signature does not pass.

    ``result`` is the word of RFC 8601 for it, ``reason`` the sentence; ``key_bits`` the size of the key, 0 if there is
    none.
    """

    def __init__(self, result: str, reason: str, key_bits: int = 0) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.key_bits = key_bits


class SignatureResult(NamedTuple):
    """The verdict on one DKIM-Signature field, and what the field says.

    Args:
        result: "pass"; "fail" (message and signature do not fit, or it has expired, or its key is revoked); "policy"
            (local limits); "neutral" (an algorithm that is not known); "temperror" (the DNS did not answer);
            "permerror" (the signature or its key is unusable).
        reason: What decided it, one sentence without a full stop.
        domain: ``d=`` in A-labels and lower case; "" where the field could not be read.
        selector: ``s=`` in A-labels and lower case.
        identity: ``i=``, or "@" and the domain.
        algorithm: ``a=``.
        key_bits: The size of the key; 0 without a key.
        testing: The key has the flag ``t=y``: a failure must not count against the message.
        fields: The names in ``h=``, in lower case.
        signed_octets: The octets of the canonical body that the signature covers; None for all.
        unsigned_octets: The octets behind them, which anybody may have added; 0 without ``l=``.
        time: ``t=``, seconds since 1970; None without.
        expires: ``x=``, likewise.
        signature: ``b=`` without white space; its beginning tells signatures of one domain apart (RFC 6008).
    """

    result: str
    reason: str
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    testing: bool = False
    fields: tuple[str, ...] = ()
    signed_octets: int | None = None
    unsigned_octets: int = 0
    time: int | None = None
    expires: int | None = None
    signature: str = ""


class DkimResult(NamedTuple):
    """The verdict on all signatures of a message.

    Args:
        result: "pass" if one passes; else "temperror" if one may pass later; else the result of the topmost signature;
            "none" without signatures.
        reason: The reason of the signature that decided, after its domain.
        signatures: From the topmost field to the lowest.
        skipped: Signatures that were not looked at, because there are too many.
    """

    result: str
    reason: str
    signatures: tuple[SignatureResult, ...] = ()
    skipped: int = 0

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains (``d=``) whose signature passes, each once: those that answer for the message."""
        return tuple(dict.fromkeys(each.domain for each in self.signatures if each.result == "pass"))
