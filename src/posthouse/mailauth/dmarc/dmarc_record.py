"""DMARC policy records: the text at ``_dmarc.example.org`` (RFC 9989 §4.7, §4.8).

A text whose first tag is not ``v=DMARC1`` is no such record.  In every other respect the RFC wants tolerance: unknown
tags are ignored, and a tag with a wrong value counts as if it were not there.  What was ignored is kept as a remark,
because a domain's owner who asks why a policy does not work has usually mistyped it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

from posthouse.core import Address

__all__ = ["DmarcPolicy", "DmarcRecord", "POLICIES", "PolicyTag", "ReportUri", "read_dmarc_record"]

DmarcPolicy = Literal["none", "quarantine", "reject"]
"""What a domain's owner wants to be done with messages that fail."""

PolicyTag = Literal["p", "sp", "np"]
"""The tags with policies: for the record's own domain, and for subdomains that exist and that do not."""

#: The policies, from the mildest to the strictest.
POLICIES: Final[tuple[DmarcPolicy, ...]] = ("none", "quarantine", "reject")

_POLICY_TAGS: Final[tuple[PolicyTag, ...]] = ("p", "sp", "np")

#: Octets of a record, tags of a record, addresses of one report tag that are read.
_LONGEST: Final = 16_384
_MOST_TAGS: Final = 64
_MOST_URIS: Final = 10

_VERSION: Final = re.compile(r"v[ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z]++")
_VALUE: Final = re.compile(r"[\x20-\x3a\x3c-\x7e]++")
_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):([^\s!]++)(?:!([0-9]{1,18})([kmgt]?))?", re.IGNORECASE)
_DOMAIN: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*+")
_UNITS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")

_Read = TypeVar("_Read")


class ReportUri(NamedTuple):
    """Where reports are wanted.

    Args:
        uri: The URI as it is written, without the size.
        address: The mailbox of a ``mailto:`` URI; None for other schemes, to which nothing is sent.
        limit: Octets of the largest report that is wanted (obsolete syntax of RFC 7489: ``!10m``); None without it.
    """

    uri: str
    address: Address | None = None
    limit: int | None = None


class DmarcRecord(NamedTuple):
    """What a policy record says; each field without a comment has the name of its tag.

    Args:
        p: The policy for the domain; None where it is missing or wrong.
        sp: The policy for subdomains that exist, None if it is not given.
        np: The policy for subdomains that do not exist, None if it is not given.
        psd: ``"y"``: a public suffix, such as a registry's; ``"n"``: an organizational domain; ``"u"``: not said.
        t: The policy is being tested, and is to be applied one level milder.
        adkim: Alignment of DKIM: ``"r"`` relaxed, ``"s"`` strict.
        aspf: Alignment of SPF.
        fo: When failure reports are wanted: ``0``, ``1``, ``d``, ``s``.
        rua: Where aggregate reports are wanted.
        ruf: Where failure reports are wanted.
        broken: Those of ``p``, ``sp`` and ``np`` that have a wrong value.
        remarks: What was ignored or is wrong, in sentences.
        text: The record.
    """

    p: DmarcPolicy | None = None
    sp: DmarcPolicy | None = None
    np: DmarcPolicy | None = None
    psd: Literal["y", "n", "u"] = "u"
    t: bool = False
    adkim: Literal["r", "s"] = "r"
    aspf: Literal["r", "s"] = "r"
    fo: tuple[str, ...] = ("0",)
    rua: tuple[ReportUri, ...] = ()
    ruf: tuple[ReportUri, ...] = ()
    broken: tuple[PolicyTag, ...] = ()
    remarks: tuple[str, ...] = ()
    text: str = ""

    @property
    def applies(self) -> bool:
        """False if the mechanism does not apply because of this record (RFC 9989 §4.10.1): a policy is missing or
        wrong, and no reports are wanted either."""
        return bool(self.rua) or (self.p is not None and not self.broken)

    def policy(self, *, subdomain: bool = False, exists: bool = True) -> tuple[DmarcPolicy, PolicyTag]:
        """The policy, and the tag that it comes from (``p``, ``sp``, ``np``).

        Args:
            subdomain: The author's domain is below the domain of the record.
            exists: The author's domain exists in the DNS; counts for subdomains only.

        ``none`` if a policy is missing or wrong (§4.10.1).
        """
        if self.p is None or self.broken:
            return "none", "p"
        if subdomain and not exists and self.np is not None:
            return self.np, "np"
        if subdomain and self.sp is not None:
            return self.sp, "sp"
        return self.p, "p"

    def wants(self, failed: bool, any_failed: bool, dkim_failed: bool, spf_failed: bool) -> bool:
        """True if a failure report is wanted (``fo``, ``ruf``).

        Args:
            failed: No mechanism gave an aligned pass.
            any_failed: SPF or DKIM gave no aligned pass.
            dkim_failed: A signature failed, aligned or not.
            spf_failed: SPF failed, aligned or not.
        """
        found = {"0": failed, "1": any_failed, "d": dkim_failed, "s": spf_failed}
        return bool(self.ruf) and any(found[each] for each in self.fo)


def read_dmarc_record(text: bytes | str) -> DmarcRecord | None:
    """The policy record in a TXT record whose strings are joined; None if the text is no DMARC record."""
    return None if len(text) > _LONGEST else _read(text)


@lru_cache(maxsize=1_024)
def _read(text: bytes | str) -> DmarcRecord | None:
    """The record in a text; the DNS gives the same texts again and again, so they are kept."""
    plain = text if isinstance(text, str) else text.decode("utf-8", "replace")
    opening = _VERSION.match(plain)
    if opening is None or "DMARC1" not in opening[0]:  # the version's case counts, the tag's does not
        return None
    return _RecordReader(plain).read(plain[opening.end() :])


class _RecordReader:
    """Reader of the tags behind the version."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._remarks: list[str] = []
        self._broken: list[PolicyTag] = []
        self._tags: dict[str, str] = {}

    def read(self, rest: str) -> DmarcRecord:
        for part in rest.split(";", _MOST_TAGS)[:_MOST_TAGS]:
            self._take(part)
        p, sp, np = (self._value(tag, self._policy, None) for tag in _POLICY_TAGS)
        record = DmarcRecord(
            p,
            sp,
            np,
            self._value("psd", _one_of("y", "n", "u"), "u"),  # type: ignore[arg-type]
            self._value("t", _one_of("y", "n"), "n") == "y",
            self._value("adkim", _one_of("r", "s"), "r"),  # type: ignore[arg-type]
            self._value("aspf", _one_of("r", "s"), "r"),  # type: ignore[arg-type]
            self._value("fo", _options, ("0",)),
            self._uris("rua"),
            self._uris("ruf"),
            tuple(self._broken),
            (),
            self._text,
        )
        if record.p is None and "p" not in self._tags:
            self._remark(f"p= is missing: {_consequence(record)}")
        elif record.p is None or record.broken:
            self._remark(f"a policy is wrong: {_consequence(record)}")
        for tag in ("pct", "rf", "ri"):
            if tag in self._tags:
                hint = "; t=y asks for a milder policy" if tag == "pct" else ""
                self._remark(f"{tag}= is ignored: RFC 9989 has removed it{hint}")
        return record._replace(remarks=tuple(self._remarks))

    def _take(self, part: str) -> None:
        """One tag."""
        name, equals, value = part.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not name and not equals:
            return  # nothing between semicolons, or behind the last one
        if not equals or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            self._remark(f"{part.strip()!r:.60} is no tag: write name=value")
        elif name.lower() in self._tags:
            self._remark(f"{name:.20}= stands twice, and the first one counts")
        elif name.lower() == "v":
            self._remark("v= stands twice")
        else:
            self._tags[name.lower()] = value

    def _value(self, tag: str, reader: Callable[[str], _Read], default: _Read) -> _Read:
        """The value of a tag; the default, and a remark, if it is wrong."""
        value = self._tags.get(tag)
        if value is None:
            return default
        try:
            return reader(value)
        except ValueError as error:
            self._remark(f"{tag}={value:.40} is ignored: {error}")
            self._broken += [each for each in _POLICY_TAGS if each == tag]
            return default

    def _policy(self, value: str) -> DmarcPolicy | None:
        found = next((each for each in POLICIES if each == value.lower()), None)
        if found is None:
            raise ValueError("a policy is none, quarantine or reject")
        return found

    def _uris(self, tag: str) -> tuple[ReportUri, ...]:
        found = []
        for part in self._tags.get(tag, "").split(",", 10 * _MOST_URIS):
            text = part.strip(" \t")
            if not text:
                continue
            try:
                found.append(_report_uri(text))
            except ValueError as error:
                self._remark(f"{text:.60} in {tag}= is ignored: {error}")
        if len(found) > _MOST_URIS:
            self._remark(f"{tag}= has more than {_MOST_URIS} addresses, and the first {_MOST_URIS} count")
        return tuple(found[:_MOST_URIS])

    def _remark(self, text: str) -> None:
        self._remarks.append(text)


def _consequence(record: DmarcRecord) -> str:
    return "p=none is assumed, because rua= asks for reports" if record.rua else "the record has no effect"


def _one_of(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"it can be {', '.join(words)}")
        return value.lower()

    return read


def _options(value: str) -> tuple[str, ...]:
    """``fo``: the options in the order 0, 1, d, s."""
    words = [word.strip(" \t").lower() for word in value.split(":", 8)]
    known = tuple(each for each in ("0", "1", "d", "s") if each in words)
    if len(known) != len(words) or {"0", "1"} <= set(words):
        raise ValueError("it can be 0 or 1, d, s, with colons between them")
    return known


def _report_uri(text: str) -> ReportUri:
    match = _URI.fullmatch(text)
    if match is None:
        raise ValueError("it is no URI, such as mailto:dmarc@example.org")
    scheme, rest, size, unit = match.groups()
    uri = f"{scheme}:{rest}"
    limit = None if size is None else int(size) << _UNITS[unit.lower()]
    if scheme.lower() != "mailto":
        return ReportUri(uri, None, limit)
    local, at, domain = unquote(rest.partition("?")[0]).rpartition("@")
    if not at or not local or _CONTROL.search(local) or _DOMAIN.fullmatch(domain) is None or len(domain) > 253:
        raise ValueError("behind mailto: stands no address")
    return ReportUri(uri, Address(local, domain.lower()), limit)
