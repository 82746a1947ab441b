"""Targets for what authenticated and forwarded mail brings: policies, results, rewritten addresses."""

from __future__ import annotations

import contextlib

from posthouse.core import Address, LocalError
from posthouse.mailauth import DkimKey, Zone, answer
from posthouse.mailauth.arc import seal_arc, verify_arc
from posthouse.mailauth.batv import Batv
from posthouse.mailauth.dmarc import check_dmarc, read_dmarc_record
from posthouse.mailauth.dmarc.aggregate import UnreadableReport, aggregate_xml, read_aggregate_report, summarize
from posthouse.mailauth.results import (
    UnreadableResults,
    is_forged,
    read_results,
    trusted_results,
    without_forged,
    write_results,
)
from posthouse.mailauth.srs import Srs, SrsStatus

__all__ = ["aggregate_reports", "arc", "auth_results", "dmarc_records", "srs"]

_NOW = 1_764_500_000.0
_SRS = Srs("forward.test", ["a secret of this host"])
_BATV = Batv(["a secret of this host"])
_KEY = DkimKey.generate("example.org", "sel", "ed25519")
_ZONE = Zone({_KEY.record_name: {"TXT": [_KEY.record()]}})


def aggregate_reports(data: bytes) -> None:
    """Aggregate reports: a report, which is written and read as the same, or a sentence."""
    try:
        report = read_aggregate_report(data)
    except UnreadableReport as error:
        assert str(error)
        return
    summarize([report])
    again = read_aggregate_report(b"".join(aggregate_xml(report.metadata, report.policy, report.records)))
    assert again.messages == report.messages
    assert [each.row.source_ip for each in again.records] == [each.row.source_ip for each in report.records]


def arc(data: bytes) -> None:
    """ARC: a result for any message, the same in pieces; what is sealed continues a chain, or ends it."""
    found = answer(verify_arc(data, _NOW), _ZONE)
    assert found.reason
    half = len(data) // 2
    if b"\r\n" in data[:half]:
        assert answer(verify_arc([data[:half], data[half:]], _NOW), _ZONE) == found
    message = data + b"\r\nFrom: a@example.org\r\n\r\n"
    before = answer(verify_arc(message, _NOW), _ZONE)
    with contextlib.suppress(LocalError):
        made = answer(seal_arc(message, _KEY, "mx.example.org", now=_NOW), _ZONE)
        after = answer(verify_arc(made + message, _NOW), _ZONE)
        assert after.highest == before.highest + bool(made)
        assert after.result == ("fail" if before.result == "fail" else "pass")


def auth_results(data: bytes) -> None:
    """Authentication-Results: results or a sentence; what is written of them is one field and reads as the same."""
    kept = without_forged(data, ("example.org",))
    assert len(kept) <= len(data)
    assert not trusted_results(kept, ("example.org",))
    try:
        read = read_results(data)
    except UnreadableResults as error:
        assert str(error)
        return
    assert is_forged(data, (read.authserv_id,)) or not read.authserv_id
    if read.authserv_id and max((len(each.value) for r in read.results for each in r.properties), default=0) < 100:
        written = write_results(read)
        assert written.count(b"\r\n") == written.count(b"\r\n\t") + 1
        again = read_results(written.partition(b":")[2])
        assert [each.result for each in again.results] == [each.result for each in read.results]


def dmarc_records(data: bytes) -> None:
    """DMARC records, and messages judged by them: a result in words, and a policy only where a record has one."""
    record = read_dmarc_record(data)
    text, _, message = data.partition(b"\n\n")
    zone = Zone({"_dmarc.example.org": {"TXT": [text]}, "_dmarc.org": {"TXT": [data]}})
    for author in ("a.example.org", message):
        found = answer(check_dmarc(author, ("pass", "example.org"), [("fail", "example.org")]), zone)
        assert found.reason
        assert found.disposition == "none" or found.result == "fail"
        assert found.record is None or found.policy_domain
    if record is not None and not record.applies:
        assert not record.rua


def srs(data: bytes) -> None:
    """SRS and BATV: no local part leads to an address that we did not write, and each comes back."""
    local = data.decode("utf-8", "replace")
    found = _SRS.reverse(Address(local, "forward.test"), _NOW)
    assert found.status is not SrsStatus.HOME
    assert found.address is None
    _BATV.check(Address(local, "forward.test"), _NOW)
    sender = Address(local or "x", "example.org")
    made = _SRS.forward(sender, _NOW)
    assert made is not None
    if made != sender:
        assert _SRS.reverse(made, _NOW).status is SrsStatus.HOME
