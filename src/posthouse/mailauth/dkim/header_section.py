"""Header section of a message as signatures see it: fields chosen from the bottom up, canonicalized once each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from posthouse.mailauth.dkim.canonical import Canonicalization, relaxed_field
from posthouse.message.headers import FIELDS_LIMIT, Field, Split, fields

__all__ = ["HeaderSection", "canonical_field", "without_signature"]

# The b= tag: first in the list, or behind a semicolon.
_SIGNATURE_TAG = re.compile(rb"(?:\A[^:]*+:|;)[ \t\r\n]*+b[ \t\r\n]*+=([^;]*+)")


def without_signature(raw: bytes) -> bytes:
    """A signature's field with an empty ``b=`` (RFC 6376 §3.7): the value and the white space around it are removed.

    Args:
        raw: The octets of the field, with its last CRLF or without; the result has none.  A field without ``b=`` is
            left as it is.
    """
    plain = raw.removesuffix(b"\r\n")
    found = _SIGNATURE_TAG.search(plain)
    return plain if found is None else plain[: found.start(1)] + plain[found.end(1) :]


def canonical_field(raw: bytes, canonicalization: Canonicalization) -> bytes:
    """One field in the form that is hashed, with one CRLF at its end."""
    if canonicalization is Canonicalization.RELAXED:
        return relaxed_field(raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


class HeaderSection:
    """The fields of one message.  The relaxed form of each is made once, however many signatures sign it.

    Args:
        found: The header section and where it ends (``posthouse.message.headers.split``).

    Attributes:
        fields: The fields from top to bottom.
        complete: False if the section is longer than ``HEADER_LIMIT`` octets or has more than ``FIELDS_LIMIT`` fields.
            Not all of its fields are known then, and no signature can be judged.
    """

    __slots__ = ("_places", "_relaxed", "complete", "fields")

    def __init__(self, found: Split) -> None:
        self.fields: Sequence[Field] = fields(found.headers)
        self.complete = not found.truncated and len(self.fields) <= FIELDS_LIMIT
        self._relaxed: dict[int, bytes] = {}
        self._places: dict[bytes, list[int]] = {}
        for place, field in enumerate(self.fields):
            self._places.setdefault(field.name.lower(), []).append(place)
        self._places.pop(b"", None)  # octets that are no field

    def places(self, name: bytes) -> Sequence[int]:
        """Where the fields of that name stand, from the top; compared without case."""
        return self._places.get(name.lower(), ())

    def select(self, names: Iterable[bytes], own: int | None = None) -> list[int]:
        """The fields that ``h=`` names, in its order (RFC 6376 §5.4.2).

        Each name takes the lowest field of that name that is not taken yet; a name without one adds nothing.

        Args:
            names: Field names in any case.
            own: The place of the signature's own field, which ``h=`` never means (§3.5).
        """
        chosen: list[int] = []
        left: dict[bytes, list[int]] = {}
        for name in names:
            key = name.lower()
            places = left.get(key)
            if places is None:
                places = left[key] = [place for place in self._places.get(key, ()) if place != own]
            if places:
                chosen.append(places.pop())
        return chosen

    def canonical(self, place: int, canonicalization: Canonicalization) -> bytes:
        """The field at ``place`` in the form that is hashed."""
        raw = self.fields[place].raw
        if canonicalization is Canonicalization.SIMPLE:
            return canonical_field(raw, canonicalization)
        made = self._relaxed.get(place)
        if made is None:
            made = self._relaxed[place] = relaxed_field(raw)
        return made

    def signed_octets(
        self, names: Iterable[bytes], canonicalization: Canonicalization, signature: bytes, own: int | None = None
    ) -> bytes:
        """The octets that a signature signs: the fields of ``h=``, then its own field without ``b=`` (§3.7, step 2).

        Args:
            names: The names in ``h=``.
            canonicalization: That of the header.
            signature: The octets of the signature's own field, its ``b=`` filled or empty.
            own: The place of that field in the message, if it stands there.
        """
        parts = [self.canonical(place, canonicalization) for place in self.select(names, own)]
        parts.append(canonical_field(without_signature(signature), canonicalization)[:-2])
        return b"".join(parts)
