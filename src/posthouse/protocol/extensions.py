"""Extensions: what a sending SMTP has learnt from EHLO's reply (RFC 5321 §2.2, §4.1.1.1).

An extension is one line in it.  ``offer.Offer`` writes those lines, ``Capabilities`` reads them, and nothing else in
the project spells a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from posthouse.core import Reply

__all__ = ["Capabilities"]

_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})
# RFC 5321 §4.1.1.1: ehlo-keyword, then parameters separated by spaces.
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class Capabilities(NamedTuple):
    """What a peer's EHLO reply said: keyword (upper case) → parameters as written."""

    keywords: Mapping[str, str] = _NO_PARAMETERS

    @classmethod
    def read(cls, reply: Reply) -> Capabilities:
        """From a positive EHLO or LHLO reply.  Lines that are no keyword are passed over: there are receivers that
        put sentences there, and nothing follows from them."""
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
        """Was the extension announced?"""
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
        """RFC 9422's limits with a number, by upper-case name; others are passed over."""
        found: dict[str, int] = {}
        for item in self.keywords.get("LIMITS", "").split():
            name, _, value = item.partition("=")
            if re.fullmatch(r"[1-9][0-9]{0,5}", value):
                found[name.upper()] = int(value)
        return found
