"""RSA verification (RFC 8017 §8.2.2): only the one encoding of the hash counts, octet for octet."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from posthouse.mailauth.dkim import PublicKey

OCTETS = b"from:ann@example.org\r\n"
DIGEST = hashlib.sha256(OCTETS).digest()
INFO = bytes.fromhex("3031300d060960864801650304020105000420")
PRIVATE = generate_private_key(65_537, 1_024)
PUBLIC = PublicKey("rsa", 1_024, PRIVATE.public_key())


def signed(private: RSAPrivateKey, encoded: bytes) -> bytes:
    """The bare RSA operation on an encoded message (RSASP1), whatever it holds."""
    numbers = private.private_numbers()
    size = private.key_size // 8
    return pow(int.from_bytes(encoded), numbers.d, numbers.public_numbers.n).to_bytes(size)


def encoded(info: bytes, *, padding: bytes | None = None, begin: bytes = b"\x00\x01", end: bytes = b"\x00") -> bytes:
    """An encoded message of 128 octets: ``begin``, padding, ``end``, ``info``."""
    room = 128 - len(begin) - len(end) - len(info)
    return begin + (b"\xff" * room if padding is None else padding) + end + info


def test_the_one_encoding_of_the_hash_verifies() -> None:
    ours = signed(PRIVATE, encoded(INFO + DIGEST))
    assert ours == PRIVATE.sign(OCTETS, PKCS1v15(), SHA256())
    assert PUBLIC.verifies(ours, OCTETS)
    assert not PUBLIC.verifies(ours, OCTETS + b"\r\n")


@pytest.mark.parametrize(
    "forged",
    {
        "octets behind the hash": encoded(INFO + DIGEST + b"\x00" * 20),
        "octets behind the hash, short padding": encoded(INFO + DIGEST + bytes(66), padding=b"\xff" * 8),
        "no NULL in the algorithm": encoded(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + DIGEST),
        "the hash alone": encoded(DIGEST),
        "a shorter hash": encoded(INFO[:-1] + b"\x1f" + DIGEST[:-1]),
        "another octet in the padding": encoded(INFO + DIGEST, padding=b"\xff" * 73 + b"\xfe"),
        "padding of an encryption": encoded(INFO + DIGEST, begin=b"\x00\x02"),
        "no padding": INFO + DIGEST,
        "the name of another hash": encoded(bytes.fromhex("3031300d060960864801650304020405000420") + DIGEST),
    }.items(),
    ids=lambda case: case[0].replace(" ", "-"),
)
def test_another_encoding_does_not(forged: tuple[str, bytes]) -> None:
    assert not PUBLIC.verifies(signed(PRIVATE, forged[1]), OCTETS)


def test_a_signature_with_sha1_or_of_another_length_does_not() -> None:
    right = PRIVATE.sign(OCTETS, PKCS1v15(), SHA256())
    assert not PUBLIC.verifies(PRIVATE.sign(OCTETS, PKCS1v15(), SHA1()), OCTETS)
    for wrong in (b"", b"\x00", right[:-1], right + b"\x00", b"\x00" + right, b"\xff" * 128, bytes(128)):
        assert not PUBLIC.verifies(wrong, OCTETS)
