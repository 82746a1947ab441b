"""Validation of an Authenticated Received Chain (RFC 8617 §5.2), while the message passes by once.

``ArcVerifier`` works like ``DkimVerifier`` and shares its ``MessageHasher``.  The newest ARC-Message-Signature and all
seals must be valid.  Older message signatures are usually broken by what later hosts did to the message, which is what
chains are for; how many of them still verify is only told (``oldest_pass``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from posthouse.core import Question
from posthouse.mailauth.arc.arc_fields import (
    ArcFields,
    ArcSet,
    Collected,
    SealTags,
    arc_message_signature,
    arc_payload,
    arc_seal,
    collect_fields,
    seal_octets,
)
from posthouse.mailauth.arc.arc_result import ArcResult
from posthouse.mailauth.dkim.body_hash import BodyForm, MessageHasher
from posthouse.mailauth.dkim.canonical import Canonicalization
from posthouse.mailauth.dkim.header_section import HeaderSection, canonical_field, without_signature
from posthouse.mailauth.dkim.key_record import MIN_RSA_BITS, find_keys, key_question
from posthouse.mailauth.dkim.signature import SignatureTags
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.octets import MessageOctets, message_chunks
from posthouse.mailauth.questions import Check
from posthouse.mailauth.wall_time import seconds_now

__all__ = ["ArcVerifier", "verify_arc"]

#: Seconds that ``t=`` of a message signature may lie in the future; the clocks of others are not ours.
_CLOCK_SKEW: Final = 3_600


class ArcVerifier:
    """The chain of one message.

    A ``MessageHasher`` gets ``plan`` and then the message; after its ``finish()``, ``check`` gives the result.

    Args:
        now: Seconds since 1970 at which the message was received; None is the system's time.
        min_rsa_bits: Bits of the smallest RSA key that counts.
    """

    __slots__ = ("_fault", "_found", "_min_rsa_bits", "_now", "_seals", "_sets", "_signatures")

    def __init__(self, now: float | None = None, min_rsa_bits: int = MIN_RSA_BITS) -> None:
        self._now = seconds_now(now)
        self._min_rsa_bits = min_rsa_bits
        self._found = Collected()
        self._fault = ""
        self._sets: tuple[ArcSet, ...] = ()
        self._seals: list[SealTags] = []
        self._signatures: list[SignatureTags | None] = []  # None: an old one that cannot be read

    def plan(self, header: HeaderSection) -> list[BodyForm]:
        """Read the chain of a header section, and name the forms of the body that its signatures sign."""
        self._found = collect_fields(header)
        self._fault = self._found.fault
        if not header.complete and self._found.highest:
            self._fault = "the header section is too long to be judged"
        elif self._found.newest_failed:
            self._fault = "the newest seal says that the chain was broken before it (cv=fail)"
        if self._fault or not self._found.fields:
            return []
        try:
            self._read(header)
        except SignatureFault as fault:
            self._fault = fault.reason
            return []
        newest = self._signatures[-1]
        assert newest is not None
        # Of older signatures only the two forms without a length: 50 of them must not cost 50 hashes.
        older = {each.body for each in self._signatures[:-1] if each is not None and each.body.length is None}
        return [newest.body, *older]

    @property
    def questions(self) -> list[Question]:
        """The questions that ``check`` will ask for a valid chain: to be asked in advance, while the body arrives."""
        if self._fault:
            return []
        names = [(each.domain, each.selector) for each in (*self._signatures[-1:], *self._seals) if each is not None]
        return [key_question(*each) for each in dict.fromkeys(names)]

    def check(self, hasher: MessageHasher) -> Check[ArcResult]:
        """The check of the chain; ``hasher`` has had the plan and the whole message."""
        header = hasher.header
        assert header is not None, "the message has not ended: call finish() first"
        found = self._found
        if not found.highest and not self._fault:
            return ArcResult("none", "the message has no ARC fields")
        failed = ArcResult("fail", self._fault, self._sets, None, found.highest, found.newest_failed)
        if self._fault:
            return failed
        try:
            yield from self._check_signature(len(found.fields), header, hasher)
            for instance in range(len(found.fields), 0, -1):
                yield from self._check_seal(instance, header)
        except SignatureFault as fault:
            return failed._replace(reason=fault.reason, temporary=fault.result == "temperror")
        oldest = yield from self._oldest_pass(header, hasher)
        count = len(found.fields)
        reason = (
            f"a valid chain of {count} {'set' if count == 1 else 'sets'}, the newest sealed by {self._sets[-1].domain}"
        )
        return ArcResult("pass", reason, self._sets, oldest, found.highest)

    def _read(self, header: HeaderSection) -> None:
        """Read the fields of all sets; raises ``SignatureFault`` for what a valid chain cannot have."""
        for each in self._found.fields:
            try:
                self._seals.append(arc_seal(header.fields[each.seal].raw, each.instance))
            except SignatureFault as fault:
                raise _of_set(fault, "seal", each.instance) from None
        for each in self._found.fields:
            try:
                self._signatures.append(arc_message_signature(header.fields[each.signature].raw))
            except SignatureFault as fault:
                if each.instance == len(self._found.fields):
                    raise _of_set(fault, "signature", each.instance) from None
                self._signatures.append(None)
        self._sets = tuple(
            _set_of(each, seal, signature, arc_payload(header.fields[each.results].raw))
            for each, seal, signature in zip(self._found.fields, self._seals, self._signatures, strict=True)
        )

    def _check_signature(self, instance: int, header: HeaderSection, hasher: MessageHasher) -> Check[None]:
        """Raises ``SignatureFault`` unless the message signature of a set is valid."""
        content = self._signatures[instance - 1]
        if content is None:
            raise SignatureFault("permerror", "the signature is malformed")
        try:
            if content.expires is not None and self._now > content.expires:
                raise SignatureFault("fail", f"it has expired (x={content.expires})")
            if content.time is not None and content.time > self._now + _CLOCK_SKEW:
                raise SignatureFault("fail", f"it was made in the future (t={content.time})")
            place = self._found.fields[instance - 1].signature
            signed = header.signed_octets(content.fields, content.header, header.fields[place].raw, place)
            try:
                body = hasher.body_hash(content.body)
            except KeyError:
                raise SignatureFault("policy", "it signs a part of the body, and is not the newest one") from None
            if content.body.length is not None and content.body.length > body.total:
                raise SignatureFault("permerror", f"l={content.body.length} is more than the body has")
            if body.digest != content.body_hash:
                raise SignatureFault("fail", "the body is not the one that was signed")
            yield from self._check_key(content, signed)
        except SignatureFault as fault:
            raise _of_set(fault, "signature", instance) from None

    def _check_seal(self, instance: int, header: HeaderSection) -> Check[None]:
        """Raises ``SignatureFault`` unless a seal is valid."""
        sets = self._found.fields[:instance]
        own = canonical_field(without_signature(header.fields[sets[-1].seal].raw), Canonicalization.RELAXED)[:-2]
        try:
            yield from self._check_key(self._seals[instance - 1], seal_octets(header, sets, own))
        except SignatureFault as fault:
            raise _of_set(fault, "seal", instance) from None

    def _check_key(self, content: SignatureTags | SealTags, signed: bytes) -> Check[None]:
        keys = yield from find_keys(content.domain, content.selector, content.algorithm, self._min_rsa_bits)
        if not any(public.verifies(content.signature, signed) for _, public in keys):
            raise SignatureFault("fail", "it does not verify: what it signs was changed, or the key is another")

    def _oldest_pass(self, header: HeaderSection, hasher: MessageHasher) -> Check[int]:
        """The instance of the oldest message signature that verifies together with all newer ones; 0 if all do."""
        for instance in range(len(self._found.fields) - 1, 0, -1):
            try:
                yield from self._check_signature(instance, header, hasher)
            except SignatureFault:
                return instance + 1
        return 0


def _of_set(fault: SignatureFault, what: str, instance: int) -> SignatureFault:
    return SignatureFault(fault.result, f"the {what} of set i={instance}: {fault.reason}", fault.key_bits)


def _set_of(fields: ArcFields, seal: SealTags, signature: SignatureTags | None, payload: str) -> ArcSet:
    domain, selector = ("", "") if signature is None else (signature.domain, signature.selector)
    return ArcSet(fields.instance, seal.domain, seal.selector, seal.cv, domain, selector, payload, seal.time)


def verify_arc(message: MessageOctets, now: float | None = None) -> Check[ArcResult]:
    """Check of the ARC chain of a message; ``answer`` or ``await ask`` runs it.

    Args:
        message: The message as it was received, as ``verify_dkim`` takes it; chunks are read once, when the check
            starts, and memory does not grow with them.
        now: Seconds since 1970 at which the message was received; None is the system's time.

    Returns:
        The result.  Every failure is permanent, also one of the DNS (RFC 8617 §5.2.1); ``temporary`` tells them apart.

    Raises:
        TypeError: The message is text; its octets are what is signed.
    """
    chunks, _ = message_chunks(message)
    return _verified(ArcVerifier(now), chunks)


def _verified(verifier: ArcVerifier, chunks: Iterable[bytes]) -> Check[ArcResult]:
    hasher = MessageHasher(verifier.plan)
    for chunk in chunks:
        hasher.write(chunk)
    hasher.finish()
    return (yield from verifier.check(hasher))
