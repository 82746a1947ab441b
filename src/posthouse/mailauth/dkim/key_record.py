"""Key records of DKIM and ARC: ``selector._domainkey.domain`` (RFC 6376 §3.6, RFC 8301, RFC 8463).

A record that the DNS gives again and again is read once: records and their public keys are kept by their octets, at
most 1,024 of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from posthouse.core import Answer, Question, Status
from posthouse.core.dns import Kind
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.questions import Check
from posthouse.mailauth.tag_list import TagFault, decode_base64, read_tags, split_list

__all__ = [
    "KeyRecord",
    "MAX_RSA_BITS",
    "MIN_RSA_BITS",
    "PublicKey",
    "RECORD_LIMIT",
    "find_keys",
    "key_question",
    "read_key_record",
    "usable_keys",
]

#: Bits of the smallest RSA key that counts (RFC 8301 §3.2), and of the largest that is tried.
MIN_RSA_BITS: Final = 1024
MAX_RSA_BITS: Final = 8192
#: Octets of the longest key record that is read.
RECORD_LIMIT: Final = 8_192
#: Key records of one name that are tried; more than one is undefined (RFC 6376 §3.6.2.2).
_MOST_RECORDS: Final = 4
# A public exponent above this makes a verification as expensive as a signature.
_MOST_EXPONENT: Final = 1 << 64

_PADDING = PKCS1v15()
# DigestInfo of a SHA-256 hash, without the hash (RFC 8017 §9.2, note 1).
_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")


class PublicKey(NamedTuple):
    """A public key: ``kind`` is that of ``k=`` ("rsa" or "ed25519"), ``bits`` its size."""

    kind: str
    bits: int
    key: RSAPublicKey | Ed25519PublicKey

    def verifies(self, signature: bytes, octets: bytes) -> bool:
        """Whether ``signature`` is this key's over the SHA-256 hash of ``octets`` (RFC 6376 §3.3.2, RFC 8463 §3)."""
        kind, _, key = self
        digest = hashlib.sha256(octets).digest()
        try:
            if kind == "rsa":  # isinstance() takes as long here as a look-up of the key
                # What the signature signs is compared as a whole, as RFC 8017 §8.2.2 has it.  verify() does the same,
                # but sets up a hash and its context for each call, which takes 1/12 more time.
                signed = key.recover_data_from_signature(signature, _PADDING, None)  # type: ignore[union-attr]
                return signed == _SHA256_INFO + digest
            key.verify(signature, digest)  # type: ignore[call-arg]
        except InvalidSignature:
            return False
        return True


class KeyRecord(NamedTuple):
    """A key record.

    Args:
        kind: ``k=``, in lower case.
        hashes: ``h=``, in lower case; None where the record allows all.
        services: ``s=``.
        flags: ``t=``: "y" is testing, "s" forbids subdomains in ``i=``; others have no meaning.
        notes: ``n=``, for people.
        public: The octets of ``p=``; b"" is a revoked key.
    """

    kind: str
    hashes: tuple[str, ...] | None
    services: tuple[str, ...]
    flags: tuple[str, ...]
    notes: str
    public: bytes

    @property
    def revoked(self) -> bool:
        """The owner says that the key is no longer valid (an empty ``p=``)."""
        return not self.public

    @property
    def testing(self) -> bool:
        """The domain tests DKIM (``t=y``): a failure must not count against its messages."""
        return "y" in self.flags

    @property
    def strict(self) -> bool:
        """The domain of ``i=`` must be that of ``d=`` (``t=s``)."""
        return "s" in self.flags


def read_key_record(text: bytes) -> KeyRecord:
    """The key record in a TXT record whose strings are joined.

    Raises:
        TagFault: The text is no key record; says why, in words.
    """
    if len(text) > RECORD_LIMIT:
        raise TagFault(f"the record is longer than {RECORD_LIMIT} octets")
    return _read(text)


@lru_cache(maxsize=1024)
def _read(text: bytes) -> KeyRecord:
    tags = read_tags(text)
    if "v" in tags:
        if tags["v"] != "DKIM1":
            hint = ", for a backslash before a semicolon does not belong in the DNS" if "\\" in tags["v"] else ""
            raise TagFault(f"v= is {tags['v']!r:.20} and not DKIM1{hint}")
        if next(iter(tags)) != "v":
            raise TagFault("v= is not the first tag")
    if "p" not in tags:
        raise TagFault("p=, the public key, is missing")
    try:
        public = decode_base64(tags["p"]) if tags["p"] else b""
    except TagFault as fault:
        raise TagFault(f"p= is no base64 text: {fault}") from None
    return KeyRecord(
        kind=tags.get("k", "rsa").lower(),
        hashes=_listed(tags["h"], "h") if "h" in tags else None,
        services=_listed(tags.get("s", "*"), "s"),
        flags=_listed(tags["t"], "t") if "t" in tags else (),
        notes=tags.get("n", ""),
        public=public,
    )


def _listed(value: str, tag: str) -> tuple[str, ...]:
    try:
        return tuple(part.lower() for part in split_list(value))
    except TagFault as fault:
        raise TagFault(f"{tag}= is malformed: {fault}") from None


@lru_cache(maxsize=1024)
def _public_key(kind: str, octets: bytes) -> PublicKey:
    """The key that ``p=`` holds.

    RSA keys come as SubjectPublicKeyInfo, which is what everybody publishes, or as the bare RSAPublicKey that RFC 6376
    §3.6.1 describes.  Raises ``TagFault``.
    """
    if kind == "ed25519":
        if len(octets) != 32:
            raise TagFault(f"p= holds {len(octets)} octets, and an Ed25519 key has 32 without any wrapping (RFC 8463)")
        return PublicKey(kind, 256, Ed25519PublicKey.from_public_bytes(octets))
    try:
        key = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise TagFault("p= holds no RSA key in DER form") from None
    if not isinstance(key, RSAPublicKey):
        raise TagFault("p= holds a key that is not an RSA key")
    if key.key_size > MAX_RSA_BITS:
        raise TagFault(f"the RSA key has {key.key_size} bits, and at most {MAX_RSA_BITS} are tried")
    if key.public_numbers().e > _MOST_EXPONENT:
        raise TagFault("the exponent of the RSA key is larger than 64 bits")
    return PublicKey(kind, key.key_size, key)


@lru_cache(maxsize=2048)
def key_question(domain: str, selector: str) -> Question:
    """The DNS question for a key (RFC 6376 §3.6.2.1); both names are in A-labels."""
    return Question(f"{selector}._domainkey.{domain}", Kind.TXT)


def find_keys(
    domain: str, selector: str, algorithm: str, min_rsa_bits: int = MIN_RSA_BITS
) -> Check[Sequence[tuple[KeyRecord, PublicKey]]]:
    """Check that fetches the keys that may verify a signature, at least one (RFC 6376 §6.1.2); DKIM's and ARC's.

    Args:
        domain: ``d=`` in A-labels.
        selector: ``s=`` in A-labels.
        algorithm: ``a=``, "rsa-sha256" or "ed25519-sha256".
        min_rsa_bits: Bits of the smallest RSA key that counts; 1,024 at least (RFC 8301 §3.2).

    Raises:
        SignatureFault: There is no such key: the result for the signature, and the reason.
    """
    question = key_question(domain, selector)
    answer = yield question
    return usable_keys(answer, question.name, algorithm, min_rsa_bits)


def usable_keys(
    answer: Answer, name: str, algorithm: str, min_rsa_bits: int = MIN_RSA_BITS
) -> Sequence[tuple[KeyRecord, PublicKey]]:
    """The keys in the answer to ``key_question``, whose name is ``name``; arguments and faults of ``find_keys``."""
    if min_rsa_bits < MIN_RSA_BITS:
        min_rsa_bits = MIN_RSA_BITS
    records = answer.records
    if len(records) == 1 and isinstance(text := records[0], bytes) and len(text) <= RECORD_LIMIT:
        good = _usual(text, algorithm, min_rsa_bits)
        if good is not None and answer.status is not Status.FAILED:
            return good
    texts = _texts(answer, name)
    found: list[tuple[KeyRecord, PublicKey]] = []
    fault: SignatureFault | None = None
    for text in texts[:_MOST_RECORDS]:
        try:
            record = read_key_record(text)
        except TagFault as wrong:
            # A wildcard TXT record answers for a key that does not exist (§6.1.2); the first fault is the one told.
            fault = fault or SignatureFault("permerror", f"the key record of {name} is malformed: {wrong}")
            continue
        try:
            found.append((record, _suitable(record, algorithm, name, min_rsa_bits)))
        except SignatureFault as unsuitable:
            fault = unsuitable
    if not found:
        assert fault is not None
        raise fault
    return found


@lru_cache(maxsize=1024)
def _usual(text: bytes, algorithm: str, min_rsa_bits: int) -> tuple[tuple[KeyRecord, PublicKey]] | None:
    """The key of a record that may verify a signature; None where something is wrong with it."""
    try:
        record = _read(text)
        return ((record, _suitable(record, algorithm, "", min_rsa_bits)),)
    except (TagFault, SignatureFault):
        return None


def _texts(answer: Answer, name: str) -> list[bytes]:
    if answer.status is Status.FAILED:
        raise SignatureFault(
            "temperror", f"the key record of {name} could not be fetched: {answer.reason or 'no answer'}"
        )
    texts = [record for record in answer.records if isinstance(record, bytes)]
    if not texts:
        raise SignatureFault("permerror", f"there is no key: {name} has no TXT record")
    return texts


def _suitable(record: KeyRecord, algorithm: str, name: str, min_rsa_bits: int) -> PublicKey:
    """The public key of a record that may verify a signature of this algorithm.  Raises ``SignatureFault``."""
    kind, _, digest = algorithm.partition("-")
    if not {"*", "email"} & set(record.services):
        raise SignatureFault("permerror", f"the key of {name} is not for email: s={':'.join(record.services):.40}")
    if record.hashes is not None and digest not in record.hashes:
        raise SignatureFault("permerror", f"the key of {name} does not allow {digest}: h={':'.join(record.hashes):.40}")
    if record.revoked:
        raise SignatureFault("fail", f"the key of {name} is revoked (its p= is empty)")
    if record.kind != kind:
        raise SignatureFault(
            "permerror", f"the key of {name} is of type {record.kind!r:.20}, and the signature says {algorithm}"
        )
    try:
        key = _public_key(kind, record.public)
    except TagFault as wrong:
        raise SignatureFault("permerror", f"the key of {name} is unusable: {wrong}") from None
    if key.kind == "rsa" and key.bits < min_rsa_bits:
        least = f"at least {min_rsa_bits} are needed" + (" (RFC 8301)" if min_rsa_bits == MIN_RSA_BITS else "")
        raise SignatureFault("permerror", f"the RSA key of {name} has {key.bits} bits, and {least}", key.bits)
    return key
