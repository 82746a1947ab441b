"""Fields of an Authenticated Received Chain: collected from a header section, ordered, and read (RFC 8617 §4, §5.2).

A chain is valid or it is not, so everything that is wrong with a field is a ``SignatureFault``; its result word has no
meaning here.  Two things are read more tolerantly than they are written down: the instance may stand anywhere among
the tags of a signature, and its number may have a leading zero.  Words are compared with their case (RFC 6376 §3.2),
as other verifiers do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.mailauth.dkim.canonical import Canonicalization
from posthouse.mailauth.dkim.header_section import HeaderSection
from posthouse.mailauth.dkim.signature import (
    SignatureTags,
    base64_tag,
    signature_algorithm,
    signature_names,
    signature_seconds,
    signature_tags,
    tag_list,
)
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.tag_list import TagList
from posthouse.message.structured import without_comments

__all__ = [
    "AAR",
    "AMS",
    "ARC_SEAL",
    "ArcFields",
    "ArcSet",
    "Collected",
    "MOST_SETS",
    "NEVER_SIGNED",
    "SealTags",
    "arc_message_signature",
    "arc_payload",
    "arc_seal",
    "collect_fields",
    "seal_octets",
]

#: Sets of one chain (RFC 8617 §4.2.1).
MOST_SETS: Final = 50

AAR: Final = b"arc-authentication-results"
AMS: Final = b"arc-message-signature"
ARC_SEAL: Final = b"arc-seal"
#: Fields that an ARC-Message-Signature must not cover (§4.1.2); they are names in lower case.
NEVER_SIGNED: Final = frozenset(("arc-authentication-results", "arc-message-signature", "arc-seal"))

_NAMES: Final = {
    AAR: "ARC-Authentication-Results",
    AMS: "ARC-Message-Signature",
    ARC_SEAL: "ARC-Seal",
}
_POSITION: Final = re.compile(rb"[0-9]{1,2}")
_OPENING: Final = re.compile(rb"[ \t]*+i[ \t]*+=[ \t]*+([0-9]{1,2})[ \t]*+;(.*)", re.DOTALL)
#: Octets in front of the first semicolon that are looked at for comments.
_OPENING_AT_MOST: Final = 2_000
_PIECE: Final = re.compile(rb"[^();\\]++|\\.?|[();]", re.DOTALL)


class ArcFields(NamedTuple):
    """The fields of one set, as places in the header section."""

    instance: int
    results: int
    signature: int
    seal: int


class ArcSet(NamedTuple):
    """One set of a chain: what its fields say.

    Args:
        instance: Its number; 1 is the oldest.
        domain: ``d=`` of ARC-Seal: the sealer, in A-labels and lower case.
        selector: ``s=`` of ARC-Seal.
        cv: What the sealer found of the chain before: ``none``, ``pass`` or ``fail``.
        signing_domain: ``d=`` of ARC-Message-Signature.
        signing_selector: ``s=`` of ARC-Message-Signature.
        payload: What ARC-Authentication-Results has behind its instance, on one line.
        time: ``t=`` of ARC-Seal, seconds since 1970; None without it.
    """

    instance: int
    domain: str
    selector: str
    cv: str
    signing_domain: str
    signing_selector: str
    payload: str
    time: int | None = None


class SealTags(NamedTuple):
    """What an ARC-Seal field says; each field has the meaning of ``SignatureTags``."""

    algorithm: str
    signature: bytes
    domain: str
    selector: str
    cv: str
    time: int | None


class Collected(NamedTuple):
    """The ARC fields of a header section.

    Args:
        fields: The sets from 1 to N; empty if they have no valid structure.
        highest: The highest instance that any field has, 0 if none has a readable one.
        fault: What is wrong with the structure, in words; "" if nothing is.
        newest_failed: The newest seal says that the chain was broken before it (``cv=fail``).
    """

    fields: tuple[ArcFields, ...] = ()
    highest: int = 0
    fault: str = ""
    newest_failed: bool = False


def collect_fields(header: HeaderSection) -> Collected:
    """The ARC fields of a header section, and whether they form sets 1 to N of one field of each kind (§5.2, 1 to 3).

    No fields at all give no sets and no fault.
    """
    places = {name: header.places(name) for name in _NAMES}
    if not any(places.values()):
        return Collected()
    fault = "" if max(map(len, places.values())) <= MOST_SETS else f"the chain has more than {MOST_SETS} sets"
    found: dict[bytes, dict[int, int]] = {name: {} for name in _NAMES}
    for name, listed in places.items():
        for place in listed[: MOST_SETS + 1]:
            instance = _instance(name, header.fields[place].raw)
            if instance is None:
                fault = fault or f"an {_NAMES[name]} field has no valid instance (i=1 to i={MOST_SETS})"
            elif instance in found[name]:
                fault = fault or f"there are two {_NAMES[name]} fields with i={instance}"
            else:
                found[name][instance] = place
    highest = max((instance for each in found.values() for instance in each), default=0)
    newest = found[ARC_SEAL].get(highest)
    failed = newest is not None and _cv(header.fields[newest].raw) == "fail"
    for instance in range(1, highest + 1):
        for name, each in found.items():
            if instance not in each:
                fault = fault or f"the set i={instance} has no {_NAMES[name]} field"
    if fault:
        return Collected((), highest, fault, failed)
    sets = tuple(
        ArcFields(each, found[AAR][each], found[AMS][each], found[ARC_SEAL][each]) for each in range(1, highest + 1)
    )
    return Collected(sets, highest, "", failed)


def _instance(name: bytes, raw: bytes) -> int | None:
    """The instance of a field; None if it has no valid one."""
    if name == AAR:
        opening = _opening(raw)
        number = None if opening is None else opening[1]
    else:
        try:
            number = _tags(raw).get("i", "").encode()
        except SignatureFault:
            return None
    if number is None or _POSITION.fullmatch(number) is None:
        return None
    return int(number) if 1 <= int(number) <= MOST_SETS else None


def _opening(raw: bytes) -> re.Match[bytes] | None:
    """The instance and the payload of an ARC-Authentication-Results field."""
    return _OPENING.fullmatch(_uncommented(raw.partition(b":")[2].replace(b"\r\n", b"")))


def _uncommented(value: bytes) -> bytes:
    """A value without the comments in front of its first semicolon: there, and nowhere else, ARC's grammar has them."""
    if b"(" not in value:
        return value
    depth = 0
    for piece in _PIECE.finditer(value, 0, _OPENING_AT_MOST):
        depth += {b"(": 1, b")": -1}.get(piece[0], 0)
        if piece[0] == b";" and not depth:
            return without_comments(value[: piece.end()]) + value[piece.end() :]
    return value


def _tags(raw: bytes) -> TagList:
    name, _, value = raw.partition(b":")
    return tag_list(name + b":" + _uncommented(value))


def _cv(raw: bytes) -> str:
    try:
        return _tags(raw).get("cv", "")
    except SignatureFault:
        return ""


def arc_payload(raw: bytes) -> str:
    """What an ARC-Authentication-Results field has behind its instance."""
    opening = _opening(raw)
    return "" if opening is None else opening[2].decode("utf-8", "replace").strip()


def arc_message_signature(raw: bytes) -> SignatureTags:
    """The content of an ARC-Message-Signature field (§4.1.2).

    Raises:
        SignatureFault: A tag is missing or malformed, From is not signed, or one of ARC's own fields is.
    """
    tags = _tags(raw)
    _check_case(tags)
    found = signature_tags({name: value for name, value in tags.items() if name not in ("i", "v")})
    if "from" not in found.fields:
        raise SignatureFault("permerror", "the From field is not signed: h= does not name it")
    wrong = NEVER_SIGNED.intersection(found.fields)
    if wrong:
        raise SignatureFault("permerror", f"h= names {min(wrong)}, which ARC-Message-Signature must not sign")
    return found


def arc_seal(raw: bytes, instance: int) -> SealTags:
    """The content of an ARC-Seal field (§4.1.3).

    Raises:
        SignatureFault: A tag is missing or malformed, ``h=`` is there, or ``cv`` is not what the instance demands.
    """
    tags = _tags(raw)
    if "h" in tags:
        raise SignatureFault("permerror", "the ARC-Seal has an h= tag, which is not allowed")
    for name in ("a", "b", "cv", "d", "s"):
        if name not in tags:
            raise SignatureFault("permerror", f"the ARC-Seal has no {name}= tag, which is required")
    _check_case(tags)
    cv, wanted = tags["cv"], "none" if instance == 1 else "pass"
    if cv != wanted:
        raise SignatureFault("permerror", f"cv={cv:.20}, and the set i={instance} must have cv={wanted}")
    domain, selector = signature_names(tags)
    return SealTags(
        signature_algorithm(tags), base64_tag(tags, "b"), domain, selector, cv, signature_seconds(tags, "t")
    )


def _check_case(tags: TagList) -> None:
    for name in ("a", "c"):
        value = tags.get(name, "")
        if value != value.lower():
            raise SignatureFault("permerror", f"{name}={value:.40} is not known; the words of tags have small letters")


def seal_octets(header: HeaderSection, sets: Sequence[ArcFields], seal: bytes) -> bytes:
    """The octets that a seal signs (§5.1.1): all fields of the sets in their order, the newest seal last.

    Args:
        header: The header section.
        sets: The sets from 1 to the one of the seal.
        seal: The canonical octets of that seal's own field, its ``b=`` empty, without the last CRLF.
    """
    places = [place for each in sets for place in (each.results, each.signature, each.seal)][:-1]
    return b"".join(header.canonical(place, Canonicalization.RELAXED) for place in places) + seal
