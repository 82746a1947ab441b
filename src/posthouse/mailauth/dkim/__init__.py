"""DKIM signatures (RFC 6376, 8301, 8463): canonicalization, hashing, verification, signing and keys."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.dkim.body_hash import BodyForm, BodyHash, BodyHashes, MessageHasher
    from posthouse.mailauth.dkim.canonical import BodyCanonicalizer, Canonicalization, relaxed_field
    from posthouse.mailauth.dkim.header_section import HeaderSection, canonical_field, without_signature

__all__ = [
    "BodyCanonicalizer",
    "BodyForm",
    "BodyHash",
    "BodyHashes",
    "Canonicalization",
    "HeaderSection",
    "MessageHasher",
    "canonical_field",
    "relaxed_field",
    "without_signature",
]

__getattr__ = lazily(
    __name__,
    {
        "body_hash": "BodyForm BodyHash BodyHashes MessageHasher",
        "canonical": "BodyCanonicalizer Canonicalization relaxed_field",
        "header_section": "HeaderSection canonical_field without_signature",
    },
)
