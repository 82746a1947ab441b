"""Rows counted for aggregate reports: written as lines, cut by crashes, joined from several processes, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailauth import answer, check_dmarc
from posthouse.mailauth.dmarc import DmarcResult
from posthouse.mailauth.dmarc.aggregate import (
    AggregateRow,
    PolicyOverride,
    ReportedSignature,
    ReportedSpf,
    ReportTally,
    due_reports,
)

ROW = AggregateRow(
    "192.0.2.1", "example.org", "none", "pass", "fail", "list.test", "", (PolicyOverride("other", "ü\n"),),
    (ReportedSignature("example.org", "s", "pass"),), (ReportedSpf("list.test", "pass"),),
)  # fmt: skip
OTHER = ROW._replace(source_ip="2001:db8::1", overrides=(), signatures=(), spf_results=())


def judged(text: str = "p=none; rua=mailto:a@example.org") -> DmarcResult:
    zone = {"_dmarc.example.org": {"TXT": [f"v=DMARC1; {text}"]}}
    return answer(check_dmarc("example.org", "example.org"), zone)


def lines(tally: ReportTally) -> list[bytes]:
    drained = tally.drain()
    assert drained.endswith(b"\n") or not drained
    return drained.splitlines(keepends=True)


def test_rows_are_counted_and_come_back_as_reports() -> None:
    tally = ReportTally()
    for _ in range(3):
        assert tally.add(judged(), OTHER)
        assert tally.add(judged(), ROW)
    assert tally.add(judged(), ROW, 7)
    assert tally.add(judged("p=reject; rua=mailto:b@example.org"), ROW)  # the policy was changed: another report
    assert len(tally) == 3
    drained = lines(tally)
    assert (len(drained), len(tally)) == (3, 0)
    elsewhere = ReportTally()  # another process
    elsewhere.add(judged(), OTHER)
    one, two = due_reports([*drained, *lines(elsewhere)])
    assert one.records == ((ROW, 10), (OTHER, 4))
    assert (one.policy.domain, one.policy.p, two.policy.p) == ("example.org", "none", "reject")
    assert [str(each.address) for each in two.record.rua] == ["b@example.org"]


@pytest.mark.parametrize(
    "text", ["p=none", "p=none; rua=https://example.org/", "p=bogus", "p=none; ruf=mailto:a@b.test"]
)
def test_what_nobody_asks_for_is_not_counted(text: str) -> None:
    tally = ReportTally()
    assert not tally.add(judged(text), ROW)
    assert not tally.add(answer(check_dmarc("example.org"), {}), ROW)
    assert tally.drain() == b""


def test_a_full_tally_counts_what_it_leaves_out() -> None:
    tally = ReportTally(most=1)
    assert tally.add(judged(), ROW)
    assert not tally.add(judged(), OTHER, 5)
    assert tally.add(judged(), ROW)
    assert tally.left_out == 5
    assert len(lines(tally)) == 1
    assert tally.left_out == 0


def test_a_report_is_bounded_too() -> None:
    tally = ReportTally()
    tally.add(judged(), ROW, 2)
    tally.add(judged(), OTHER, 5)
    (due,) = due_reports(lines(tally), most=1)
    assert (due.records, due.left_out) == (((ROW, 2),), 5)


def test_a_line_that_a_crash_has_cut_is_left_out() -> None:
    tally = ReportTally()
    tally.add(judged(), ROW)
    (line,) = lines(tally)
    for cut in range(len(line) - 2):
        assert list(due_reports([line[:cut]])) == []
        (due,) = due_reports([line[:cut] + b"\n", line])
        assert due.records == ((ROW, 1),)


@given(st.binary(max_size=80))
def test_no_line_makes_the_reader_fail(line: bytes) -> None:
    list(due_reports([line, b"[" + line + b"]", b'[["a","b"],"v=DMARC1;p=none",[],1]', b"null", b"[1,2,3,4]"]))
