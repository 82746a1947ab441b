"""Signing again: of a message that this server has signed and that must be converted for a host without 8BITMIME.

A signature covers the octets that were signed, so a conversion breaks it.  The message is signed again with the same
keys, but only where their signatures still verify: a message that came from outside and carries a forged signature of
ours must not leave with a true one.  The keys themselves verify, without the DNS.  A new signature expires when the old
one would have.  Signatures of others, and ARC seals, cannot be made again; the history names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from posthouse.core import Content, LocalError, Prefixed
from posthouse.mailauth.dkim import DkimKey, DkimSigner, DkimVerifier, MessageHasher, SigningOptions
from posthouse.mailauth.dkim.signature import tag_list
from posthouse.mailauth.dkim.verdict import SignatureFault, SignatureResult
from posthouse.mailauth.questions import answer
from posthouse.message.headers import without_fields
from posthouse.service.mailauth.broken_signatures import broken_text, signing_domains

__all__ = ["KeyOf", "signed_again"]

KeyOf = Callable[[str, str], DkimKey | None]

_FIELD: Final = b"dkim-signature"


def signed_again(
    key_of: KeyOf, options: SigningOptions, original: Content, converted: Content, now: float
) -> tuple[Content, str]:
    """The message to send, and what became of its signatures in words; reads both contents.

    Args:
        key_of: Gives the keys of this server by domain and selector.
        options: How this server signs.
        original: The message as it is stored.
        converted: The message as it was converted; its header section differs in MIME fields only.
        now: Seconds since 1970.
    """
    ours = _ours(key_of, original, now)
    keys = [key for _, key, _ in ours]
    fields = [raw for raw, _, _ in ours]
    broken = broken_text(signing_domains(original, fields))
    if not ours:
        return converted, broken
    rest = without_fields(converted, fields)
    ends = [result.expires for _, _, result in ours if result.expires is not None]
    lifetime = max(1, min(ends) - int(now)) if ends else None
    try:
        made = _signatures(keys, options._replace(lifetime=lifetime), rest, now)
    except LocalError:  # the header section has become too long
        return converted, broken_text(signing_domains(original))
    by = ", ".join(dict.fromkeys(key.domain for key in keys))
    text = f"signed again by {by}"
    return Prefixed(made, rest), f"{text}; {broken}" if broken else text


def _ours(key_of: KeyOf, content: Content, now: float) -> list[tuple[bytes, DkimKey, SignatureResult]]:
    """The signatures of this server that verify: field, key, and result."""
    verifier = DkimVerifier(now)
    hasher = MessageHasher(verifier.plan)
    for chunk in content.chunks():
        hasher.write(chunk)
    hasher.finish()
    zone: dict[str, dict[str, list[str]]] = {}
    named = {}
    header = hasher.header
    assert header is not None
    for place in header.places(_FIELD):
        raw = header.fields[place].raw
        try:
            tags = tag_list(raw)
        except SignatureFault:
            continue
        key = key_of(tags.get("d", "").lower(), tags.get("s", "").lower())
        if key is not None:
            zone[key.record_name] = {"TXT": [key.record()]}
            named[tags.get("b", "").replace(" ", "").replace("\t", "")] = (raw, key)
    if not zone:
        return []
    results = answer(verifier.check(hasher), zone).signatures
    return [(*named[each.signature], each) for each in results if each.result == "pass" and each.signature in named]


def _signatures(keys: Sequence[DkimKey], options: SigningOptions, content: Content, now: float) -> bytes:
    signer = DkimSigner(keys, options, now)
    hasher = MessageHasher(signer.plan)
    for chunk in content.chunks():
        hasher.write(chunk)
    hasher.finish()
    return signer.fields(hasher)
