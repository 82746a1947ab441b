"""Sealing of messages: a set is added to the chain, or begins one (RFC 8617 §5.1).

A set is three fields: what this host found out about the message when it came in (ARC-Authentication-Results), a
signature of the message as it leaves (ARC-Message-Signature), and the seal over all fields of the chain (ARC-Seal).
Every change of the message comes before.  A chain that is broken gets one set with ``cv=fail``, whose seal signs itself
alone, and then nothing more (§5.1.2).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from posthouse.core import LocalError, SettingError
from posthouse.mailauth.arc.arc_fields import (
    MOST_SETS,
    NEVER_SIGNED,
    ArcFields,
    collect_fields,
    seal_octets,
)
from posthouse.mailauth.arc.arc_result import ArcResult
from posthouse.mailauth.arc.arc_validation import ArcVerifier
from posthouse.mailauth.arguments import demand_names, demand_text
from posthouse.mailauth.dkim.body_hash import BodyForm, MessageHasher
from posthouse.mailauth.dkim.canonical import Canonicalization, header_and_body, relaxed_field
from posthouse.mailauth.dkim.header_section import HeaderSection
from posthouse.mailauth.dkim.keys import DkimKey, demand_key
from posthouse.mailauth.dkim.signing import OVERSIGNED, SIGNED, folded_base64, folded_tags
from posthouse.mailauth.octets import MessageOctets, message_chunks
from posthouse.mailauth.questions import Check
from posthouse.mailauth.results import (
    AuthenticationResults,
    MethodResult,
    ResultProperty,
    UnreadableResults,
    read_results,
    write_results,
)
from posthouse.mailauth.wall_time import seconds_now

__all__ = ["ArcSealer", "SealingOptions", "seal_arc"]

_RESULTS: Final = b"authentication-results"
_SIGNATURES: Final = "DKIM-Signature"
_NAME: Final = re.compile(r"[!-9;-~]++")
_UNSIGNABLE: Final = NEVER_SIGNED | {"authentication-results", "return-path", "received"}


class SealingOptions(NamedTuple):
    """How messages are sealed.

    Args:
        canonicalization: ``c=`` of ARC-Message-Signature, of header and body.
        fields: The names in its ``h=``, in order, each as often as it is wanted; None for those that DKIM signs, once
            more than they are there, and all DKIM signatures.  From is one of them in any case.
    """

    canonicalization: str = "relaxed/relaxed"
    fields: Sequence[str] | None = None


class ArcSealer:
    """The set that one message gets.

    A ``MessageHasher`` gets ``plan`` and then the message as it will be sent; after its ``finish()``, ``seal`` gives
    the fields to put in front of it.

    Args:
        key: The key that signs both fields, RSA or Ed25519; other hosts may not know Ed25519 here.
        authserv_id: The name of this authentication service, as in its Authentication-Results fields.
        options: How it is sealed.
        now: Seconds since 1970 for ``t=``; None is the system's time.

    Raises:
        SettingError: An option is wrong.
    """

    __slots__ = ("_authserv_id", "_body", "_header", "_key", "_now", "_options")

    def __init__(
        self,
        key: DkimKey,
        authserv_id: str,
        options: SealingOptions = SealingOptions(),  # noqa: B008 — frozen
        now: float | None = None,
    ) -> None:
        demand_key(key)
        demand_text(authserv_id, "authserv_id", "mx.example.org")
        demand_text(options.canonicalization, "canonicalization", "relaxed/relaxed")
        demand_names(options.fields, "fields")
        self._header, body = header_and_body(options.canonicalization)
        self._body = BodyForm(body)
        for name in options.fields or ():
            if _NAME.fullmatch(name) is None or name.lower() in _UNSIGNABLE or ";" in name:
                raise SettingError(f"ARC cannot sign the field {name!r:.40}", remedy="leave it out")
        if not authserv_id:
            raise SettingError("ARC needs an authserv-id", remedy="give the name of this host or domain")
        self._key = key
        self._authserv_id = authserv_id
        self._options = options
        self._now = seconds_now(now)

    def plan(self, header: HeaderSection) -> list[BodyForm]:
        """Name the form of the body that is signed."""
        return [self._body]

    def seal(self, hasher: MessageHasher, arc: ArcResult, results: Collection[MethodResult] | None = None) -> bytes:
        """The three fields, each with its CRLF: ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results.

        Args:
            hasher: Has had the plan and the whole message as it will be sent.
            arc: What ``verify_arc`` said of the message when it came in.
            results: What this host found out about the message; None to take all results from its fields
                Authentication-Results that have our authserv-id, which is right only if forged ones were removed.
                The result of ARC is added if none is among them and the message had a chain.

        Returns:
            The fields, or b"" if nothing may be added: the newest seal says ``cv=fail`` (§5.1, step 2), or the chain
            has 50 sets.

        Raises:
            LocalError: The message has no From field, or a header section too long to be signed.
        """
        header = hasher.header
        assert header is not None, "the message has not ended: call finish() first"
        if not header.complete:
            raise LocalError("the header section is too long to be sealed")
        if not header.places(b"from"):
            raise LocalError("the message has no From field, which a signature must cover; add one")
        instance = arc.highest + 1
        if arc.newest_failed or instance > MOST_SETS:
            return b""
        sets: tuple[ArcFields, ...] = ()
        if arc.result == "pass":
            found = collect_fields(header)
            sets = found.fields
            if found.highest != arc.highest or not sets:
                raise LocalError("the message has another ARC chain than the one that was validated; seal it unchanged")
        assessment = self._assessment(header, instance, arc, results)
        signature = self._signature(header, hasher, instance)
        seal = folded_tags(
            "ARC-Seal",
            [
                ("i", str(instance)),
                ("a", self._key.algorithm),
                ("cv", arc.result),
                ("d", self._key.domain),
                ("s", self._key.selector),
                ("t", str(self._now)),
            ],
        )
        own = relaxed_field(assessment) + relaxed_field(signature) + relaxed_field(seal)[:-2]
        signed = self._key.sign(_earlier(header, sets) + own)
        return seal + folded_base64(signed) + b"\r\n" + signature + assessment

    def _signature(self, header: HeaderSection, hasher: MessageHasher, instance: int) -> bytes:
        """The ARC-Message-Signature field (§4.1.2)."""
        names = self._names(header)
        field = folded_tags(
            "ARC-Message-Signature",
            [
                ("i", str(instance)),
                ("a", self._key.algorithm),
                ("c", self._options.canonicalization),
                ("d", self._key.domain),
                ("s", self._key.selector),
                ("t", str(self._now)),
                ("h", ":".join(names)),
                ("bh", base64.b64encode(hasher.body_hash(self._body).digest).decode()),
            ],
        )
        octets = header.signed_octets([name.encode() for name in names], self._header, field)
        return field + folded_base64(self._key.sign(octets)) + b"\r\n"

    def _names(self, header: HeaderSection) -> list[str]:
        """``h=``: DKIM's fields, each once more than it is there, and the DKIM signatures, which others may verify."""
        if self._options.fields is not None:
            given = list(self._options.fields)
            return given if "from" in map(str.lower, given) else ["From", *given]
        names = [name for name in OVERSIGNED for _ in range(len(header.places(name.encode())) + 1)]
        return names + [name for name in (*SIGNED, _SIGNATURES) for _ in header.places(name.encode())]

    def _assessment(
        self, header: HeaderSection, instance: int, arc: ArcResult, results: Collection[MethodResult] | None
    ) -> bytes:
        """The ARC-Authentication-Results field (§4.1.1)."""
        found = list(self._own_results(header) if results is None else results)
        if arc.result != "none" and not any(each.method == "arc" for each in found):
            oldest = () if arc.oldest_pass is None else (ResultProperty("header", "oldest-pass", str(arc.oldest_pass)),)
            found.append(MethodResult("arc", arc.result, oldest))
        return write_results(AuthenticationResults(self._authserv_id, tuple(found)), instance)

    def _own_results(self, header: HeaderSection) -> Iterable[MethodResult]:
        """The results in the Authentication-Results fields of this service, from the topmost field to the lowest."""
        for place in header.places(_RESULTS):
            try:
                read = read_results(header.fields[place].value)
            except UnreadableResults:
                continue
            if read.authserv_id.lower() == self._authserv_id.lower():
                yield from read.results


def _earlier(header: HeaderSection, sets: Sequence[ArcFields]) -> bytes:
    """The canonical octets of the sets that were there."""
    if not sets:
        return b""
    newest = header.canonical(sets[-1].seal, Canonicalization.RELAXED)
    return seal_octets(header, sets, newest)


def seal_arc(
    message: MessageOctets,
    key: DkimKey,
    authserv_id: str,
    *,
    results: Collection[MethodResult] | None = None,
    arc: ArcResult | None = None,
    canonicalization: str = "relaxed/relaxed",
    fields: Sequence[str] | None = None,
    now: float | None = None,
) -> Check[bytes]:
    """Check that validates the chain of a message and seals it; ``answer`` or ``await ask`` runs it.

        fields = answer(seal_arc(message, key, "mx.example.org"), zone)
        forwarded = fields + message

    Args:
        message: The message as it will be sent, as ``sign_dkim`` takes it.  If it is changed before, validate it first
            and pass the result as ``arc``.
        key: The key that signs.
        authserv_id: The name of this authentication service.
        results: What this host found out; None to take it from the message's own Authentication-Results fields that
            have our authserv-id.
        arc: What ``verify_arc`` said of the message when it came in; None to validate it now.
        canonicalization: Of the message signature, of header and body.
        fields: The names in its ``h=``; None for those that DKIM signs.
        now: Seconds since 1970 for ``t=``; None is the system's time.

    Returns:
        The fields to put in front of the message; b"" if nothing may be added, see ``ArcSealer.seal``.

    Raises:
        LocalError: The message has no From field, or a header section too long to be signed.
        SettingError: An option is wrong.
        TypeError: The message is text, whose octets are what is signed, or an argument is of another type.
    """
    chunks, line_end = message_chunks(message)
    if not (arc is None or isinstance(arc, ArcResult)):
        raise TypeError(f"arc is what verify_arc said (an ArcResult), not {type(arc).__name__}")
    sealer = ArcSealer(key, authserv_id, SealingOptions(canonicalization, fields), now)
    return _sealed(sealer, ArcVerifier(now) if arc is None else arc, chunks, results, line_end)


def _sealed(
    sealer: ArcSealer,
    arc: ArcVerifier | ArcResult,
    chunks: Iterable[bytes],
    results: Collection[MethodResult] | None,
    line_end: bytes,
) -> Check[bytes]:
    plans = (sealer.plan,) if isinstance(arc, ArcResult) else (sealer.plan, arc.plan)
    hasher = MessageHasher(*plans)
    for chunk in chunks:
        hasher.write(chunk)
    hasher.finish()
    found = arc if isinstance(arc, ArcResult) else (yield from arc.check(hasher))
    fields = sealer.seal(hasher, found, results)
    return fields if line_end == b"\r\n" else fields.replace(b"\r\n", line_end)
