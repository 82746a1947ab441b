"""Header section of a message as signatures see it: fields chosen from the bottom up, canonicalized once each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from posthouse.mailauth.dkim.canonical import Canonicalization, reduced, relaxed_field
from posthouse.message.headers import FIELDS_LIMIT, Field, Split, fields

__all__ = ["HeaderSection", "canonical_field", "without_signature"]

# A field's name.  What has white space before the colon is read slowly: once unfolded, the obsolete space of RFC 5322
# §4.5 looks like a line end there, and that begins no field.
_NAME = re.compile(rb"[!-9;-~]++")
# The b= tag, first in the list, or behind a semicolon.  An expression that begins with one octet is searched fast.
_FIRST_TAG = re.compile(rb"[^:]*+:[ \t\r\n]*+b[ \t\r\n]*+=([^;]*+)")
_LATER_TAG = re.compile(rb";[ \t\r\n]*+b[ \t\r\n]*+=([^;]*+)")


def without_signature(raw: bytes) -> bytes:
    """A signature's field with an empty ``b=`` (RFC 6376 §3.7): the value and the white space around it are removed.

    Args:
        raw: The octets of the field, with its last CRLF or without; the result has none.  A field without ``b=`` is
            left as it is.
    """
    plain = raw.removesuffix(b"\r\n")
    found = _FIRST_TAG.match(plain) or _LATER_TAG.search(plain)
    return plain if found is None else plain[: found.start(1)] + plain[found.end(1) :]


def canonical_field(raw: bytes, canonicalization: Canonicalization) -> bytes:
    """One field in the form that is hashed, with one CRLF at its end."""
    if canonicalization is Canonicalization.RELAXED:
        return relaxed_field(raw)
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


#: What stands before the colon of a field → its key: the name in lower case, and the colon.  The same ones come with
#: every message; at most 1,024 of them are kept.
_known_keys: dict[bytes, bytes] = {}


def _key(name: bytes) -> bytes | None:
    """The key of a field; None if its name is no name."""
    if _NAME.fullmatch(name) is None:
        return None
    key = name.lower() + b":"
    if len(name) < 64 and len(_known_keys) < 1_024:
        _known_keys[name] = key
    return key


class _Wanted(NamedTuple):
    """The fields that a list of names means.

    Attributes:
        each: The key of each name, and how many times it has stood in the list, this one included.
        keys: Each key once, in order.
        repeated: The keys that stand in the list more than once.
    """

    each: tuple[tuple[bytes, int], ...]
    keys: dict[bytes, None]
    repeated: frozenset[bytes]


def _wanted_fields(names: Iterable[bytes] | Iterable[str]) -> _Wanted:
    listed = names if isinstance(names, tuple) else tuple(names)
    return _wanted(listed) if len(listed) <= 64 else _wanted.__wrapped__(listed)


@lru_cache(maxsize=512)
def _wanted(names: tuple[bytes, ...] | tuple[str, ...]) -> _Wanted:
    counts: dict[bytes, int] = {}
    found = []
    for name in names:
        key = (name.encode() if isinstance(name, str) else name).lower() + b":"
        counts[key] = counts.get(key, 0) + 1
        found.append((key, counts[key]))
    repeated = frozenset(key for key, count in counts.items() if count > 1)
    return _Wanted(tuple(found), dict.fromkeys(counts), repeated)


class HeaderSection:
    """The fields of one message.  The relaxed form of all is made at once, however many signatures sign them.

    Args:
        found: The header section and where it ends (``posthouse.message.headers.split``).

    Attributes:
        octets: The header section as it was received.
        complete: False if the section is longer than ``HEADER_LIMIT`` octets or has more than ``FIELDS_LIMIT`` fields.
            Not all of its fields are known then, and no signature can be judged.
    """

    __slots__ = ("_fields", "_keys", "_lines", "_lowest", "_repeated", "complete", "octets")

    def __init__(self, found: Split) -> None:
        self.octets = found.headers
        self._fields: Sequence[Field] | None = None
        # Unfolding before the section is cut into lines is 6 times as fast as doing it field by field; rsplit() and
        # join() do it in half the time of replace().
        unfolded = b" ".join(found.headers.replace(b"\t", b" ").rsplit(b"\r\n "))
        lines = (unfolded if unfolded.rfind(b"  ") < 0 else reduced(unfolded)).rsplit(b"\r\n")
        if not lines[-1]:
            lines.pop()
        self._keys: list[bytes] = []
        self._lines = lines
        #: The value of the lowest field of each name.
        self._lowest: dict[bytes, bytes] = {}
        keys, lowest = self._keys, self._lowest
        for line in lines:
            name, colon, value = line.partition(b":")
            key = _known_keys.get(name) or _key(name)
            if key is None or not colon:
                break
            keys.append(key)
            lowest[key] = value
        if len(keys) < len(lines) or len(lines) > FIELDS_LIMIT:
            self._read_slowly()
        self.complete = not found.truncated and len(self._keys) <= FIELDS_LIMIT
        #: The places of all fields by name, where a name stands more than once.
        self._repeated: dict[bytes, list[int]] | None = None
        if len(self._lowest) < len(self._keys):
            self._find_repeated()

    def _read_slowly(self) -> None:
        """Read a section in which lines stand that are neither fields nor folded, or too many fields."""
        self._keys = [field.name.lower() + b":" for field in self.fields]
        self._lines = [relaxed_field(field.raw)[:-2] for field in self.fields]
        self._lowest = {key: line.partition(b":")[2] for key, line in zip(self._keys, self._lines, strict=True)}
        self._lowest.pop(b":", None)  # octets that are no field

    def _find_repeated(self) -> None:
        places = self._repeated = {}
        for place, key in enumerate(self._keys):
            if key in places:
                places[key].append(place)
            else:
                places[key] = [place]
        places.pop(b":", None)

    @property
    def fields(self) -> Sequence[Field]:
        """The fields from top to bottom, as they were received."""
        if self._fields is None:
            self._fields = fields(self.octets)
        return self._fields

    def places(self, name: bytes) -> Sequence[int]:
        """Where the fields of that name stand, from the top; compared without case."""
        key = name.lower() + b":"
        if self._repeated is None:
            return (self._keys.index(key),) if key in self._lowest else ()
        return self._repeated.get(key, ())

    def counts(self, keys: Sequence[bytes]) -> tuple[int, ...]:
        """How many fields there are of each name; ``keys`` are the names in lower case, each with its colon."""
        repeated, lowest = self._repeated, self._lowest
        if repeated is None:
            return tuple([1 if key in lowest else 0 for key in keys])
        return tuple([len(repeated.get(key, ())) for key in keys])

    def _places(self, key: bytes) -> Sequence[int]:
        if self._repeated is not None:
            return self._repeated.get(key, ())
        return (self._keys.index(key),) if key in self._lowest else ()

    def select(self, names: Iterable[bytes] | Iterable[str], own: int | None = None) -> list[int]:
        """The fields that ``h=`` names, in its order (RFC 6376 §5.4.2).

        Each name takes the lowest field of that name that is not taken yet; a name without one adds nothing.

        Args:
            names: Field names in any case.
            own: The place of the signature's own field, which ``h=`` never means (§3.5).
        """
        wanted = _wanted_fields(names)
        others = () if own is None else [place for place in self._places(self._keys[own]) if place != own]
        chosen = []
        for key, count in wanted.each:
            found = others if own is not None and key == self._keys[own] else self._places(key)
            if count <= len(found):
                chosen.append(found[-count])
        return chosen

    def value(self, place: int) -> bytes:
        """The value of the field at ``place`` on one line, each run of white space in it one space."""
        return self._lines[place].partition(b":")[2].strip(b" ")

    def canonical(self, place: int, canonicalization: Canonicalization) -> bytes:
        """The field at ``place`` in the form that is hashed."""
        if canonicalization is Canonicalization.SIMPLE:
            return canonical_field(self.fields[place].raw, canonicalization)
        return self._keys[place] + self.value(place) + b"\r\n"

    def signed_octets(
        self,
        names: Iterable[bytes] | Iterable[str],
        canonicalization: Canonicalization,
        signature: bytes | None = None,
        own: int | None = None,
        *,
        canonical: bytes | None = None,
    ) -> bytes:
        """The octets that a signature signs: the fields of ``h=``, then its own field without ``b=`` (§3.7, step 2).

        Args:
            names: The names in ``h=``, in any case.
            canonicalization: That of the header.
            signature: The octets of the signature's own field, its ``b=`` filled or empty; None for the field at
                ``own``.
            own: The place of that field in the message, if it stands there.
            canonical: That field as it is hashed, without its CRLF, in place of ``signature``.
        """
        if canonicalization is Canonicalization.SIMPLE:
            lines = [self.canonical(place, canonicalization)[:-2] for place in self.select(names, own)]
        else:
            wanted = _wanted(names) if isinstance(names, tuple) and len(names) <= 64 else _wanted_fields(names)
            lowest, repeated = self._lowest, self._repeated
            if (own is None or self._keys[own] not in wanted.keys) and (
                repeated is None or all(len(repeated.get(key, ())) < 2 for key in wanted.repeated)
            ):  # of each name one field at most is chosen, the lowest
                lines = [key + value.strip(b" ") for key in wanted.keys if (value := lowest.get(key)) is not None]
            else:
                lines = [self._keys[place] + self.value(place) for place in self.select(names, own)]
        if canonical is not None:
            lines.append(canonical)
        elif signature is not None:
            lines.append(canonical_field(without_signature(signature), canonicalization)[:-2])
        elif own is not None:
            # Whether b= is taken out before or after the relaxed form is made: the result is the same.
            if canonicalization is Canonicalization.RELAXED:
                line = self._keys[own] + self._lines[own].partition(b":")[2].strip(b" ")
            else:
                line = self.fields[own].raw.removesuffix(b"\r\n")
            start = line.find(b"; b=")  # as signers write it; a list that can be read has no other b=
            if start < 0:
                lines.append(without_signature(line))
            else:
                end = line.find(b";", start + 4)
                lines.append(line[: start + 4] + (b"" if end < 0 else line[end:]))
        else:
            lines.append(b"")
        return b"\r\n".join(lines)
