"""``posthouse report dmarc``: files, directories and messages with reports, summed up, and what has none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from posthouse.mailauth.dmarc.aggregate import (
    AggregateRecord,
    AggregateRow,
    PolicyPublished,
    ReportedSignature,
    ReportMetadata,
    aggregate_xml,
)

METADATA = ReportMetadata("Receiver", "a@b.test", "1", 1_764_374_400, 1_764_460_799, errors=("two records",))
POLICY = PolicyPublished("example.org", "reject", "none", testing=True)
GOOD = AggregateRow(
    "192.0.2.1", "example.org", "pass", "pass", "fail", signatures=(ReportedSignature("example.org", "s", "pass"),)
)
BAD = AggregateRow("198.51.100.9", "news.example.org", "reject", "fail", "fail")


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    octets = b"".join(aggregate_xml(METADATA, POLICY, [AggregateRecord(GOOD, 90), AggregateRecord(BAD, 10)]))
    (folder / "one.xml").write_bytes(octets)
    (folder / "one again.xml.gz").write_bytes(gzip.compress(octets))
    other = METADATA._replace(org_name="Other", report_id="2", errors=())
    records = (AggregateRecord(GOOD._replace(source_ip=f"192.0.2.{number}"), 1) for number in range(30))
    (folder / "two").write_bytes(b"".join(aggregate_xml(other, POLICY, records)))
    (folder / ".hidden").write_text("not looked at")
    return folder


def test_reports_are_summed_up(ran, reports: Path) -> None:
    got = ran("report", "dmarc", str(reports))
    assert got.code == 0
    lines = got.out.splitlines()
    assert lines[0] == "example.org  130 messages, 92.3 % passed DMARC"
    assert lines[1].startswith("p=reject sp=none, which is being tested (t=y); 2 reports by ")
    assert lines[2] == "receivers say: two records"
    assert lines[4].split() == ["198.51.100.9", "news.example.org", "10", "10", "0", "0", "10"]
    assert lines[5].split() == ["192.0.2.1", "example.org", "91", "0", "91", "0", "0", "example.org"]
    assert "11 more sources; --all shows them." in got.out
    assert "more sources" not in ran("report", "dmarc", "--all", str(reports)).out


def test_reports_are_summed_up_as_json(ran, reports: Path) -> None:
    got = ran("report", "dmarc", "--json", str(reports / "one.xml"), str(reports / "one again.xml.gz"))
    found = json.loads(got.out)
    (domain,) = found["domains"]
    assert (domain["domain"], domain["messages"], domain["passed"], domain["reports"]) == ("example.org", 100, 90, 1)
    assert [each["source_ip"] for each in domain["sources"]] == ["198.51.100.9", "192.0.2.1"]
    assert found["unused"] == []


def test_files_without_a_report_are_named(ran, reports: Path) -> None:
    (reports / "three.xml").write_text("<html/>")
    got = ran("report", "dmarc", str(reports))
    assert got.code == 65
    assert got.out.startswith("example.org  130 messages")
    assert "three.xml has no report: the document is a 'html'" in got.err
    missing = ran("report", "dmarc", str(reports / "four"), str(reports / "one.xml"))
    assert missing.code == 66
    assert "four has no report: it cannot be read: No such file" in missing.err
    assert missing.out.startswith("example.org  100 messages")


def test_a_directory_without_files_is_named(ran, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    got = ran("report", "dmarc", str(tmp_path))
    assert (got.code, got.err) == (65, f"{tmp_path} has no report: no file is in this directory.\n")
