"""Signatures that a conversion breaks: whose they are, in words for the history of a message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from posthouse.core import Content
from posthouse.message.headers import HEADER_LIMIT, fields, split

__all__ = ["broken_text", "signing_domains"]

_NAMES: Final = {b"dkim-signature": "", b"arc-seal": " (ARC)"}
_DOMAIN: Final = re.compile(rb"(?:\A|;)[ \t\r\n]*+d[ \t\r\n]*+=[ \t\r\n]*+([A-Za-z0-9._-]{1,253})")
_MOST_NAMED: Final = 5


def signing_domains(content: Content, but: Sequence[bytes] = ()) -> list[str]:
    """The domains that signed or sealed a message, by what its DKIM-Signature and ARC-Seal fields claim; ``but`` are
    fields that do not count.  At most the header section is read."""
    head = bytearray()
    for chunk in content.chunks(65_536):
        head += chunk
        if b"\r\n\r\n" in head or len(head) > HEADER_LIMIT:
            break
    found = []
    for field in fields(split(bytes(head)).headers):
        what = _NAMES.get(field.name.lower())
        if what is not None and field.raw not in but:
            named = _DOMAIN.search(field.raw.partition(b":")[2])
            if named is not None:
                found.append(named[1].decode().lower() + what)
    return list(dict.fromkeys(found))


def broken_text(domains: Sequence[str]) -> str:
    """What becomes of the signatures of others, in words; "" if there are none."""
    if not domains:
        return ""
    named = ", ".join(domains[:_MOST_NAMED])
    return f"this breaks the signatures of {named}" + (" and others" if len(domains) > _MOST_NAMED else "")
