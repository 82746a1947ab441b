"""Extensions: what a receiving SMTP offers (RFC 5321 §2.2, §4.1.1.1), one line in EHLO's reply for each."""

from __future__ import annotations

import functools
from typing import NamedTuple

__all__ = ["Offer"]


class Offer(NamedTuple):
    """What a receiver announces, and therefore accepts.

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

    def keywords(self) -> tuple[str, ...]:
        """The lines of EHLO's reply after the first."""
        return _keywords(self)

    def accepts(self) -> frozenset[str]:
        """The keywords alone: whose parameters and commands may be used."""
        return _accepts(self)

    def _lines(self) -> tuple[str, ...]:
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
        ):
            if on:
                lines.append(keyword)
        return tuple(lines)


# A listener has one offer, and each of its sessions asks.
@functools.lru_cache(maxsize=64)
def _keywords(offer: Offer) -> tuple[str, ...]:
    return offer._lines()


@functools.lru_cache(maxsize=64)
def _accepts(offer: Offer) -> frozenset[str]:
    return frozenset(line.partition(" ")[0] for line in _keywords(offer))
