"""DKIM signatures (RFC 6376, 8301, 8463): canonicalization, hashing, verification, signing and keys."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.mailauth.dkim.body_hash import BodyForm, BodyHash, BodyHashes, MessageHasher
    from posthouse.mailauth.dkim.canonical import BodyCanonicalizer, Canonicalization, relaxed_field
    from posthouse.mailauth.dkim.header_section import HeaderSection, canonical_field, without_signature
    from posthouse.mailauth.dkim.key_record import KeyRecord, PublicKey, find_keys, key_question, read_key_record
    from posthouse.mailauth.dkim.keys import DkimKey, check_published, record_strings, zone_lines
    from posthouse.mailauth.dkim.signature import SignatureTags, dkim_signature, signature_tags
    from posthouse.mailauth.dkim.signing import OVERSIGNED, SIGNED, DkimSigner, SigningOptions, folded_tags, sign_dkim
    from posthouse.mailauth.dkim.verdict import DkimResult, SignatureFault, SignatureResult
    from posthouse.mailauth.dkim.verification import DkimPolicy, DkimVerifier, verify_dkim

__all__ = [
    "BodyCanonicalizer",
    "BodyForm",
    "BodyHash",
    "BodyHashes",
    "Canonicalization",
    "DkimKey",
    "DkimPolicy",
    "DkimResult",
    "DkimSigner",
    "DkimVerifier",
    "HeaderSection",
    "KeyRecord",
    "MessageHasher",
    "OVERSIGNED",
    "PublicKey",
    "SIGNED",
    "SignatureFault",
    "SignatureResult",
    "SignatureTags",
    "SigningOptions",
    "canonical_field",
    "check_published",
    "dkim_signature",
    "find_keys",
    "folded_tags",
    "key_question",
    "read_key_record",
    "record_strings",
    "relaxed_field",
    "sign_dkim",
    "signature_tags",
    "verify_dkim",
    "without_signature",
    "zone_lines",
]

__getattr__ = lazily(
    __name__,
    {
        "body_hash": "BodyForm BodyHash BodyHashes MessageHasher",
        "canonical": "BodyCanonicalizer Canonicalization relaxed_field",
        "header_section": "HeaderSection canonical_field without_signature",
        "key_record": "KeyRecord PublicKey find_keys key_question read_key_record",
        "keys": "DkimKey check_published record_strings zone_lines",
        "signature": "SignatureTags dkim_signature signature_tags",
        "signing": "DkimSigner OVERSIGNED SIGNED SigningOptions folded_tags sign_dkim",
        "verdict": "DkimResult SignatureFault SignatureResult",
        "verification": "DkimPolicy DkimVerifier verify_dkim",
    },
)
