"""DNS questions and answers as values.

A resolver does not raise an exception for an answer of the DNS.  ``Status`` tells a name that does not exist, which is
permanent, from a server that did not answer, which is temporary.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Answer", "Kind", "MX", "Question", "Status"]


class Kind(enum.StrEnum):
    """The record types that Posthouse asks for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    TXT = "TXT"
    PTR = "PTR"
    CNAME = "CNAME"
    TLSA = "TLSA"
    SRV = "SRV"


class Status(enum.StrEnum):
    """The status of an answer."""

    OK = "ok"  # records, at least one
    NXDOMAIN = "nxdomain"  # the name does not exist
    NODATA = "nodata"  # the name exists, without this type
    FAILED = "failed"  # SERVFAIL, timeout, no server: temporary


class Question(NamedTuple):
    """A name in A-labels without the final dot, and a record type."""

    name: str
    kind: Kind


class MX(NamedTuple):
    """One MX record; ``exchange`` in lower case without the final dot, "" for the null MX (RFC 7505)."""

    preference: int
    exchange: str


class Answer(NamedTuple):
    """The answer to one question.

    Args:
        records: ``str`` for A, AAAA, PTR and CNAME; ``MX`` for MX; ``bytes`` (strings joined) for TXT; the presentation
            form (``str``) for other types.
        ttl: Seconds.
        authenticated: The AD flag of a trusted resolver.
        reason: What failed, in words.
    """

    status: Status
    records: tuple[str | bytes | MX, ...] = ()
    ttl: int = 0
    authenticated: bool = False
    reason: str = ""
