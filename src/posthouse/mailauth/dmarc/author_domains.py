"""Author domains of a message: the domains in From, for which DMARC is judged (RFC 9989 §5.3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from posthouse.core import Address, LocalError
from posthouse.mailauth.octets import MessageOctets, message_chunks
from posthouse.message.authors import Unreadable, from_addresses
from posthouse.message.headers import HEADER_LIMIT, split
from posthouse.message.mailboxes import with_a_labels

__all__ = ["Author", "author_domains"]

Author: TypeAlias = str | MessageOctets
"""Where the author is read from: a domain (``"example.org"``), the value of From (``"Ann <ann@example.org>"``), or a
message, of which the header section is read; a text whose line ends are LF is read as if they were CRLF."""

_LONGEST_NAME: Final = 253


def author_domains(author: Author) -> list[str]:
    """The domains in From, each once, in order, lower case, in A-labels; address literals keep their brackets.

    Raises:
        Unreadable: There is no From field, more than one, or one that cannot be read; says why, in words.
    """
    if isinstance(author, str) and "@" not in author and ":" not in author:
        return [_plain(author)]
    if isinstance(author, str):
        headers = b"From: " + author.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace") + b"\r\n"
    else:
        headers = _section(message_chunks(author)[0])
    found = []
    for address in from_addresses(headers):
        if address.is_literal:
            found.append(address.domain)
            continue
        try:
            found.append(_plain(with_a_labels(address).domain))
        except LocalError:
            raise Unreadable("the domain in From is no valid international domain name") from None
    return list(dict.fromkeys(found))


def _plain(domain: str) -> str:
    name = domain.strip().lower().removesuffix(".")
    if not name.isascii():
        try:
            name = with_a_labels(Address("x", name)).domain.lower()
        except LocalError:
            raise Unreadable("the author's domain is no valid international domain name") from None
    if not name or len(name) > _LONGEST_NAME or not all(1 <= len(label) <= 63 for label in name.split(".")):
        raise Unreadable("the author's domain is no domain name")
    return name


def _section(chunks: Iterable[bytes]) -> bytes:
    """The header section of a message in chunks."""
    head = bytearray()
    for chunk in chunks:
        start = max(0, len(head) - 3)
        head += chunk
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0:
            break
        if len(head) > HEADER_LIMIT:
            raise Unreadable(f"the header section is longer than {HEADER_LIMIT:,} octets")
    return split(bytes(head), len(head) + 1).headers
