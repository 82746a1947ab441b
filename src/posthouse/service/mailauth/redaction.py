"""Redaction of a header section that leaves in a failure report (RFC 9991 §7, RFC 6590).

The owner of a domain is to see how its name was used, and nothing about the people to whom the message went: fields
that say nothing about authentication are left out (the subject among them), and of an address outside of the domain
the local part is replaced by a hash.  The hash has a key of this process, so that two reports about one person can be
told to belong together and nobody can guess the address.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final

from posthouse.core import Address
from posthouse.message.headers import Field, fields, split

__all__ = ["redacted_address", "redacted_headers"]

_KEPT: Final = frozenset(
    b"from sender reply-to to cc date message-id received dkim-signature mime-version content-type "
    b"content-transfer-encoding list-id list-unsubscribe arc-seal arc-message-signature "
    b"arc-authentication-results".split()
)
_RECIPIENTS: Final = frozenset((b"to", b"cc"))
_WITHOUT_ADDRESSES: Final = frozenset((b"message-id", b"dkim-signature", b"arc-message-signature", b"arc-seal"))
_MOST_FIELDS: Final = 200
_MOST_ADDRESSES: Final = 20  # of one To or Cc
_HASH: Final = 12  # characters
_ADDRESS: Final = re.compile(rb"(\"[^\"\r\n]{1,256}\"|[^\s<>()\[\]:;,@\"]{1,256})@([A-Za-z0-9.\-\x80-\xff]{1,253})")


def redacted_headers(headers: bytes, domain: str, key: bytes) -> bytes:
    """The fields of a header section that a report may show; ``domain`` is the one that is reported to."""
    kept = [_redacted(each, domain, key) for each in fields(split(headers).headers) if each.name.lower() in _KEPT]
    return b"".join(kept[:_MOST_FIELDS])


def redacted_address(address: Address, domain: str, key: bytes) -> Address:
    """The address, its local part replaced by a hash unless it is in ``domain`` or below it."""
    if _is_within(address.domain, domain):
        return address
    return Address(_hash(str(address).encode("utf-8", "surrogatepass"), key).decode(), address.domain)


def _redacted(field: Field, domain: str, key: bytes) -> bytes:
    name = field.name.lower()
    if name in _WITHOUT_ADDRESSES:
        return field.raw

    def hashed(found: re.Match[bytes]) -> bytes:
        if _is_within(found[2].decode("ascii", "replace"), domain):
            return found[0]
        return _hash(found[0], key) + b"@" + found[2]

    if name not in _RECIPIENTS:
        return _ADDRESS.sub(hashed, field.raw)
    addresses = [hashed(each) for each in _ADDRESS.finditer(field.raw)][:_MOST_ADDRESSES]  # names are left out
    return field.name + b": " + b",\r\n ".join(addresses) + b"\r\n" if addresses else b""


def _hash(octets: bytes, key: bytes) -> bytes:
    return base64.b32encode(hmac.digest(key, octets.lower(), "sha256")).lower()[:_HASH]


def _is_within(name: str, domain: str) -> bool:
    name = name.lower()
    return name == domain or name.endswith(f".{domain}")
