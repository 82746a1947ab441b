"""Verification of DKIM signatures (RFC 6376 §6): all of a message, while it passes by once.

``DkimVerifier`` reads the signatures as soon as the header section is complete and says which forms of the body it
wants hashed; ``check`` yields one question for each key and judges.  Signatures are independent of each other: none
makes another invalid (§6.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from posthouse.core import Question
from posthouse.mailauth.dkim.body_hash import BodyForm, BodyHash, MessageHasher
from posthouse.mailauth.dkim.header_section import HeaderSection
from posthouse.mailauth.dkim.key_record import MIN_RSA_BITS, KeyRecord, PublicKey, key_question, usable_keys
from posthouse.mailauth.dkim.signature import SignatureTags, dkim_signature, tags_of_value, usual_signature
from posthouse.mailauth.dkim.verdict import DkimResult, SignatureFault, SignatureResult
from posthouse.mailauth.octets import MessageOctets, message_chunks
from posthouse.mailauth.questions import Check
from posthouse.mailauth.tag_list import TagList
from posthouse.mailauth.wall_time import seconds_now

__all__ = ["DkimPolicy", "DkimVerifier", "verify_dkim"]

_FIELD: Final = b"dkim-signature"

_DOMAIN_TAG = re.compile(rb";[ \t\r\n]*+d[ \t\r\n]*+=[ \t\r\n]*+([^; \t\r\n]++)")
_ADDRESS = re.compile(rb"@([^\s<>@,;:()]++)")


class DkimPolicy(NamedTuple):
    """Local limits of verification.

    Args:
        max_signatures: Signatures of one message that are verified.  If there are more, those whose domain is that of
            the From field, above or below it come first, then the topmost.
        min_rsa_bits: Bits of the smallest RSA key that counts; less than 1,024 counts nowhere (RFC 8301).
        partial_body: Whether a signature passes that leaves the end of the body unsigned (``l=``).
        clock_skew: Seconds that ``t=`` may lie in the future; the clocks of others are not ours.
    """

    max_signatures: int = 10
    min_rsa_bits: int = MIN_RSA_BITS
    partial_body: bool = True
    clock_skew: int = 3_600


class _Signature(NamedTuple):
    """One DKIM-Signature field: where it stands, what it says, and its ``b=`` without white space.

    ``content`` is None where the field cannot be read; ``unread`` is the verdict then.
    """

    place: int
    content: SignatureTags | None
    text: str
    unread: SignatureResult | None = None


class DkimVerifier:
    """The signatures of one message.

    A ``MessageHasher`` gets ``plan`` and then the message; after its ``finish()``, ``check`` gives the result:

        verifier = DkimVerifier()
        hasher = MessageHasher(verifier.plan)
        for chunk in chunks:
            hasher.write(chunk)
        hasher.finish()
        result = await ask(verifier.check(hasher), resolver)

    Args:
        now: Seconds since 1970 at which the message was received; None is the system's time.
        policy: Local limits.
    """

    __slots__ = ("_now", "_policy", "_signatures", "_skipped")

    def __init__(self, now: float | None = None, policy: DkimPolicy = DkimPolicy()) -> None:  # noqa: B008 — frozen
        self._now = seconds_now(now)
        self._policy = policy
        self._signatures: list[_Signature] = []
        self._skipped = 0

    def plan(self, header: HeaderSection) -> list[BodyForm]:
        """Read the signatures of a header section, and name the forms of the body that they sign."""
        places = header.places(_FIELD)
        most = self._policy.max_signatures
        if len(places) > most:
            self._skipped = len(places) - most
            places = _most_wanted(header, places, most)
        signatures = self._signatures = []
        forms: list[BodyForm] = []
        for place in places:
            value = header.value(place)
            usual = usual_signature(value)
            if usual is None:
                found = _read(place, value)
                signatures.append(found)
                if found.content is not None:
                    forms.append(found.content.body)
            else:
                content, text = usual
                signatures.append(_Signature(place, content, text))
                forms.append(content.body)
        return forms if header.complete else []

    @property
    def questions(self) -> list[Question]:
        """The questions that ``check`` will ask: to be asked in advance, while the body arrives."""
        names = [each.content for each in self._signatures if each.content is not None]
        return [key_question(each.domain, each.selector) for each in names]

    def check(self, hasher: MessageHasher) -> Check[DkimResult]:
        """The check of all signatures; ``hasher`` has had the plan and the whole message."""
        header = hasher.header
        assert header is not None, "the message has not ended: call finish() first"
        now = self._now
        results: list[SignatureResult] = []
        for each in self._signatures:
            content = each.content
            if content is None:
                assert each.unread is not None
                results.append(each.unread)
                continue
            try:
                time = content.time
                if (time is not None and time > now) or content.expires is not None or not header.complete:
                    self._check_field(content, header)
                question = key_question(content.domain, content.selector)
                answer = yield question
                keys = usable_keys(answer, question.name, content.algorithm, self._policy.min_rsa_bits)
            except SignatureFault as fault:
                results.append(_failed(each, content, fault))
            else:
                results.append(self._judged(each, content, header, hasher.body_hash(content.body), keys))
        return _joined(tuple(results), self._skipped)

    def _judged(
        self,
        signature: _Signature,
        content: SignatureTags,
        header: HeaderSection,
        body: BodyHash,
        keys: Iterable[tuple[KeyRecord, PublicKey]],
    ) -> SignatureResult:
        """The verdict on one signature with the keys that may verify it: that of the first which does, or the last."""
        signed = header.signed_octets(content.fields, content.header, own=signature.place)
        verdict: SignatureResult | None = None
        for record, key in keys:
            found, reason = self._with_key(content, record, key, body, signed)
            verdict = SignatureResult(
                found,
                reason,
                content.domain,
                content.selector,
                content.identity,
                content.algorithm,
                key.bits,
                "y" in record.flags,
                content.fields,
                content.body.length,
                body.total - body.hashed,
                content.time,
                content.expires,
                signature.text,
            )
            if found == "pass":
                break
        assert verdict is not None, "there is at least one key"
        return verdict

    def _check_field(self, content: SignatureTags, header: HeaderSection) -> None:
        """Raises ``SignatureFault`` for what is known before the key is (RFC 6376 §6.1.1)."""
        if not header.complete:
            raise SignatureFault("policy", "the header section is too long to be judged")
        if content.expires is not None and self._now > content.expires:
            raise SignatureFault(
                "fail", f"the signature expired {self._now - content.expires} s ago (x={content.expires})"
            )
        if content.time is not None and content.time > self._now + self._policy.clock_skew:
            raise SignatureFault(
                "fail", f"the signature was made {content.time - self._now} s in the future (t={content.time})"
            )

    def _with_key(
        self, content: SignatureTags, record: KeyRecord, key: PublicKey, body: BodyHash, signed: bytes
    ) -> tuple[str, str]:
        """The result of one signature with one key, and the reason."""
        flags = record.flags
        if flags and record.strict and content.identity.rpartition("@")[2] != content.domain:
            return "permerror", "the key allows no subdomain of d= in i= (t=s)"
        digest, hashed, total = body
        length = content.body.length
        if length is not None and length > total:
            return "permerror", f"l={length} is more than the {total} octets of the canonical body"
        if digest != content.body_hash:
            return "fail", "the body hash did not verify: the body is not the one that was signed"
        if not key.verifies(content.signature, signed):
            return "fail", "the signature did not verify: signed header fields were changed, or the key is another"
        text = f"signed by {content.domain} with a {key.bits}-bit {'RSA' if key.kind == 'rsa' else 'Ed25519'} key"
        if total > hashed:
            if not self._policy.partial_body:
                return "policy", f"the last {total - hashed} octets of the body are not signed (l=)"
            text += f", but for the last {total - hashed} octets of the body (l={length})"
        return "pass", f"{text}; the domain is testing DKIM (t=y)" if flags and record.testing else text


def _read(place: int, value: bytes) -> _Signature:
    """The signature in the value of the field at ``place``, read in full."""
    tags: TagList = {}
    try:
        tags = tags_of_value(value)
        content = dkim_signature(tags)
        return _Signature(place, content, tags["b"].replace(" ", "").replace("\t", ""))
    except SignatureFault as fault:
        domain, selector, algorithm = [_clipped(tags, name) for name in ("d", "s", "a")]
        verdict = SignatureResult(fault.result, fault.reason, domain.lower(), selector, algorithm=algorithm)
        return _Signature(place, None, "", verdict)


def _failed(signature: _Signature, content: SignatureTags, fault: SignatureFault) -> SignatureResult:
    """The verdict on a signature that no key was tried for."""
    return SignatureResult(
        fault.result,
        fault.reason,
        content.domain,
        content.selector,
        content.identity,
        content.algorithm,
        fault.key_bits,
        fields=content.fields,
        signed_octets=content.body.length,
        time=content.time,
        expires=content.expires,
        signature=signature.text,
    )


def _clipped(tags: TagList, name: str) -> str:
    """A tag of a field that is malformed, for people: nothing has checked it."""
    return tags.get(name, "")[:253]


def _joined(results: tuple[SignatureResult, ...], skipped: int) -> DkimResult:
    if skipped and not results:
        return DkimResult("policy", f"the message has {skipped} signatures, and none may be looked at", (), skipped)
    if not results:
        return DkimResult("none", "the message has no DKIM signature")
    deciding = results[0]
    if deciding.result != "pass":
        for each in results:
            if each.result == "pass":
                deciding = each
                break
            if each.result == "temperror" != deciding.result:
                deciding = each
    where = "" if deciding.result == "pass" or not deciding.domain else f"{deciding.domain}: "
    return DkimResult(deciding.result, where + deciding.reason, results, skipped)


def _most_wanted(header: HeaderSection, places: Sequence[int], most: int) -> list[int]:
    """The places of the signatures that may answer for the author, then the others from the top; in their order."""
    hosts = {
        found[1].lower()
        for place in header.places(b"from")
        for found in islice(_ADDRESS.finditer(header.fields[place].raw), most)
    }

    def related(place: int) -> bool:
        found = _DOMAIN_TAG.search(header.fields[place].raw)
        if found is None:
            return False
        domain = found[1].lower()
        return any(host == domain or host.endswith(b"." + domain) or domain.endswith(b"." + host) for host in hosts)

    return sorted(sorted(places, key=lambda place: not related(place))[:most])


def verify_dkim(
    message: MessageOctets,
    now: float | None = None,
    policy: DkimPolicy = DkimPolicy(),  # noqa: B008 — frozen
) -> Check[DkimResult]:
    """Check of all DKIM signatures of a message; ``answer`` or ``await ask`` runs it.

    Args:
        message: The message as it was received: without dot-stuffing, with CRLF line ends; a text whose line ends are
            LF is read as if they were CRLF.  Chunks are read once, when the check starts; memory does not grow with
            them.
        now: Seconds since 1970 at which the message was received, for ``x=``; None is the system's time.
        policy: Local limits.

    Raises:
        TypeError: The message is text; its octets are what is signed.
    """
    chunks, _ = message_chunks(message)
    verifier = DkimVerifier(now, policy)
    return _verified(verifier, chunks)


def _verified(verifier: DkimVerifier, chunks: Iterable[bytes]) -> Check[DkimResult]:
    hasher = MessageHasher(verifier.plan)
    for chunk in chunks:
        hasher.write(chunk)
    hasher.finish()
    return (yield from verifier.check(hasher))
