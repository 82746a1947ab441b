"""Private keys of DKIM: made, read, written, and shown as the DNS record that verifiers fetch.

RSA keys of 2,048 bits are what every verifier knows; Ed25519 keys (RFC 8463) are short and fast, and are used beside an
RSA key, not instead of one.  A selector names one key for ever: a new key gets a new selector (RFC 6376 §3.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from posthouse.core import SettingError
from posthouse.mailauth.arguments import demand_text
from posthouse.mailauth.dkim.key_record import MAX_RSA_BITS, MIN_RSA_BITS, find_keys, key_question
from posthouse.mailauth.dkim.signature import signature_names
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.questions import Check

__all__ = ["DkimKey", "KeyKind", "check_published", "demand_key", "record_strings", "zone_lines"]

KeyKind: TypeAlias = Literal["rsa", "ed25519"]

_PADDING, _SHA256 = PKCS1v15(), SHA256()
_SEED = re.compile(rb"[A-Za-z0-9+/]{43}=")  # 32 octets in base64: an Ed25519 key as RFC 8463 §A.1 writes it
_PRESENTED: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})


class DkimKey:
    """The private key of a domain and selector.  It is read once and used for many signatures, from any thread.

    ``DkimKey.from_pem`` reads one, ``DkimKey.generate`` makes one.  ``repr()`` does not show the key.

    Args:
        domain: The domain that signs (``d=``); U-labels become A-labels.
        selector: The name of the key below ``_domainkey`` of the domain (``s=``).
        private: The key.

    Raises:
        SettingError: Domain or selector is no name, or the RSA key has less than 1,024 bits (RFC 8301 §3.2).
    """

    __slots__ = ("_private", "algorithm", "bits", "domain", "kind", "selector")

    def __init__(self, domain: str, selector: str, private: RSAPrivateKey | Ed25519PrivateKey) -> None:
        try:
            self.domain, self.selector = signature_names({"d": domain.removesuffix("."), "s": selector})
        except SignatureFault as fault:
            raise SettingError(
                f"the DKIM key has no proper name: {fault.reason}", remedy="write a domain and a selector of letters"
            ) from None
        self._private = private
        self.kind: KeyKind = "rsa" if isinstance(private, RSAPrivateKey) else "ed25519"
        self.bits = private.key_size if isinstance(private, RSAPrivateKey) else 256
        self.algorithm = f"{self.kind}-sha256"
        if self.kind == "rsa":
            _check_bits(self.bits)

    @classmethod
    def generate(cls, domain: str, selector: str, kind: KeyKind = "rsa", bits: int = 2048) -> DkimKey:
        """A new key; ``bits`` is the size of an RSA key, 1,024 to 8,192.

        Raises:
            SettingError: There is no such kind or size, or domain or selector is no name.
        """
        match kind:
            case "ed25519":
                return cls(domain, selector, Ed25519PrivateKey.generate())
            case "rsa":
                _check_bits(bits)
                return cls(domain, selector, generate_private_key(65_537, bits))
        raise SettingError(f"{kind!r:.40} is no kind of DKIM key", remedy="use rsa or ed25519")

    @classmethod
    def from_pem(cls, domain: str, selector: str, pem: bytes | str, password: bytes | str | None = None) -> DkimKey:
        """The key in a PEM text (PKCS#8 or PKCS#1), or an Ed25519 key as the base64 text of its 32 octets.

        Raises:
            SettingError: The text is no such key, or the password is missing or wrong; the text is not quoted.
            TypeError: An argument is no text.
        """
        demand_text(domain, "domain", "example.org")
        demand_text(selector, "selector", "2026a")
        if not isinstance(pem, (bytes, str)):
            raise TypeError(f"pem is the text of a key, not {type(pem).__name__}; read the file first")
        if isinstance(password, str):
            password = password.encode()
        octets = pem.encode() if isinstance(pem, str) else pem
        seed = _SEED.fullmatch(octets.strip())
        if seed is not None:
            return cls(domain, selector, Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed[0])))
        try:
            private = serialization.load_pem_private_key(octets, password)
        except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
            private = None
        if not isinstance(private, (RSAPrivateKey, Ed25519PrivateKey)):
            raise SettingError(
                "the DKIM key cannot be read: it is no RSA or Ed25519 private key in PEM, or its password is another",
                where=f"{selector}._domainkey.{domain}",
                remedy="make one with posthouse dkim keygen, or with openssl genrsa 2048",
            )
        return cls(domain, selector, private)

    def pem(self, password: bytes | None = None) -> bytes:
        """The private key as PEM (PKCS#8), encrypted where a password is given.  It must be kept secret."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
        )

    def sign(self, octets: bytes) -> bytes:
        """The signature over the SHA-256 hash of ``octets`` (RFC 6376 §3.3.2, RFC 8463 §3)."""
        if self.kind == "rsa":  # isinstance() of these classes is slow
            return self._private.sign(octets, _PADDING, _SHA256)  # type: ignore[call-arg]
        return self._private.sign(hashlib.sha256(octets).digest())  # type: ignore[call-arg]

    @property
    def public(self) -> bytes:
        """The octets of ``p=``: SubjectPublicKeyInfo in DER of an RSA key, the 32 octets of an Ed25519 key."""
        public = self._private.public_key()
        if self.kind == "ed25519":
            return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def record_name(self) -> str:
        """The name of the TXT record to publish."""
        return key_question(self.domain, self.selector).name

    def record(self, *, testing: bool = False, strict: bool = False, notes: str = "") -> str:
        """The text of the TXT record to publish (RFC 6376 §3.6.1).

        Args:
            testing: ``t=y``: verifiers do not hold failures against the domain.
            strict: ``t=s``: the key signs for no subdomain.
            notes: ``n=``, for people: visible ASCII text; other octets, and ";" and "=", are quoted-printable.
        """
        flags = ":".join([*(["y"] if testing else []), *(["s"] if strict else [])])
        parts = ["v=DKIM1", f"k={self.kind}"]
        if flags:
            parts.append(f"t={flags}")
        if notes:
            parts.append(f"n={_quoted(notes)}")
        parts.append(f"p={base64.b64encode(self.public).decode()}")
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<DkimKey {self.record_name} {self.kind} {self.bits} bits>"


def demand_key(value: object) -> None:
    """Raise ``TypeError`` unless an argument is a ``DkimKey``."""
    if not isinstance(value, DkimKey):
        raise TypeError(
            f"a key is a DkimKey, not {type(value).__name__}; make one with DkimKey.from_pem(domain, selector, pem)"
        )


def _check_bits(bits: int) -> None:
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise SettingError(
            f"an RSA key of {bits} bits is not for DKIM (RFC 8301)",
            remedy=f"use 2048, or another size from {MIN_RSA_BITS} to {MAX_RSA_BITS}",
        )


def _quoted(text: str) -> str:
    return "".join(
        chr(octet) if 0x20 <= octet <= 0x7E and octet not in b";=" else f"={octet:02X}" for octet in text.encode()
    ).strip()


def record_strings(text: str) -> tuple[str, ...]:
    """A TXT record as strings of at most 255 octets, which is what the DNS holds (RFC 1035 §3.3); ``text`` is ASCII."""
    return tuple(text[start : start + 255] for start in range(0, len(text), 255)) or ("",)


def zone_lines(name: str, text: str) -> str:
    """A TXT record as a zone file has it (RFC 1035 §5.1), each string on a line of its own."""
    strings = [f'"{each.translate(_PRESENTED)}"' for each in record_strings(text)]
    if len(strings) == 1:
        return f"{name}. IN TXT {strings[0]}\n"
    return f"{name}. IN TXT (\n" + "".join(f"    {each}\n" for each in strings) + ")\n"


def check_published(key: DkimKey) -> Check[SignatureFault | None]:
    """Check that the DNS has the record of a key: None if verifiers find it, else what they would say.

    The fault's ``result`` is "temperror" if the DNS does not answer; its ``reason`` tells a record that is missing from
    one that is malformed, and from that of another key.
    """
    try:
        found = yield from find_keys(key.domain, key.selector, key.algorithm)
    except SignatureFault as fault:
        return fault
    octets = b"published"
    signature = key.sign(octets)
    if any(public.verifies(signature, octets) for _, public in found):
        return None
    return SignatureFault("fail", f"{key.record_name} has another key than the private key that signs")
