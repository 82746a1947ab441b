"""Hashes of a message's body while it passes by: one for each canonicalization and length, shared by all signatures.

SHA-256 is the only hash algorithm that signatures may use (RFC 8301 §3.1).  Memory is bounded: of the message only the
header section is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """The hashes of one body, for each of the forms that are wanted; each canonical form is made once."""

    __slots__ = ("_canonicalizers", "_hashes")

    def __init__(self, wanted: Iterable[BodyForm]) -> None:
        # A form is found by its place in two lists: there are two at most, and an enum is slow as a key.
        self._canonicalizers: list[BodyCanonicalizer] = []
        self._hashes: list[dict[int | None, hashlib._Hash]] = []
        for canonicalization, length in wanted:
            for made, hashes in zip(self._canonicalizers, self._hashes, strict=True):
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
                self._canonicalizers.append(BodyCanonicalizer(canonicalization, emit))

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the body."""
        for canonicalizer in self._canonicalizers:
            canonicalizer.write(chunk)

    def finish(self) -> None:
        """The body has ended."""
        for canonicalizer in self._canonicalizers:
            canonicalizer.finish()

    def of(self, form: BodyForm) -> BodyHash:
        """The hash of a form that was wanted, after ``finish()``.  Raises ``KeyError`` for another."""
        canonicalization, length = form
        for made, hashes in zip(self._canonicalizers, self._hashes, strict=True):
            if made.canonicalization is canonicalization:
                total = made.total
                return BodyHash(hashes[length].digest(), total if length is None else min(length, total), total)
        raise KeyError(form)


Plan = Callable[[HeaderSection], Sequence[BodyForm]]
"""What a reader of signatures wants hashed, once it knows the header section."""


class MessageHasher:
    """Header section and body hashes of one message, taken while its octets pass by, once.

    Verification, signing and ARC share one: each gives a function that is called when the header section is complete,
    and returns the forms of the body that it wants hashed.

    The first octets of the body are held until others follow.  A body that came with them as a whole, and that is its
    own canonical form, is hashed as it stands: most bodies that are no longer than one chunk.

    Args:
        plans: These functions.
        limit: Octets of the longest header section that is read.

    Attributes:
        header: The header section; None until it has passed.
    """

    __slots__ = ("_bodies", "_digest", "_first", "_head", "_limit", "_plans", "_total", "_wanted", "header")

    def __init__(self, *plans: Plan, limit: int = HEADER_LIMIT) -> None:
        self._plans = plans
        self._limit = limit
        self._head: bytearray | None = None  # the beginning of a header section that no chunk has as a whole
        self._wanted: Sequence[BodyForm] = ()
        self._first: bytes | None = None  # the beginning of the body, as long as nothing has followed
        self._bodies: BodyHashes | None = None
        self._digest = b""  # of a body that is its own canonical form
        self._total = 0  # the octets of that body
        self.header: HeaderSection | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next octets of the message, with CRLF line ends and without dot-stuffing."""
        if self._bodies is not None:
            self._bodies.write(chunk)
            return
        if self._first is not None:
            self._begin_hashes(self._first).write(chunk)
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
        bodies = self._bodies
        if bodies is None:
            if self._first is None:
                self._end_head()
            first, self._first = self._first, None
            assert first is not None
            for form, length in self._wanted:
                if length is not None or not is_canonical(first, form):
                    bodies = self._begin_hashes(first)
                    break
            else:
                if self._wanted:
                    self._digest = hashlib.sha256(first).digest()
                    self._total = len(first)
                return
        bodies.finish()

    def body_hash(self, form: BodyForm) -> BodyHash:
        """The hash of a form that a plan wanted, after ``finish()``.  Raises ``KeyError`` for another."""
        if self._digest and form in self._wanted:
            return BodyHash(self._digest, self._total, self._total)
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
        self._wanted = plans[0](header) if len(plans) == 1 else [form for plan in plans for form in plan(header)]
        self._first = data[found.body_offset :]

    def _begin_hashes(self, first: bytes) -> BodyHashes:
        """Hash the body as it comes."""
        bodies = self._bodies = BodyHashes(self._wanted)
        self._first = None
        bodies.write(first)
        return bodies
