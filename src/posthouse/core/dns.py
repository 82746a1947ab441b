"""Questions to the DNS and their answers, as values.

A resolver never raises for what the DNS says.  The difference that mail lives by is kept in ``Status``: a name
that *does not exist* is a permanent fact, a server that *did not answer* is not.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Answer", "Kind", "MX", "Question", "Status"]


class Kind(enum.StrEnum):
    """Record types this project asks for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    TXT = "TXT"
    PTR = "PTR"
    CNAME = "CNAME"
    TLSA = "TLSA"
    SRV = "SRV"


class Status(enum.StrEnum):
    """How the question ended."""

    OK = "ok"  # records, at least one
    NXDOMAIN = "nxdomain"  # the name does not exist
    NODATA = "nodata"  # the name exists, without this type
    FAILED = "failed"  # SERVFAIL, timeout, no server: may be different in a moment


class Question(NamedTuple):
    """What is asked: a name in A-labels without the final dot, and a type."""

    name: str
    kind: Kind


class MX(NamedTuple):
    """One MX record; ``exchange`` in lower case without the final dot, "" for the null MX (RFC 7505)."""

    preference: int
    exchange: str


class Answer(NamedTuple):
    """What came back.

    ``records`` by kind: ``str`` for A, AAAA, PTR, CNAME; ``MX`` for MX; ``bytes`` (strings joined) for TXT; the
    presentation form (``str``) for others.  ``ttl`` in seconds.  ``authenticated`` is the AD flag of a resolver
    that we trust.  ``reason`` says in words what failed.
    """

    status: Status
    records: tuple[str | bytes | MX, ...] = ()
    ttl: int = 0
    authenticated: bool = False
    reason: str = ""
