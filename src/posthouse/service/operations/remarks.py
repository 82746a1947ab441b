"""Remarks of a message: what a lenient listener tolerated in it, from its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from posthouse.core import Remark
from posthouse.spool.history import Accepted, Event

__all__ = ["RemarkEntry", "remark_entries", "remark_sentence", "remarks_in"]


class RemarkEntry(Struct, frozen=True, kw_only=True):
    """A deviation that a lenient listener tolerated: see ``core.Remark``; ``text`` is the sentence in English."""

    kind: str
    reply: str
    line: int
    command: str
    times: int
    text: str


def remark_entries(remarks: Iterable[Remark]) -> list[RemarkEntry]:
    """The remarks as data."""
    return [RemarkEntry(**each._asdict(), text=remark_sentence(each)) for each in remarks]


def remarks_in(events: Sequence[Event]) -> list[RemarkEntry]:
    """The remarks that a history has; none if it is not kept any more."""
    accepted = next((event for event in events if isinstance(event, Accepted)), None)
    return [] if accepted is None else remark_entries(accepted.arrival.remarks)


def remark_sentence(remark: Remark | RemarkEntry, lang: str = "en") -> str:
    """A remark as a sentence in ``lang``."""
    from posthouse.codes.leniencies import remark_text  # hardly any message has remarks

    return remark_text(Remark(remark.kind, remark.reply, remark.line, remark.command, remark.times), lang)
