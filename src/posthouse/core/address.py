"""Mailbox addresses as values (RFC 5321 §4.1.2, RFC 6531 §3.3).

An ``Address`` holds the local part without quotes and with its case kept (RFC 5321 §2.4), and the domain in lower case:
letters, digits and hyphens, U-labels, or an address literal in brackets.  ``protocol.grammar`` parses the spelling on
the wire.

The null reverse-path ``<>`` (RFC 5321 §4.5.5) is ``None`` as a value and "" as text.  ``<Postmaster>`` (RFC 5321
§4.5.1) is an address with an empty domain.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["Address", "local_key", "path_text"]

# atext of RFC 5322 §3.2.3, widened by UTF8-non-ascii (RFC 6531 §3.3), in dot-string form.
# The class lists the excluded characters, because a class with a range to U+10FFFF takes milliseconds to compile.
_ATOM = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_NEEDS_ESCAPE = re.compile(r'(["\\])')


class Address(NamedTuple):
    """A mailbox: ``local`` (unquoted, case kept) at ``domain`` (lower case, ``"[192.0.2.1]"`` for a literal; ""
    only for Postmaster without a domain)."""

    local: str
    domain: str = ""

    @property
    def is_ascii(self) -> bool:
        """True if the address can be sent without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()

    @property
    def is_literal(self) -> bool:
        """True if the domain is an address literal (``[192.0.2.1]``, ``[IPv6:2001:db8::1]``)."""
        return self.domain.startswith("[")

    @property
    def is_postmaster(self) -> bool:
        """True for the local part ``postmaster`` in any case; every domain must accept it (RFC 5321 §4.5.1)."""
        return self.local.lower() == "postmaster"

    @property
    def key(self) -> str:
        """The address with its ``local_key``: equal for two spellings of one mailbox in a *local* domain.

        Only the receiving host may interpret a local part (RFC 5321 §2.3.11), so foreign addresses must not be merged
        by this key.
        """
        return f"{local_key(self.local)}@{self.domain}"

    def __str__(self) -> str:
        """The RFC 5321 spelling, without ``<`` and ``>``; the local part is quoted only if it must be."""
        local = self.local
        if local.isalnum():  # the common case, without the pattern
            return f"{local}@{self.domain}" if self.domain else local
        if _DOT_STRING.fullmatch(local) is None:
            local = '"' + _NEEDS_ESCAPE.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def local_key(local: str) -> str:
    """The form that all spellings of a local part share in a domain whose mailboxes are here: case folded, and composed
    (NFC), so that ``é`` is one character however it was typed.

    Case folding may take a composed text apart, so the text is composed before and behind it (Unicode §3.13).
    """
    if local.isascii():
        return local.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", local).casefold())


def path_text(path: Address | None) -> str:
    """A path as text: the RFC 5321 spelling of the address, "" for the null reverse-path."""
    return "" if path is None else str(path)
