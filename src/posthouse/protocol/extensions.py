"""Extensions (RFC 5321 §2.2, §4.1.1.1): one line of EHLO's reply for each.

``Offer`` is what a receiving SMTP announces and writes those lines; ``Capabilities`` is what a sending SMTP has read
from them.  No other module spells a keyword in an EHLO reply.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from posthouse.core import Reply

__all__ = ["Capabilities", "Offer"]

_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})
# RFC 5321 §4.1.1.1: ehlo-keyword, then parameters separated by spaces.
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class Capabilities(NamedTuple):
    """The extensions of a peer's EHLO reply: keyword (upper case) → parameters as written."""

    keywords: Mapping[str, str] = _NO_PARAMETERS

    @classmethod
    def read(cls, reply: Reply) -> Capabilities:
        """The extensions of a positive EHLO or LHLO reply.

        Lines that are not a keyword are ignored, because some receivers put sentences there.
        """
        keywords: dict[str, str] = {}
        for line in reply.lines[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            if keyword.upper().startswith("AUTH="):  # a spelling older than RFC 2554, still sent beside the right one
                keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
            if _KEYWORD.fullmatch(keyword):
                keyword = keyword.upper()
                known = keywords.get(keyword, "")
                keywords[keyword] = f"{known} {parameters.strip()}".strip()
        return cls(MappingProxyType(keywords))

    def has(self, keyword: str) -> bool:
        """True if the extension was announced."""
        return keyword in self.keywords

    @property
    def size(self) -> int | None:
        """The largest message the peer takes, in octets; None if it named no limit."""
        text = self.keywords.get("SIZE", "").partition(" ")[0]
        if not re.fullmatch(r"[0-9]{1,20}", text):
            return None
        return int(text) or None

    @property
    def auth(self) -> frozenset[str]:
        """SASL mechanisms, upper case."""
        return frozenset(self.keywords.get("AUTH", "").upper().split())

    @property
    def limits(self) -> Mapping[str, int]:
        """RFC 9422's limits with a number, by upper-case name; others are ignored."""
        found: dict[str, int] = {}
        for item in self.keywords.get("LIMITS", "").split():
            name, _, value = item.partition("=")
            if re.fullmatch(r"[1-9][0-9]{0,5}", value):
                found[name.upper()] = int(value)
        return found


class Offer(NamedTuple):
    """The extensions that a receiver announces and accepts.

    ``size`` is the largest message in octets, 0 for "no fixed limit" (RFC 1870 §4), None to offer no SIZE;
    ``auth`` the SASL mechanisms; ``limits`` RFC 9422's names and values, such as ``(("RCPTMAX", 1000),)``.
    """

    size: int | None = 0
    pipelining: bool = True
    eightbitmime: bool = True
    smtputf8: bool = True
    chunking: bool = True
    binarymime: bool = True
    enhanced: bool = True
    dsn: bool = True
    help: bool = True
    starttls: bool = False
    requiretls: bool = False
    auth: tuple[str, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    #: Commands that are known but switched off here: answered 502.
    off: frozenset[str] = frozenset()
    #: Attributes of XCLIENT and XFORWARD (``forwarding``); a command without attributes is not known at all.
    xclient: tuple[str, ...] = ()
    xforward: tuple[str, ...] = ()

    # A listener has one offer, and each of its sessions asks; the cache keeps values of a few listeners only.
    @functools.lru_cache(maxsize=64)  # noqa: B019
    def accepts(self) -> frozenset[str]:
        """The keywords whose parameters and commands may be used."""
        return frozenset(line.partition(" ")[0] for line in self.keywords())

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def keywords(self) -> tuple[str, ...]:
        """The lines of EHLO's reply after the first."""
        lines = []
        if self.pipelining:
            lines.append("PIPELINING")
        if self.size is not None:
            lines.append(f"SIZE {self.size}")
        for on, keyword in (
            (self.eightbitmime, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
            (self.chunking and self.binarymime, "BINARYMIME"),  # RFC 3030 §3: never without CHUNKING
            (self.enhanced, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.starttls, "STARTTLS"),
            (self.requiretls, "REQUIRETLS"),
            (bool(self.auth), "AUTH " + " ".join(self.auth)),
            (bool(self.limits), "LIMITS " + " ".join(f"{name}={value}" for name, value in self.limits)),
            (self.help, "HELP"),
            (bool(self.xclient), "XCLIENT " + " ".join(self.xclient)),
            (bool(self.xforward), "XFORWARD " + " ".join(self.xforward)),
        ):
            if on:
                lines.append(keyword)
        return tuple(lines)
