"""Aggregate reports: written by RFC 9990, read in old and new forms, defended, summed up, and carried by a message."""

from __future__ import annotations

import base64
import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.mailauth import answer, check_dmarc
from posthouse.mailauth.dkim.verdict import SignatureResult
from posthouse.mailauth.dmarc.aggregate import (
    AggregateRecord,
    AggregateReport,
    AggregateRow,
    PolicyOverride,
    PolicyPublished,
    ReportedSignature,
    ReportedSpf,
    ReportMetadata,
    UnreadableReport,
    aggregate_reader,
    aggregate_row,
    aggregate_xml,
    compose_aggregate,
    policy_published,
    read_aggregate_report,
    report_file,
    summarize,
)
from posthouse.mailauth.dmarc.aggregate.aggregate_reader import read_aggregate_xml
from posthouse.message.reading import read

METADATA = ReportMetadata(
    "Example Receiver",
    "dmarc@receiver.test",
    "2026-11-29.1@receiver.test",
    1_764_374_400,
    1_764_460_799,
    "x",
    ("a",),
    "p",
)
POLICY = PolicyPublished("example.org", "reject", "quarantine", "none", "s", "r", "0:d", True, "treewalk")
ROW = AggregateRow(
    "192.0.2.1",
    "news.example.org",
    "quarantine",
    "fail",
    "pass",
    "bounce.example.org",
    "receiver.test",
    (PolicyOverride("policy_test_mode"), PolicyOverride("trusted_forwarder", "a <list> & more")),
    (ReportedSignature("example.org", "sel", "fail", "the body was changed"), ReportedSignature("a.test", "s", "pass")),
    (ReportedSpf("bounce.example.org", "pass"),),
)
RECORDS = (AggregateRecord(ROW, 12), AggregateRecord(ROW._replace(source_ip="2001:db8::1", envelope_from=""), 3))
REPORT = AggregateReport(METADATA, POLICY, RECORDS)


def xml() -> bytes:
    return b"".join(aggregate_xml(METADATA, POLICY, RECORDS))


def test_a_report_is_written_in_the_order_of_the_schema() -> None:
    text = xml().decode()
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">\n'
    )
    wanted = (
        "<version>1.0<", "<report_metadata>", "<org_name>Example Receiver<", "<email>", "<extra_contact_info>x<",
        "<report_id>2026-11-29.1@receiver.test<", "<date_range>", "<begin>1764374400<", "<end>1764460799<",
        "<error>a<", "<generator>p<", "<policy_published>", "<domain>example.org<", "<discovery_method>treewalk<",
        "<p>reject<", "<sp>quarantine<", "<np>none<", "<fo>0:d<", "<adkim>s<", "<aspf>r<", "<testing>y<", "<record>",
        "<row>", "<source_ip>192.0.2.1<", "<count>12<", "<policy_evaluated>", "<disposition>quarantine<",
        "<dkim>fail<", "<spf>pass<", "<reason>", "<type>policy_test_mode<", "<reason>", "<type>trusted_forwarder<",
        "<comment>a &lt;list&gt; &amp; more<", "<identifiers>", "<envelope_to>receiver.test<",
        "<envelope_from>bounce.example.org<", "<header_from>news.example.org<", "<auth_results>", "<dkim>",
        "<domain>example.org<", "<selector>sel<", "<result>fail<", "<human_result>", "<dkim>", "<spf>",
        "<scope>mfrom<", "<result>pass<", "</record>", "<record>", "2001:db8::1", "</feedback>",
    )  # fmt: skip
    at = 0
    for each in wanted:
        at = text.index(each, at) + 1


def test_a_report_is_read_as_it_was_written() -> None:
    assert read_aggregate_report(xml()) == REPORT
    assert REPORT.messages == 15
    file = report_file(METADATA, POLICY, RECORDS, receiver="mx.receiver.test", unique_id="7a")
    assert file.name == "mx.receiver.test!example.org!1764374400!1764460799!7a.xml.gz"
    assert (file.records, file.complete) == (2, True)
    assert gzip.decompress(file.octets) == xml()
    assert read_aggregate_report(file.octets) == REPORT
    again = report_file(METADATA, POLICY, iter(RECORDS), receiver="mx.receiver.test", unique_id="7a")
    assert again == file


TEXTS = st.text(max_size=30)


@given(TEXTS, TEXTS, TEXTS)
def test_no_text_breaks_the_document(comment: str, contact: str, domain: str) -> None:
    row = ROW._replace(overrides=(PolicyOverride("other", comment),), envelope_from=domain)
    written = b"".join(aggregate_xml(METADATA._replace(contact=contact), POLICY, [AggregateRecord(row, 1)]))
    found = read_aggregate_report(written)
    assert found.records[0].row.source_ip == "192.0.2.1"
    assert len(found.records[0].row.overrides) == 1
    if comment.isprintable() and comment.strip() == comment:
        assert found.records[0].row.overrides[0].comment == comment


def test_a_message_carries_a_report() -> None:
    file = report_file(METADATA, POLICY, RECORDS, receiver="receiver.test")
    made = compose_aggregate(
        file,
        METADATA,
        POLICY,
        sender=Address("dmarc", "receiver.test"),
        to=[Address("reports", "example.org")],
        receiver="receiver.test",
        date=(1_764_460_900.0, 0),
        message_id="1@receiver.test",
    )
    assert made.envelope.sender is None  # a report that cannot be delivered causes nothing
    message = read(made.content)
    assert message.subject == (
        "Report Domain: example.org Submitter: receiver.test Report-ID: <2026-11-29.1@receiver.test>"
    )
    (attachment,) = message.attachments
    assert (attachment.type, attachment.filename) == ("application/gzip", file.name)
    assert b"Auto-Submitted: auto-generated\r\n" in made.content
    assert read_aggregate_report(made.content) == REPORT


def test_what_no_report_can_have() -> None:
    with pytest.raises(LocalError, match="at least one record"):
        report_file(METADATA, POLICY, [], receiver="receiver.test")
    with pytest.raises(LocalError, match="unique id"):
        report_file(METADATA, POLICY, RECORDS, receiver="receiver.test", unique_id="a!b")
    file = report_file(METADATA, POLICY, RECORDS, receiver="re/ceiver\n.test")
    assert "/" not in file.name
    assert "\n" not in file.name
    with pytest.raises(LocalError, match="dot-atom"):
        compose_aggregate(
            file, METADATA._replace(report_id="a\r\nBcc: x"), POLICY, sender=Address("a", "b.test"),
            to=[Address("a", "b.test")], receiver="b.test", date=(0.0, 0), message_id="1@b.test",
        )  # fmt: skip


def many(number: int) -> Iterator[AggregateRecord]:
    for index in range(number):
        address = f"2001:db8::{index & 0xFFFF:x}:{index >> 16:x}"
        yield AggregateRecord(
            ROW._replace(source_ip=address, envelope_from=f"d{index * 7919 % 104729}.test"), index + 1
        )


def test_a_file_that_would_be_too_large_ends_early_and_is_whole() -> None:
    file = report_file(METADATA, POLICY, many(5_000), receiver="receiver.test", largest=10_000)
    assert not file.complete
    assert 0 < file.records < 5_000
    assert len(file.octets) < 12_000
    assert len(read_aggregate_report(file.octets).records) == file.records


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(number: int) -> int:
        tracemalloc.start()
        report_file(METADATA, POLICY, many(number), receiver="receiver.test", largest=100_000)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(2_000) < peak(200) + 200_000


# -- reading what others send -----------------------------------------------------------------------------------------

OLD = b"""<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>google.com</org_name><email>noreply@google.test</email>
    <report_id>42</report_id><date_range><begin>1</begin><end>86400</end></date_range>
  </report_metadata>
  <policy_published><domain>Example.ORG</domain><adkim>r</adkim><p>none</p><pct>100</pct></policy_published>
  <record>
    <row><source_ip>192.0.2.7</source_ip><count>2</count><policy_evaluated>
      <disposition>NONE</disposition><dkim>pass</dkim><spf>fail</spf>
      <reason><type>forwarded</type><comment/></reason></policy_evaluated></row>
    <identifiers><header_from>example.org</header_from></identifiers>
    <auth_results><dkim><domain>example.org</domain><result>pass</result></dkim>
      <spf><domain>list.test</domain><result>pass</result></spf></auth_results>
    <x:extra xmlns:x="urn:x"><x:dkim>ignored</x:dkim></x:extra>
  </record>
</feedback>
"""


def test_reports_of_the_older_form_are_read() -> None:
    found = read_aggregate_report(OLD)
    assert found.metadata == ReportMetadata("google.com", "noreply@google.test", "42", 1, 86_400)
    assert found.policy == PolicyPublished("example.org", "none", adkim="r")
    (record,) = found.records
    assert record.messages == 2
    assert record.row == AggregateRow(
        "192.0.2.7", "example.org", "none", "pass", "fail", "", "", (PolicyOverride("forwarded"),),
        (ReportedSignature("example.org", "", "pass"),), (ReportedSpf("list.test", "pass"),),
    )  # fmt: skip


def zipped(content: bytes, name: str = "google.com!example.org!1!2.xml") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("readme.txt"), "no report")
        archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def test_every_way_in_which_reports_come() -> None:
    attached = (
        b"From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\n\r\nhello\r\n--x\r\nContent-Type: application/octet-stream; name=r.xml.gz\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--x--\r\n"
    )
    for content in (
        OLD,
        b"\xef\xbb\xbf" + OLD,
        OLD.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        OLD.decode().replace("UTF-8", "Windows-1252").replace("<comment/>", "<comment>ü</comment>").encode("cp1252"),
        gzip.compress(OLD, mtime=0),
        zipped(OLD),
        attached % base64.encodebytes(gzip.compress(OLD, mtime=0)),
        b"From: a@b.test\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(zipped(OLD)),
    ):
        assert read_aggregate_report(content).metadata.report_id == "42"


BOMB = b'<!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><feedback>&b;</feedback>'
FILE = b'<!DOCTYPE f SYSTEM "file:///etc/passwd"><feedback/>'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (BOMB, "type declaration"),
        (FILE, "type declaration"),
        (b"<?xml version='1.0'?><!DOCTYPE feedback><feedback/>", "type declaration"),
        (b'<?xml version="1.0" encoding="UTF-6"?><feedback/>', "'UTF-6' is not known"),
        (b'<?xml version="1.0" encoding="hex"?><feedback/>', "'hex' is not known"),
        (b'<?xml version="1.0" encoding="utf-7"?><feedback/>', "'utf-7' is not known"),
        (b"<html><body/></html>", "'html' and no aggregate report"),
        (b"<feedback>", "no XML"),
        (b"<feedback></fedback>", "no XML"),
        (b"<feedback>\x00</feedback>", "no XML"),
        (b"<feedback>&undefined;</feedback>", "no XML"),
        (b"<feedback/>", "policy_published/domain"),
        (OLD.replace(b"<report_id>42</report_id>", b""), "report_metadata/report_id"),
        (OLD.replace(b"<begin>1<", b"<begin>one<"), "begin is 'one'"),
        (OLD.replace(b"<count>2<", b"<count>-2<"), "row/count is '-2'"),
        (OLD.replace(b"<count>2<", b"<count>99999999999999<"), "row/count"),
        (OLD.replace(b"<count>2<", b"<count>\xd9\xa2<"), "row/count"),
        (OLD.replace(b"192.0.2.7", b"example.org"), "no address"),
        (OLD.replace(b"192.0.2.7", b""), "no address"),
        (b"<feedback>" + b"<a>" * 40, "more than 30 elements"),
        (b"", "no XML document, no gzip"),
        (b"From: a@b.test\r\n\r\nhello", "no XML document, no gzip"),
        (b"\x1f\x8b nonsense", "damaged"),
        (gzip.compress(OLD, mtime=0)[:-9], "ends early"),
        (gzip.compress(OLD, mtime=0)[:100], "ends early"),
        (zipped(OLD, "report.txt"), "no XML document"),
        (zipped(OLD)[:200], "zip archive is damaged"),
    ],
)
def test_what_is_no_report_is_refused_in_words(content: bytes, complaint: str) -> None:
    with pytest.raises(UnreadableReport, match=complaint):
        read_aggregate_report(content)


def test_a_decompression_bomb_is_noticed_while_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"<feedback>" + b" " * 3_000_000)
    tracemalloc.start()
    assert sum(map(len, aggregate_reader._gunzipped(bomb))) == 3_000_010
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    monkeypatch.setattr(aggregate_reader, "_LARGEST", 1_000_000)
    for packed in (bomb, zipped(b"<feedback>" + b" " * 3_000_000), b"<feedback>" + b" " * 3_000_000):
        with pytest.raises(UnreadableReport, match="more than 1,000,000 octets"):
            read_aggregate_report(packed)


@pytest.mark.parametrize(
    "opening", [b'<feedback a="', b"<feedback><!--", b"<feedback><?a ", b"<feedback><", b"<feedback "]
)
def test_a_tag_that_does_not_end_is_not_read_anew_with_each_piece(opening: bytes) -> None:
    """The parser keeps such a tag and begins again at its start: its time would grow with the square of the size."""
    pieces = [opening, *[b'x="y" ' * 10_000] * 100]

    def stream() -> Iterator[bytes]:
        while pieces:
            yield pieces.pop(0)

    with pytest.raises(UnreadableReport, match=r"a tag or comment of more than 1,048,576 octets|no XML"):
        read_aggregate_xml(stream())
    assert len(pieces) > 80, "the rest of the document was not read"


def test_the_elements_of_a_document_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate_reader, "_MOST_ELEMENTS", 100)
    with pytest.raises(UnreadableReport, match="more than 100 elements"):
        read_aggregate_report(b"<feedback>" + b"<a/>" * 101 + b"</feedback>")


def test_records_and_their_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, _, rest = OLD.partition(b"  <record>")
    body = rest.partition(b"</record>")[0]
    signature = b"<dkim><domain>a.test</domain><result>pass</result></dkim>"
    crowded = body.replace(b"<auth_results>", b"<auth_results>" + signature * 500)
    (found,) = read_aggregate_report(opening + b"<record>" + crowded + b"</record></feedback>").records
    assert len(found.row.signatures) <= 200
    monkeypatch.setattr(aggregate_reader, "_MOST_RECORDS", 300)

    def endless() -> Iterator[bytes]:
        yield opening
        while True:
            yield (b"<record>" + body + b"</record>") * 100

    with pytest.raises(UnreadableReport, match="more than 300 records"):
        read_aggregate_xml(endless())


def test_long_texts_are_cut() -> None:
    found = read_aggregate_report(OLD.replace(b"google.com", b"g" * 100_000))
    assert found.metadata.org_name == "g" * 2_000


@given(st.binary(max_size=60), st.integers(0, len(OLD)), st.integers(0, 40))
def test_no_octets_make_the_reader_fail_otherwise(octets: bytes, at: int, width: int) -> None:
    for content in (octets, OLD[:at] + octets + OLD[at + width :], gzip.compress(OLD[:at] + octets)):
        try:
            read_aggregate_report(content)
        except UnreadableReport as error:
            assert str(error)  # noqa: PT017


@given(st.lists(st.integers(1, len(OLD) - 1), max_size=5))
def test_the_document_may_come_in_any_pieces(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(OLD)})
    pieces = [OLD[start:end] for start, end in pairwise(places)]
    assert read_aggregate_xml(pieces) == read_aggregate_report(OLD)


# -- what a receiver collects -----------------------------------------------------------------------------------------


def test_the_row_of_a_message() -> None:
    zone = {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; t=y; ruf=mailto:a@example.org; fo=1"]}}
    signatures = (
        SignatureResult("fail", "x", "example.org", "one"),
        SignatureResult("pass", "x", "list.test", "two"),
        SignatureResult("pass", "x", "mail.example.org", "three"),
        SignatureResult("pass", "x", "example.org", "four"),
    )
    passed = answer(check_dmarc("example.org", ("pass", "list.test"), signatures), zone)
    row = aggregate_row(
        "192.0.2.1",
        passed,
        SignatureResult("pass", "", "list.test"),
        signatures,
        done="none",
        envelope_from="list.test",
    )
    assert (row.disposition, row.dkim, row.spf, row.passed) == ("pass", "pass", "fail", True)
    assert [each.selector for each in row.signatures] == ["four", "three", "two", "one"]
    assert row.spf_results == (ReportedSpf("list.test", "pass"),)
    assert hash(row) == hash(row._replace())
    failed = answer(check_dmarc("example.org"), zone)
    row = aggregate_row(
        "192.0.2.1", failed, None, (), done="none", overrides=[PolicyOverride("trusted_forwarder", "arc=pass")]
    )
    assert (row.disposition, row.passed) == ("none", False)
    assert [each.kind for each in row.overrides] == ["policy_test_mode", "trusted_forwarder"]
    assert policy_published(failed) == PolicyPublished("example.org", "reject", "", "", "r", "r", "1", True, "treewalk")
    assert policy_published(answer(check_dmarc("example.org"), {})) is None
    useless = {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=bogus"]}}
    assert policy_published(answer(check_dmarc("example.org"), useless)) is None


def test_a_pass_without_an_enforced_policy_is_none() -> None:
    zone = {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=none"]}}
    found = answer(check_dmarc("example.org", "example.org"), zone)
    assert aggregate_row("192.0.2.1", found, None, (), done="none").disposition == "none"


# -- sums -------------------------------------------------------------------------------------------------------------


def test_reports_are_summed_up_by_domain_and_source() -> None:
    good = ROW._replace(dkim="pass", disposition="pass", overrides=())
    bad = ROW._replace(source_ip="198.51.100.9", spf="fail", disposition="reject", spf_results=(), signatures=())
    first = REPORT._replace(records=(AggregateRecord(good, 100), AggregateRecord(bad, 2)))
    second = REPORT._replace(
        metadata=METADATA._replace(org_name="Other", begin=METADATA.end + 1, end=METADATA.end + 86_400, errors=("b",)),
        policy=POLICY._replace(p="none"),
        records=(AggregateRecord(good, 10), AggregateRecord(ROW, 1)),
    )
    elsewhere = REPORT._replace(policy=POLICY._replace(domain="a.test"))
    one, two = summarize([first, second, first, elsewhere])  # the third comes for the second time
    assert (one.domain, two.domain) == ("a.test", "example.org")
    assert (two.messages, two.passed, two.reports) == (113, 111, 2)
    assert two.reporters == ("Example Receiver", "Other")
    assert (two.begin, two.end) == (METADATA.begin, METADATA.end + 86_400)
    assert (two.policy.p, two.errors) == ("none", ("a", "b"))
    worst, best = two.sources
    assert (worst.source_ip, worst.messages, worst.passed, worst.rejected) == ("198.51.100.9", 2, 0, 2)
    assert (best.messages, best.passed, best.dkim, best.spf, best.quarantined) == (111, 111, 110, 111, 1)
    assert best.signed_by == ("a.test",)
    assert best.sent_as == ("bounce.example.org",)
    assert best.overrides == ("policy_test_mode", "trusted_forwarder")
    assert summarize([]) == []
