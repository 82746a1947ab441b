"""Hashes of a message's body while it passes by: one for each canonicalization and length, shared by all signatures.

SHA-256 is the only hash algorithm that signatures may use (RFC 8301 §3.1).  Memory is bounded: of the message only the
header section is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from posthouse.mailauth.dkim.canonical import BodyCanonicalizer, Canonicalization, is_canonical
from posthouse.mailauth.dkim.header_section import HeaderSection
from posthouse.message.headers import HEADER_LIMIT, Split, split

__all__ = ["BodyForm", "BodyHash", "BodyHashes", "MessageHasher", "Plan"]


class BodyForm(NamedTuple):
    """The part of a body that a signature covers.

    ``length`` is ``l=``: octets of the canonical body from its beginning, None for all of it.
    """

    canonicalization: Canonicalization
    length: int | None = None


class BodyHash(NamedTuple):
    """The hash of a body.

    ``digest`` is SHA-256; ``hashed`` is the number of canonical octets in it, ``total`` the number that the body has.
    """

    digest: bytes
    hashed: int
    total: int


class _Lengths:
    """The hashes of one canonical form of the body, of which some end before it does (``l=``)."""

    __slots__ = ("hashes", "total")

    def __init__(self, hashes: Mapping[int | None, hashlib._Hash]) -> None:
        self.hashes = hashes
        self.total = 0

    def take(self, octets: bytes) -> None:
        """Add the next octets of the form."""
        for length, digest in self.hashes.items():
            if length is None or self.total + len(octets) <= length:
                digest.update(octets)
            elif self.total < length:
                digest.update(octets[: length - self.total])
        self.total += len(octets)


class BodyHashes:
    """The hashes of one body, for each of the forms that are wanted; each canonical form is made once.

    The first octets of the body are held until others follow.  A body that came as a whole and that is its own
    canonical form, as most of what is no longer than one chunk, is hashed as it stands.
    """

    __slots__ = ("_canonicalizers", "_digest", "_first", "_hashes", "_total", "_wanted")

    def __init__(self, wanted: Iterable[BodyForm]) -> None:
        self._wanted = tuple(wanted)
        self._first = b""
        self._digest: bytes | None = None  # of a body that is its own canonical form
        self._total = 0  # its octets
        # A form is found by its place in two lists: there are two at most, and an enum is slow as a key.
        self._canonicalizers: list[BodyCanonicalizer] | None = None
        self._hashes: list[dict[int | None, hashlib._Hash]] = []

    def _begin(self) -> list[BodyCanonicalizer]:
        """Set the canonicalizers up, and give them what is held."""
        canonicalizers: list[BodyCanonicalizer] = []
        for canonicalization, length in self._wanted:
            for made, hashes in zip(canonicalizers, self._hashes, strict=True):
                if made.canonicalization is canonicalization:
                    if length not in hashes:
                        hashes[length] = hashlib.sha256()
                        made.emit = _Lengths(hashes).take
                    break
            else:
                digest = hashlib.sha256()
                hashes = {length: digest}
                self._hashes.append(hashes)
                emit = digest.update if length is None else _Lengths(hashes).take
                canonicalizers.append(BodyCanonicalizer(canonicalization, emit))
        for canonicalizer in canonicalizers:
            canonicalizer.write(self._first)
        self._canonicalizers, self._first = canonicalizers, b""
        return canonicalizers

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        canonicalizers = self._canonicalizers
        if canonicalizers is None:
            if not self._first:
                self._first = bytes(chunk)  # a copy only of what its owner may change
                return
            canonicalizers = self._begin()
        for canonicalizer in canonicalizers:
            canonicalizer.write(chunk)

    def finish(self) -> None:
        """The body has ended."""
        canonicalizers = self._canonicalizers
        if canonicalizers is None:
            first = self._first
            for canonicalization, length in self._wanted:
                if length is not None or not is_canonical(first, canonicalization):
                    break
            else:
                self._total = len(first)
                self._digest = hashlib.sha256(first).digest()
                self._first = b""
                return
            canonicalizers = self._begin()
        for canonicalizer in canonicalizers:
            canonicalizer.finish()

    def of(self, form: BodyForm) -> BodyHash:
        """The hash of a form that was wanted, after ``finish()``.  Raises ``KeyError`` for another."""
        canonicalizers = self._canonicalizers
        if canonicalizers is None:
            if self._digest is None or form not in self._wanted:
                raise KeyError(form)
            return BodyHash(self._digest, self._total, self._total)
        canonicalization, length = form
        for made, hashes in zip(canonicalizers, self._hashes, strict=True):
            if made.canonicalization is canonicalization:
                total = made.total
                return BodyHash(hashes[length].digest(), total if length is None else min(length, total), total)
        raise KeyError(form)


Plan = Callable[[HeaderSection], Iterable[BodyForm]]
"""What a reader of signatures wants hashed, once it knows the header section."""


class MessageHasher:
    """Header section and body hashes of one message, taken while its octets pass by, once.

    Verification, signing and ARC share one: each gives a function that is called when the header section is complete,
    and returns the forms of the body that it wants hashed.

    Args:
        plans: These functions.
        limit: Octets of the longest header section that is read.

    Attributes:
        header: The header section; None until it has passed.
    """

    __slots__ = ("_bodies", "_head", "_limit", "_plans", "header")

    def __init__(self, *plans: Plan, limit: int = HEADER_LIMIT) -> None:
        self._plans = plans
        self._limit = limit
        self._head: bytearray | None = None  # the beginning of a header section that no chunk has as a whole
        self._bodies: BodyHashes | None = None
        self.header: HeaderSection | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the message, with CRLF line ends and without dot-stuffing."""
        if self._bodies is not None:
            self._bodies.write(chunk)
            return
        head = self._head
        if head is None:
            found = split(chunk, self._limit)
            if found.separator:  # the common case: the first chunk has the whole section, and no copy is made of it
                self._begin_body(chunk, found)
                return
            head = self._head = bytearray()
        start = max(0, len(head) - 3)
        head += chunk
        if head.startswith(b"\r\n") or head.find(b"\r\n\r\n", start) >= 0 or len(head) > self._limit:
            self._end_head()

    def finish(self) -> None:
        """The message has ended."""
        if self._bodies is None:
            self._end_head()
        assert self._bodies is not None
        self._bodies.finish()

    def body_hash(self, form: BodyForm) -> BodyHash:
        """The hash of a form that a plan wanted, after ``finish()``.  Raises ``KeyError`` for another."""
        if self._bodies is None:
            raise KeyError(form)
        return self._bodies.of(form)

    def _end_head(self) -> None:
        """The octets held have the whole header section, or begin with as much of it as is read."""
        data = bytes(self._head or b"")
        self._head = None
        self._begin_body(data, split(data, self._limit))

    def _begin_body(self, data: bytes, found: Split) -> None:
        header = self.header = HeaderSection(found)
        plans = self._plans
        wanted = plans[0](header) if len(plans) == 1 else [form for plan in plans for form in plan(header)]
        bodies = self._bodies = BodyHashes(wanted)
        bodies.write(data[found.body_offset :])
