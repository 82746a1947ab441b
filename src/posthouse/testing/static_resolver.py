"""Resolver with a fixed zone.

A ``Zone`` is a zone file as a literal; ``DnsServer`` serves it over real sockets::

    StaticResolver({
        "sina.com":    {"MX": ["10 mx.sina.com"], "TXT": ["v=spf1 mx -all"]},
        "mx.sina.com": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
        "nomail.test": {"MX": ["0 ."]},
        "www.sina.com": {"CNAME": ["sina.com"]},
    })

Names that are not in the zone do not exist.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from posthouse.core import MX, Answer, Kind, Question, Status

__all__ = ["StaticResolver", "Zone", "look_up"]

Zone = Mapping[str, Mapping[str, Sequence[str]]]
"""Name → type → records: an address; ``"10 mx.example"`` for MX; the whole text for TXT; a name for PTR and CNAME; the
presentation form for others.  Names without the final dot, but for the root ``"."``."""


def look_up(zone: Zone, question: Question) -> tuple[Status, list[str], tuple[str, ...]]:
    """Look up a question in a zone: the status, the chain of aliases (the asked name first), and the records.

    A name that has names below it exists (RFC 8020).  An alias chain that does not end is FAILED.
    """
    names = [_plain(question.name)]
    while (alias := zone.get(names[-1], {}).get(Kind.CNAME)) and question.kind is not Kind.CNAME:
        target = _plain(alias[0])
        if target in names:
            return Status.FAILED, names, ()
        names.append(target)
    end = names[-1]
    if records := zone.get(end, {}).get(question.kind):
        return Status.OK, names, tuple(records)
    exists = end in zone or any(name.endswith(f".{end}") for name in zone)
    return Status.NODATA if exists else Status.NXDOMAIN, names, ()


class StaticResolver:
    """``Resolver`` that answers from a ``Zone``.

    ``failing``: names for which every answer is FAILED; the set may be changed at any time.
    ``authenticated``: names whose answers are signed.  ``asked`` keeps the last 10,000 questions, oldest first.
    """

    def __init__(
        self, zone: Zone, *, failing: Iterable[str] = (), authenticated: Iterable[str] = (), ttl: int = 300
    ) -> None:
        self.zone = {_plain(name): dict(records) for name, records in zone.items()}
        self.failing = set(failing)
        self.authenticated = set(authenticated)
        self.ttl = ttl
        self.asked: deque[Question] = deque(maxlen=10_000)

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        name = _plain(question.name)
        if name in self.failing:
            return Answer(Status.FAILED, reason=f"the DNS server failed for the {question.kind} record of {name}")
        status, names, records = look_up(self.zone, question)
        if not self.failing.isdisjoint(names) or status is Status.FAILED:
            return Answer(Status.FAILED, reason=f"the DNS server failed for {names[-1]}, an alias of {name}")
        signed = self.authenticated.issuperset(names)
        if status is Status.OK:
            return Answer(status, tuple(_value(question.kind, record) for record in records), self.ttl, signed)
        what = "does not exist in the DNS" if status is Status.NXDOMAIN else f"has no {question.kind} record"
        return Answer(status, (), self.ttl, signed, f"{names[-1]} {what}")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _value(kind: Kind, record: str) -> str | bytes | MX:
    """A record of a zone in the type of ``Answer.records``."""
    match kind:
        case Kind.MX:
            preference, exchange = record.split()
            return MX(int(preference), _plain(exchange))
        case Kind.TXT:
            return record.encode()
        case Kind.PTR | Kind.CNAME:
            return _plain(record)
        case _:
            return record
