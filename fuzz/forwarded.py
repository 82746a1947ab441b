"""Targets for what authenticated and forwarded mail brings: policies, results, rewritten addresses."""

from __future__ import annotations

from posthouse.core import Address
from posthouse.mailauth import Zone, answer
from posthouse.mailauth.batv import Batv
from posthouse.mailauth.dmarc import check_dmarc, read_dmarc_record
from posthouse.mailauth.results import (
    UnreadableResults,
    is_forged,
    read_results,
    trusted_results,
    without_forged,
    write_results,
)
from posthouse.mailauth.srs import Srs, SrsStatus

__all__ = ["auth_results", "dmarc_records", "srs"]

_NOW = 1_764_500_000.0
_SRS = Srs("forward.test", ["a secret of this host"])
_BATV = Batv(["a secret of this host"])


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
