"""Tally of rows for aggregate reports: counted in memory, written as lines, and read back as the reports that are due.

A receiver counts each message in a ``ReportTally``, appends its ``drain()`` to a file from time to time, and once a day
gives all lines of the day to ``due_reports``.  A line is a JSON array that stands for itself, so files of several
processes can be joined, and a line that a crash has cut is left out.  Only results whose record asks for reports
(``rua`` with a ``mailto:`` address) are counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from posthouse.mailauth.dmarc.aggregate.aggregate_values import (
    AggregateRecord,
    AggregateRow,
    PolicyOverride,
    PolicyPublished,
    ReportedSignature,
    ReportedSpf,
    policy_published,
)
from posthouse.mailauth.dmarc.dmarc_record import DmarcRecord, read_dmarc_record
from posthouse.mailauth.dmarc.dmarc_result import DmarcResult

__all__ = ["DueReport", "MOST_ROWS", "ReportTally", "due_reports"]

#: Different rows that one tally holds, and that one report has.
MOST_ROWS: Final = 50_000

_MOST_REPORTS: Final = 100_000
_LONGEST_LINE: Final = 65_536

_Key = tuple[PolicyPublished, str, AggregateRow]  # with the text of the record


class DueReport(NamedTuple):
    """A report that is to be written and sent.

    Args:
        policy: What it is about.
        record: The policy record; its ``rua`` says where the report is wanted (``find_destinations``).
        records: The rows, those with most messages first.
        left_out: Messages whose rows did not fit.
    """

    policy: PolicyPublished
    record: DmarcRecord
    records: tuple[AggregateRecord, ...]
    left_out: int = 0


class ReportTally:
    """Counts of rows, held in memory until they are drained.

    Attributes:
        left_out: Messages that were not counted since the last draining, because there were too many different rows.
    """

    __slots__ = ("_counts", "_most", "left_out")

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._counts: Counter[_Key] = Counter()
        self._most = most
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, dmarc: DmarcResult, row: AggregateRow, messages: int = 1) -> bool:
        """Count messages with this result; False if its record asks for no reports, or the tally is full."""
        record = dmarc.record
        policy = policy_published(dmarc)
        if record is None or policy is None or not any(each.address is not None for each in record.rua):
            return False
        key = (policy, record.text, row)
        if key not in self._counts and len(self._counts) >= self._most:
            self.left_out += messages
            return False
        self._counts[key] += messages
        return True

    def drain(self) -> bytes:
        """The counts as lines, each ended by LF; the tally is empty then."""
        counts, self._counts = self._counts, Counter()
        self.left_out = 0
        return b"".join(_line(key, messages) for key, messages in counts.items())


def _line(key: _Key, messages: int) -> bytes:
    return json.dumps([*key, messages], ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def due_reports(lines: Iterable[bytes], most: int = MOST_ROWS) -> Iterator[DueReport]:
    """The reports that follow from lines, one for each policy that was in force (RFC 9990 §3.1), in their order.

    Lines that cannot be read are left out: a crash may cut the last one of a file.
    """
    found: dict[tuple[PolicyPublished, str], Counter[AggregateRow]] = {}
    left_out: Counter[tuple[PolicyPublished, str]] = Counter()
    for line in lines:
        read = _read(line)
        if read is None:
            continue
        policy, text, row, messages = read
        key = (policy, text)
        if key not in found and len(found) >= _MOST_REPORTS:
            continue
        rows = found.setdefault(key, Counter())
        if row in rows or len(rows) < most:
            rows[row] += messages
        else:
            left_out[key] += messages
    for (policy, text), rows in found.items():
        record = read_dmarc_record(text)
        if record is not None and rows:
            records = tuple(AggregateRecord(row, messages) for row, messages in rows.most_common())
            yield DueReport(policy, record, records, left_out[policy, text])


def _read(line: bytes) -> tuple[PolicyPublished, str, AggregateRow, int] | None:
    if len(line) > _LONGEST_LINE:
        return None
    try:
        policy, text, row, messages = json.loads(line)
        made = _row(row)
        published = PolicyPublished(*policy)
    except (ValueError, TypeError):
        return None
    if not isinstance(messages, int) or messages < 1 or not isinstance(text, str) or len(published) != len(policy):
        return None
    return published, text, made, messages


def _row(found: list[Any]) -> AggregateRow:
    """The row in a line; raises ``ValueError`` or ``TypeError`` if it has another form."""
    *plain, overrides, signatures, spf_results = found
    if len(found) != len(AggregateRow._fields) or not all(isinstance(each, str) for each in plain):
        raise ValueError("no row")
    return AggregateRow._make(
        (
            *plain,
            tuple(PolicyOverride(*each) for each in overrides),
            tuple(ReportedSignature(*each) for each in signatures),
            tuple(ReportedSpf(*each) for each in spf_results),
        )
    )
