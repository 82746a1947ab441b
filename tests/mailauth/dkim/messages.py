"""Messages, keys and signatures of the DKIM tests."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from posthouse.mailauth import DkimKey, DkimPolicy, DkimResult, SignatureResult, answer, verify_dkim
from posthouse.mailauth.dkim import BodyForm, Canonicalization, MessageHasher

__all__ = [
    "AWKWARD",
    "ED25519",
    "HEAD",
    "MESSAGE",
    "RSA",
    "TAGS",
    "ZONE",
    "field",
    "only",
    "verified",
]

HEAD = (
    b"From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: lunch\r\n"
    b"Date: Mon, 23 Nov 2026 08:46:22 +0800\r\nMessage-ID: <1@example.org>\r\n"
)
MESSAGE = HEAD + b"\r\nNoon?\r\n\r\nAnn\r\n"


RSA = DkimKey.generate("example.org", "rsa1", bits=1024)
ED25519 = DkimKey.generate("example.org", "ed1", "ed25519")
ZONE: dict[str, object] = {key.record_name: {"TXT": [key.record()]} for key in (RSA, ED25519)}

#: Messages in which implementations have differed, by name.  All have the From field that a signature needs.
AWKWARD: dict[str, bytes] = {
    "plain": MESSAGE,
    "empty body": HEAD + b"\r\n",
    "body of one empty line": HEAD + b"\r\n\r\n",
    "body of empty lines": HEAD + b"\r\n" + b"\r\n" * 5,
    "body of white space": HEAD + b"\r\n \t\r\n\t \r\n",
    "trailing lines": HEAD + b"\r\nNoon?\r\n\r\n\r\n\r\n",
    "trailing white space": HEAD + b"\r\nNoon? \t \r\n\r\n Ann \t\r\n \r\n\t\r\n",
    "tabs": HEAD + b"\r\n\tNoon\t\t?\t\r\n \t Ann\r\n",
    "dots": HEAD + b"\r\n.\r\n..\r\n.Noon\r\n",
    "8-bit body": HEAD + b"\r\n\xe4\xf6\xfc\xdf \xa0\r\n" + "床前明月光\r\n".encode(),
    "8-bit field": HEAD + "Comments: 疑是地上霜\r\n\r\n举头望明月\r\n".encode(),
    "folded fields": (
        b"From: Ann\r\n <ann@example.org>\r\nTo:\r\n\tbob@example.net,\r\n  carl@example.net \r\n"
        b"Subject:  lunch \t\r\n\t at  noon \r\nDate: Mon, 23 Nov 2026 08:46:22 +0800\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b"\r\nNoon?\r\n"
    ),
    "odd field names": (
        b"FROM:ann@example.org\r\nsUbJeCt:lunch\r\nTO: bob@example.net\r\nDate: Mon, 23 Nov 2026 08:46:22 +0800\r\n"
        b"Message-ID: <1@example.org>\r\n\r\nNoon?\r\n"
    ),
    "repeated fields": (
        b"Received: from a\r\nReceived: from b\r\nReceived: from c\r\nComments: 1\r\n" + HEAD + b"Comments: 2\r\n"
        b"References: <1@a>\r\nReferences: <2@a>\r\n\r\nNoon?\r\n"
    ),
    "long line": HEAD + b"\r\n" + b"x y  z\t" * 140 + b"\r\nend\r\n",
    "long field": HEAD
    + b"References: "
    + b"\r\n ".join(b"<%d@example.org>" % n for n in range(60))
    + b"\r\n\r\nNoon?\r\n",
    "long header section": HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 70) for n in range(300)) + b"\r\nNoon?\r\n",
    "long body": HEAD + b"\r\n" + b"".join(b"line  %d \t\r\n" % n + b"\r\n" * (n % 3) for n in range(5_000)),
    "base64": HEAD + b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bytes(range(256)) * 8).replace(b"\n", b"\r\n"),
}

TAGS: dict[str, str] = {
    "v": "1",
    "a": "rsa-sha256",
    "c": "relaxed/relaxed",
    "d": "example.org",
    "s": "rsa1",
    "h": "from:to:subject:date",
}


def field(
    tags: Mapping[str, str] | None = None,
    message: bytes = MESSAGE,
    key: DkimKey = RSA,
    without: Sequence[str] = (),
    text: str = "",
) -> bytes:
    """A DKIM-Signature field with a valid signature over whatever it says.

    Args:
        tags: What differs from ``TAGS``; ``bh`` is computed where it is not given.
        message: What is signed.
        key: The key that signs.
        without: Tags that are left out.
        text: The whole value of the field instead of ``tags``, with ``{bh}`` for the body hash; it ends with "b=".
    """
    wanted = {**TAGS, **(tags or {})}
    header, _, body = wanted["c"].lower().partition("/")
    known = set(Canonicalization)
    form = BodyForm(
        Canonicalization(body if body in known else "simple"),
        int(wanted["l"]) if wanted.get("l", "").isdigit() else None,
    )
    hasher = MessageHasher(lambda section: [form])
    hasher.write(message)
    hasher.finish()
    assert hasher.header is not None
    wanted.setdefault("bh", base64.b64encode(hasher.body_hash(form).digest).decode())
    listed = "; ".join(f"{name}={value}" for name, value in wanted.items() if name not in without)
    raw = ("DKIM-Signature: " + (text.format(bh=wanted["bh"]) if text else f"{listed}; b=")).encode()
    names = [name.strip().encode() for name in wanted["h"].split(":")]
    octets = hasher.header.signed_octets(names, Canonicalization(header if header in known else "simple"), raw)
    return raw + base64.b64encode(key.sign(octets)) + b"\r\n"


def verified(
    signed: bytes, zone: Mapping[str, object] | None = None, now: float = 1_800_000_000, **policy: object
) -> DkimResult:
    """The verdict on a message, with the zone of the keys above unless another is given."""
    return answer(verify_dkim(signed, now, DkimPolicy(**policy)), ZONE if zone is None else zone)  # type: ignore[arg-type]


def only(result: DkimResult) -> SignatureResult:
    """The verdict on the one signature of a message."""
    (found,) = result.signatures
    return found
