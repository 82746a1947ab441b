"""Signature fields: the tags of DKIM-Signature, most of which ARC's fields share (RFC 6376 §3.5), read strictly.

Two departures from the grammar, both for names that the DNS has and that signers use: labels of ``d=`` and ``s=`` may
hold underscores, and may be U-labels (RFC 8616 §4).

Over budget: the short way through the fields of a known signer stands beside the full one, whose answers it must give.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from posthouse.mailauth.dkim.body_hash import BodyForm
from posthouse.mailauth.dkim.canonical import Canonicalization
from posthouse.mailauth.dkim.verdict import SignatureFault
from posthouse.mailauth.tag_list import Malformed64, TagFault, TagList, decode_base64, read_tags, split_list

__all__ = [
    "ALGORITHMS",
    "MOST_NAMES",
    "SignatureTags",
    "base64_tag",
    "dkim_signature",
    "signature_algorithm",
    "signature_names",
    "signature_seconds",
    "signature_tags",
    "tag_list",
    "tags_of_value",
    "usual_signature",
]

#: The algorithms of ``a=`` that count (RFC 8301, RFC 8463).
ALGORITHMS: Final = ("rsa-sha256", "ed25519-sha256")

#: Characters of i=: an address, each octet written with 3.
_LONGEST_IDENTITY: Final = 1_024
#: Names in h=; signers write 10 to 40.
MOST_NAMES: Final = 1_000

_CANONICALIZATIONS: Final = {each.value: each for each in Canonicalization}
_ALGORITHM = re.compile(r"[A-Za-z][A-Za-z0-9]*+-[A-Za-z][A-Za-z0-9]*+")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?+")
_FIELD_NAME = re.compile(r"[!-9;-~]++")
_SECONDS = re.compile(r"[0-9]{1,12}+")
_LENGTH = re.compile(r"[0-9]{1,76}+")
# dkim-quoted-printable (RFC 6376 §2.11) once its white space is gone, and what RFC 8616 adds to it.
_QUOTED = re.compile(r"(?:[!-:<>-~]|=[0-9A-F]{2}|[^\x00-\x7f])*+")
#: Characters of values that are kept once read: the same ones come with every message of a signer.
_SHORT: Final = 1_024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEX = re.compile(rb"=([0-9A-F]{2})")


class SignatureTags(NamedTuple):
    """What DKIM-Signature and ARC-Message-Signature say alike.

    Args:
        algorithm: ``a=``, one of ``ALGORITHMS``.
        signature: The octets of ``b=``.
        body_hash: The octets of ``bh=``.
        header: The canonicalization of the header, from ``c=``.
        body: The canonicalization of the body from ``c=``, and ``l=``.
        domain: ``d=`` in A-labels and lower case.
        selector: ``s=`` in A-labels and lower case.
        fields: The names in ``h=``, in lower case, in order.
        time: ``t=`` in seconds since 1970, or None.
        expires: ``x=``, likewise.
        identity: ``i=``, decoded; of a DKIM-Signature only.
    """

    algorithm: str
    signature: bytes
    body_hash: bytes
    header: Canonicalization
    body: BodyForm
    domain: str
    selector: str
    fields: tuple[str, ...]
    time: int | None
    expires: int | None
    identity: str = ""


def tag_list(raw: bytes) -> TagList:
    """The tags in the octets of one field.  Raises ``SignatureFault`` ("permerror")."""
    return tags_of_value(raw.partition(b":")[2].removesuffix(b"\r\n"))


def tags_of_value(value: bytes) -> TagList:
    """The tags in the value of one field.  Raises ``SignatureFault`` ("permerror")."""
    try:
        return read_tags(value)
    except TagFault as fault:
        raise SignatureFault("permerror", f"the signature is malformed: {fault}") from None


def dkim_signature(tags: Mapping[str, str]) -> SignatureTags:
    """The content of a DKIM-Signature field.

    Raises:
        SignatureFault: A tag is missing, malformed, or not of this version or of a known algorithm (§6.1.1).
    """
    _check_version(tags)
    found = signature_tags(tags, dkim=True)
    _check_scope(tags, found.fields)
    return found


def _check_version(tags: Mapping[str, str]) -> None:
    version = tags.get("v")
    if version is None:
        raise _missing("v")
    if version != "1":
        raise SignatureFault("permerror", f"the signature is of version {version!r:.20}, and 1 is the only one")


def _check_scope(tags: Mapping[str, str], fields: tuple[str, ...]) -> None:
    if "from" not in fields:
        raise SignatureFault("permerror", "the From field is not signed: h= does not name it")
    if "q" in tags and "dns/txt" not in _words(tags["q"], "q"):
        raise SignatureFault("neutral", f"the key is not in the DNS: q={tags['q']!r:.40}")


def signature_tags(tags: Mapping[str, str], *, dkim: bool = False) -> SignatureTags:
    """The tags that DKIM-Signature and ARC-Message-Signature share, with ``dkim`` also ``i=`` as DKIM means it.

    Raises ``SignatureFault``.
    """
    parts = _parts(tags, dkim=dkim)
    terms = _known_terms(parts) if sum(len(part) for part in parts[:-1] if part) < _SHORT else _terms(parts)
    time, expires = signature_seconds(tags, "t"), signature_seconds(tags, "x")
    if time is not None and expires is not None and expires <= time:
        raise SignatureFault("permerror", f"x= ({expires}) is not later than t= ({time})")
    body_hash = _octets_of("bh", tags["bh"])
    if len(body_hash) != 32:
        raise SignatureFault("permerror", f"bh= holds {len(body_hash)} octets, and SHA-256 has 32")
    return SignatureTags(
        terms.algorithm,
        _octets_of("b", tags["b"]),
        body_hash,
        terms.header,
        terms.body,
        terms.domain,
        terms.selector,
        terms.fields,
        time,
        expires,
        terms.identity,
    )


# The tags that differ between the messages of a signer, in the way that signers write them.
_OWN_TAGS = re.compile(rb"; ?(bh?|[tx])=([^;]*+)")


class _Template(NamedTuple):
    """A DKIM-Signature field without the values of ``b=``, ``bh=``, ``t=`` and ``x=``, as a signer repeats it.

    ``terms`` is what it says; the others are where those values stand among the values taken out, -1 for none.
    """

    terms: _SignerTerms
    signature: int
    body_hash: int
    time: int
    expires: int


def usual_signature(value: bytes) -> tuple[SignatureTags, str] | None:
    """The content of a DKIM-Signature field, and its ``b=`` without white space.

    Templates of signers are kept, at most 512 of at most 1,024 octets, and only what differs is read anew.

    Args:
        value: The value of the field on one line, each run of white space in it one space.

    Returns:
        What ``dkim_signature`` and ``tags_of_value`` find; None for what they refuse or must read in full.
    """
    pieces = _OWN_TAGS.split(value)
    own = pieces[2::3]
    if len(value) > _SHORT and len(value) - sum(map(len, own)) > _SHORT:
        return None
    del pieces[2::3]
    template = _template(tuple(pieces))
    if template is None:
        return None
    terms, at_signature, at_hash, at_time, at_end = template
    packed = own[at_signature].replace(b" ", b"")
    try:
        signature = a2b_base64(packed, strict_mode=True)
        digest = a2b_base64(own[at_hash].replace(b" ", b""), strict_mode=True)
    except ValueError:  # binascii.Error is one
        return None
    if len(digest) != 32 or not signature:
        return None
    time = end = None
    if at_time >= 0:
        digits = own[at_time]
        time = int(digits) if digits.isdigit() and len(digits) <= 12 else _digits(digits)
    if at_end >= 0:
        end = _digits(own[at_end])
        if end == -1 or (time is not None and end <= time):
            return None
    if time == -1:
        return None
    algorithm, header, body, domain, selector, fields, identity = terms
    return (
        SignatureTags(algorithm, signature, digest, header, body, domain, selector, fields, time, end, identity),
        packed.decode(),
    )


def _digits(value: bytes) -> int:
    """A time; -1 for what is none, as far as can be told at once."""
    value = value.strip(b" ")
    return int(value) if value.isdigit() and len(value) <= 12 else -1


@lru_cache(maxsize=512)
def _template(pieces: tuple[bytes, ...]) -> _Template | None:
    """The template in a field from which values were taken out: octets, name, octets, name, …, octets."""
    names = [name.decode() for name in pieces[1::2]]
    texts = [f";{name}=".encode() + rest for name, rest in zip(names, pieces[2::2], strict=True)]
    try:
        tags = read_tags(pieces[0] + b"".join(texts))
        if "b" not in names or "bh" not in names or any(name in tags and name not in names for name in ("t", "x")):
            return None
        _check_version(tags)
        terms = _terms(_parts(tags, dkim=True))
        _check_scope(tags, terms.fields)
    except (TagFault, SignatureFault):
        return None
    places = [names.index(name) if name in names else -1 for name in ("b", "bh", "t", "x")]
    return _Template(terms, *places)


class _SignerTerms(NamedTuple):
    """What all signatures of a signer say alike; each field has the meaning of ``SignatureTags``."""

    algorithm: str
    header: Canonicalization
    body: BodyForm
    domain: str
    selector: str
    fields: tuple[str, ...]
    identity: str


#: a=, c=, h=, d=, s=, l= and i= (None for what is not there), and whether they are those of a DKIM-Signature.
_TermParts: TypeAlias = tuple[str, str, str, str, str, str | None, str | None, bool]


def _terms(parts: _TermParts) -> _SignerTerms:
    """The terms in the values of their tags.  Raises ``SignatureFault``."""
    algorithm, canonicalization, names, domain, selector, length, identity, dkim = parts
    found = signature_algorithm({"a": algorithm})
    header, body = _canonicalizations(canonicalization)
    domain, selector = signature_names({"d": domain, "s": selector})
    return _SignerTerms(
        found,
        header,
        BodyForm(body, _length(length)),
        domain,
        selector,
        _fields(names),
        _identity(identity, domain) if dkim else "",
    )


_known_terms = lru_cache(maxsize=512)(_terms)


def _parts(tags: Mapping[str, str], *, dkim: bool) -> _TermParts:
    """The values that terms are read from.  Raises ``SignatureFault`` where a tag is missing."""
    try:
        algorithm, _, _, domain, names, selector = [tags[name] for name in ("a", "b", "bh", "d", "h", "s")]
    except KeyError as missing:
        raise _missing(missing.args[0]) from None
    identity = tags.get("i") if dkim else None
    return algorithm, tags.get("c", "simple/simple"), names, domain, selector, tags.get("l"), identity, dkim


def _missing(name: str) -> SignatureFault:
    return SignatureFault("permerror", f"the signature has no {name}= tag, which is required")


def base64_tag(tags: Mapping[str, str], name: str) -> bytes:
    """The octets of a tag in base64.  Raises ``SignatureFault``."""
    return _octets_of(name, tags[name])


def _octets_of(name: str, value: str) -> bytes:
    try:
        return decode_base64(value)
    except Malformed64 as fault:
        raise SignatureFault("permerror", f"{name}= is no base64 text: {fault}") from None


def signature_algorithm(tags: Mapping[str, str]) -> str:
    """``a=``, one of ``ALGORITHMS``.

    Raises ``SignatureFault``: "permerror" for SHA-1 (RFC 8301), "neutral" for what is not known.
    """
    algorithm = tags["a"].lower()
    if algorithm in ALGORITHMS:
        return algorithm
    if _ALGORITHM.fullmatch(algorithm) is None:
        raise SignatureFault("permerror", f"a={tags['a']!r:.40} is no algorithm")
    if algorithm.endswith("-sha1"):
        raise SignatureFault("permerror", f"a={algorithm}: signatures with SHA-1 do not count any more (RFC 8301)")
    raise SignatureFault("neutral", f"a={algorithm:.40} is not known; known are {' and '.join(ALGORITHMS)}")


def signature_names(tags: Mapping[str, str]) -> tuple[str, str]:
    """Domain and selector (``d=``, ``s=``) in A-labels and lower case.  Raises ``SignatureFault``."""
    domain, selector = _domain(tags["d"]), _domain(tags["s"])
    if domain is None or "." not in domain:
        raise SignatureFault("permerror", f"d={tags['d']!r:.80} is no domain name")
    if selector is None:
        raise SignatureFault("permerror", f"s={tags['s']!r:.80} is no selector")
    if len(domain) + len(selector) + len("._domainkey.") > 253:
        raise SignatureFault("permerror", "selector and domain make a name longer than 253 octets")
    return domain, selector


def signature_seconds(tags: Mapping[str, str], name: str) -> int | None:
    """A time (``t=``, ``x=``) in seconds since 1970, None without the tag.  Raises ``SignatureFault``."""
    value = tags.get(name)
    if value is None:
        return None
    if _SECONDS.fullmatch(value) is None:
        raise SignatureFault("permerror", f"{name}={value!r:.20} is no time: 1 to 12 digits, seconds since 1970")
    return int(value)


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    if _LENGTH.fullmatch(value) is None:
        raise SignatureFault("permerror", f"l={value!r:.20} is no length: 1 to 76 digits")
    return int(value)


def _canonicalizations(text: str) -> tuple[Canonicalization, Canonicalization]:
    value = text.lower()
    header, slash, body = value.partition("/")
    found = _CANONICALIZATIONS.get(header), _CANONICALIZATIONS.get(body if slash else "simple")
    if found[0] is None or found[1] is None:
        raise SignatureFault("neutral", f"c={value!r:.40} is not known; known are simple and relaxed")
    return found[0], found[1]


def _fields(value: str) -> tuple[str, ...]:
    if value.count(":") >= MOST_NAMES:
        raise SignatureFault("permerror", f"h= has more than {MOST_NAMES} names")
    try:
        names = split_list(value)
    except TagFault as fault:
        raise SignatureFault("permerror", f"h= is malformed: {fault}") from None
    for name in names:
        if _FIELD_NAME.fullmatch(name) is None:
            raise SignatureFault("permerror", f"h= holds {name!r:.40}, which is no field name")
    return tuple(name.lower() for name in names)


def _words(value: str, tag: str) -> list[str]:
    try:
        return [word.lower() for word in split_list(value)]
    except TagFault as fault:
        raise SignatureFault("permerror", f"{tag}= is malformed: {fault}") from None


def _domain(value: str) -> str | None:
    """A name in A-labels and lower case, or None for what is no name."""
    return _read_domain(value) if len(value) < _SHORT else None


@lru_cache(maxsize=2048)
def _read_domain(value: str) -> str | None:
    name = value.lower()
    if not name.isascii():
        import idna  # its tables are large, and hardly any domain needs them

        try:
            name = ".".join(
                label if label.isascii() else idna.alabel(label).decode("ascii") for label in name.split(".", 128)
            )
        except ValueError:  # idna.IDNAError is one
            return None
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else None


def _identity(value: str | None, domain: str) -> str:
    """``i=`` with its domain in A-labels; that must be ``d=`` or below it (§6.1.1)."""
    if value is None:
        return f"@{domain}"
    if len(value) > _LONGEST_IDENTITY:
        raise SignatureFault("permerror", f"i= is longer than {_LONGEST_IDENTITY} characters")
    packed = value.replace(" ", "").replace("\t", "")
    if _QUOTED.fullmatch(packed) is None:
        raise SignatureFault("permerror", f"i={value!r:.80} is not in quoted-printable")
    octets = _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), packed.encode())
    local, at, host = octets.decode("utf-8", "replace").rpartition("@")
    if _CONTROL.search(local):  # it goes into other fields and into logs
        raise SignatureFault("permerror", "i= holds a control character")
    name = _domain(host)
    if not at or name is None:
        raise SignatureFault("permerror", f"i={value!r:.80} is no address: [user]@domain")
    if name != domain and not name.endswith(f".{domain}"):
        raise SignatureFault(
            "permerror", f"the domain of i= ({name:.80}) is not that of d= ({domain:.80}), nor below it"
        )
    return f"{local}@{name}"
