"""Signing of messages (RFC 6376 §5): with several keys at once, over one canonicalization, while the message passes by.

The header fields that a reader sees are signed once more than they are there, so that nobody can add another
(oversigning, §5.4.2 and §8.15).  ``l=`` is never written: it lets anybody add to the body.

The signatures of one key differ in times and hashes alone, whose lengths are the same: how a field is folded, and what
it looks like in its canonical form, is found out once and kept (``_frame``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from posthouse.core import LocalError, SettingError
from posthouse.mailauth.arguments import demand_names, demand_text
from posthouse.mailauth.dkim.body_hash import BodyForm, MessageHasher
from posthouse.mailauth.dkim.canonical import Canonicalization, header_and_body
from posthouse.mailauth.dkim.header_section import HeaderSection, canonical_field
from posthouse.mailauth.dkim.keys import DkimKey, demand_key
from posthouse.mailauth.octets import MessageOctets, message_chunks
from posthouse.mailauth.wall_time import seconds_now

__all__ = ["DkimSigner", "OVERSIGNED", "SIGNED", "SigningOptions", "folded_base64", "folded_tags", "sign_dkim"]

OVERSIGNED: Final = (
    "From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
)  # fmt: skip
"""Fields that are signed once more than they are there."""

SIGNED: Final = (
    "Sender", "In-Reply-To", "References", "Content-Disposition", "Content-Description", "List-Id", "List-Help",
    "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
)  # fmt: skip
"""Fields that are signed as often as they are there; mailing lists add some of them later."""

_WIDTH: Final = 78
_NAME = re.compile(r"[!-9;-~]++")
_NEVER: Final = frozenset({"dkim-signature", "return-path", "received"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOLES = re.compile(rb"\x00++")
#: Names in h= of a signature whose form is kept.
_MOST_NAMES: Final = 64


class SigningOptions(NamedTuple):
    """How messages are signed.

    Args:
        canonicalization: ``c=``: "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple", of header and
            body.
        oversigned: Fields that are signed once more than they are there; From is one of them in any case.
        signed: Fields that are signed as often as they are there.
        lifetime: Seconds until the signature expires (``x=``); None for a signature that does not.
        identity: ``i=``, "user@domain" or "@domain" of the key's domain or below it; "" for none.
    """

    canonicalization: str = "relaxed/relaxed"
    oversigned: Sequence[str] = OVERSIGNED
    signed: Sequence[str] = SIGNED
    lifetime: int | None = None
    identity: str = ""


_Keys = Sequence[DkimKey] | Callable[[HeaderSection], Sequence[DkimKey]]
"""The keys that sign, or a function that chooses them by the header section."""


class DkimSigner:
    """The signatures that one message gets.

    A ``MessageHasher`` gets ``plan`` and then the message as it will be sent; after its ``finish()``, ``fields`` gives
    the signatures to put in front of it.

    Args:
        keys: The keys, each for one signature, or a function that is called with the header section and returns them;
            without keys there is no signature.
        options: How it is signed.
        now: Seconds since 1970 for ``t=``; None is the system's time.

    Raises:
        SettingError: An option is wrong, or ``identity`` is outside the domain of a key.
    """

    __slots__ = ("_body", "_header", "_keys", "_now", "_options")

    def __init__(
        self,
        keys: _Keys,
        options: SigningOptions = SigningOptions(),  # noqa: B008 — frozen
        now: float | None = None,
    ) -> None:
        self._keys = keys
        self._options = options
        self._now = seconds_now(now)
        demand_text(options.canonicalization, "canonicalization", "relaxed/relaxed")
        self._header, body = header_and_body(options.canonicalization)
        self._body = BodyForm(body)
        if isinstance(options.oversigned, str) or isinstance(options.signed, str):
            raise TypeError("oversigned and signed are lists of field names, not one text; write ['From', 'Subject']")
        _check_names((*options.oversigned, *options.signed))
        if options.lifetime is not None and options.lifetime < 1:
            raise SettingError("a signature cannot expire before it is made", remedy="write a lifetime of 1 s or more")
        if not callable(keys):
            for key in keys:
                demand_key(key)
            self._check_identity(keys)

    def plan(self, header: HeaderSection) -> list[BodyForm]:
        """Choose the keys, and name the form of the body that they sign."""
        if callable(self._keys):
            self._keys = tuple(self._keys(header))
            self._check_identity(self._keys)
        return [self._body] if self._keys else []

    def fields(self, hasher: MessageHasher) -> bytes:
        """The signature fields, one for each key, each with its CRLF; they stand in front of the message.

        Raises:
            LocalError: The message has no From field, or a header section too long to be signed.
        """
        header, keys = hasher.header, self._keys
        assert header is not None, "the message has not ended: call finish() first"
        if callable(keys) or not keys:
            return b""
        if not header.complete:
            raise LocalError("the header section is too long to be signed")
        if not header.places(b"from"):
            raise LocalError(
                "the message has no From field, which a signature must cover (RFC 6376 section 5.4); add one"
            )
        options = self._options
        wanted = _signed_fields(tuple(options.oversigned), tuple(options.signed))
        counts = header.counts(wanted.keys)
        few = sum(counts) + len(counts) <= _MOST_NAMES
        names, octets = (_listed if few else _listed.__wrapped__)(wanted, counts)
        values = [b"%d" % self._now]
        if options.lifetime is not None:
            values.append(b"%d" % (self._now + int(options.lifetime)))
        values.append(base64.b64encode(hasher.body_hash(self._body).digest))
        lengths = tuple(map(len, values))
        made: list[bytes] = []
        for key in keys:
            terms = (key.algorithm, options.canonicalization, key.domain, key.selector, options.identity)
            frame = (_frame if few else _frame.__wrapped__)(terms, names, lengths, self._header)
            filled = tuple(values)
            signed = header.signed_octets(octets, self._header, canonical=frame.canonical % filled)
            made += frame.field % filled, folded_base64(key.sign(signed)), b"\r\n"
        return b"".join(made)

    def _check_identity(self, keys: Iterable[DkimKey]) -> None:
        identity = self._options.identity
        if not identity:
            return
        _, at, host = identity.rpartition("@")
        for key in keys:
            fits = at and (host.lower() == key.domain or host.lower().endswith(f".{key.domain}"))
            if not fits or not identity.isascii() or _CONTROL.search(identity):
                raise SettingError(
                    f"the identity {identity!r:.80} is not in the domain {key.domain} of the key",
                    remedy=f"write user@{key.domain} or @{key.domain}",
                )


class _SignedFields(NamedTuple):
    """The fields that are signed: ``keys`` as ``HeaderSection.counts`` takes them, ``over`` which are oversigned."""

    names: tuple[str, ...]
    keys: tuple[bytes, ...]
    over: tuple[bool, ...]


@lru_cache(maxsize=64)
def _signed_fields(oversigned: tuple[str, ...], signed: tuple[str, ...]) -> _SignedFields:
    names: dict[str, str] = {}
    for name in ("From", *oversigned, *signed):
        names.setdefault(name.lower(), name)
    over = {name.lower() for name in oversigned} | {"from"}
    keys = tuple(f"{key}:".encode() for key in names)
    return _SignedFields(tuple(names.values()), keys, tuple(key in over for key in names))


@lru_cache(maxsize=512)
def _listed(wanted: _SignedFields, counts: tuple[int, ...]) -> tuple[str, tuple[bytes, ...]]:
    """``h=``, each field as often as it is there, oversigned ones once more: as a text, and as a list."""
    names, _, over = wanted
    found = [name for name, count, more in zip(names, counts, over, strict=True) for _ in range(count + more)]
    return ":".join(found), tuple(name.encode() for name in found)


class _SignatureFrame(NamedTuple):
    """The field of a signature up to the end of ``b=``, ``%b`` in place of each value that differs from message to
    message: as it is written, and in the form that is hashed, without its CRLF."""

    field: bytes
    canonical: bytes


@lru_cache(maxsize=512)
def _frame(
    terms: tuple[str, str, str, str, str], names: str, lengths: tuple[int, ...], header: Canonicalization
) -> _SignatureFrame:
    """The frame of ``a=``, ``c=``, ``d=``, ``s=``, ``i=`` and ``h=`` for values of these lengths: ``t=``, ``x=`` if
    there are three, and ``bh=``."""
    algorithm, canonicalization, domain, selector, identity = terms
    holes = ["\0" * length for length in lengths]
    tags = [("v", "1"), ("a", algorithm), ("c", canonicalization), ("d", domain), ("s", selector), ("t", holes[0])]
    if len(holes) == 3:
        tags.append(("x", holes[1]))
    if identity:
        tags.append(("i", _quoted(identity)))
    field = folded_tags("DKIM-Signature", [*tags, ("h", names), ("bh", holes[-1])]).replace(b"%", b"%%")
    return _SignatureFrame(_HOLES.sub(b"%b", field), _HOLES.sub(b"%b", canonical_field(field, header)[:-2]))


@lru_cache(maxsize=64)
def _check_names(names: tuple[str, ...]) -> None:
    """Raise ``TypeError`` or ``SettingError`` for what is no field that can be signed."""
    demand_names(names, "oversigned and signed")
    for name in names:
        if _NAME.fullmatch(name) is None or name.lower() in _NEVER or ";" in name:
            raise SettingError(f"the field {name!r:.40} cannot be signed", remedy="leave it out")


def _quoted(identity: str) -> str:
    """An identity in dkim-quoted-printable (§2.11)."""
    return "".join(sign if "!" <= sign <= "~" and sign not in ";=" else f"={ord(sign):02X}" for sign in identity)


def folded_tags(name: str, tags: Iterable[tuple[str, str]]) -> bytes:
    """A field of tags, folded at 78 octets, that ends with an empty ``b=`` for the signature; without the last CRLF.

    A value is folded only behind a colon; ARC's fields are written with it too.
    """
    lines: list[str] = []
    line = f"{name}:"
    for tag, value in [*tags, ("b", "")]:
        end = ";" if tag != "b" else ""
        pieces = value.split(":")
        first, *rest = [f"{tag}={pieces[0]}", *pieces[1:]]
        text = [f" {first}", *(f"{piece}" for piece in rest)]
        for number, piece in enumerate(text):
            piece += ":" if number < len(text) - 1 else end
            if tag == "b" or len(line) + len(piece) > _WIDTH:
                lines.append(line)
                line = f" {piece.removeprefix(' ')}"
            else:
                line += piece
    return "\r\n".join([*lines, line]).encode()


def folded_base64(signature: bytes) -> bytes:
    """The value of ``b=``, folded at 78 octets; the first line has " b=" before it."""
    text = base64.b64encode(signature)
    first = _WIDTH - len(" b=")
    rest = range(first, len(text), _WIDTH - 1)
    return b"\r\n ".join([text[:first], *(text[start : start + _WIDTH - 1] for start in rest)])


def _keys_of(given: object) -> tuple[DkimKey, ...]:
    """One key or several.  Raises ``TypeError`` for what is no key."""
    keys: tuple[Any, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, str)):
        keys = tuple(given)
    for each in keys:
        demand_key(each)
    return keys


def sign_dkim(
    message: MessageOctets,
    key: DkimKey | Sequence[DkimKey],
    *,
    canonicalization: str = "relaxed/relaxed",
    oversigned: Sequence[str] = OVERSIGNED,
    signed: Sequence[str] = SIGNED,
    lifetime: int | None = None,
    identity: str = "",
    now: float | None = None,
) -> bytes:
    """The DKIM-Signature field or fields of a message, to be put in front of it: ``sign_dkim(message, key) + message``.

    Args:
        message: The message as it will be sent; a text whose line ends are LF is signed as the CRLF text that it will
            be, and the fields then have LF too.  Chunks are read once, in bounded memory.
        key: One key, or several for a signature each (RSA and Ed25519: RFC 8463 §6).
        canonicalization: Of header and body: "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple".
        oversigned: Fields that are signed once more than they are there, so that no other can be added.
        signed: Fields that are signed as often as they are there.
        lifetime: Seconds until the signature expires (``x=``); None for never.
        identity: ``i=``: "user@domain" or "@domain"; "" for none.
        now: Seconds since 1970 for ``t=``; None is the system's time.

    Raises:
        LocalError: The message has no From field, or a header section too long to be signed.
        SettingError: An option is wrong, or there is no key.
        TypeError: The message is text, whose octets are what is signed, or an argument is of another type.
    """
    chunks, line_end = message_chunks(message)
    keys = _keys_of(key)
    if not keys:
        raise SettingError("there is no key to sign with", remedy="give a DkimKey")
    options = SigningOptions(canonicalization, oversigned, signed, lifetime, identity)
    signer = DkimSigner(keys, options, now)
    hasher = MessageHasher(signer.plan)
    for chunk in chunks:
        hasher.write(chunk)
    hasher.finish()
    fields = signer.fields(hasher)
    return fields if line_end == b"\r\n" else fields.replace(b"\r\n", line_end)
