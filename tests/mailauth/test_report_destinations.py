"""Where DMARC reports go: the check of destinations elsewhere (RFC 9990 §4), and failure reports (RFC 9991)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError
from posthouse.mailauth import answer, check_dmarc
from posthouse.mailauth.dmarc import read_dmarc_record
from posthouse.mailauth.dmarc.failure_report import FailedMessage, FailedSignature, compose_failure
from posthouse.mailauth.dmarc.report_destinations import ReportDestination, find_destinations
from posthouse.mailauth.results import AuthenticationResults, MethodResult
from posthouse.message.reports import ReportKind, read_report


def find(
    record: str, records: dict[str, object], domain: str = "blue.example.com", kind: str = "rua"
) -> list[ReportDestination]:
    found = read_dmarc_record(f"v=DMARC1; p=none; {record}")
    assert found is not None
    return list(answer(find_destinations(domain, found, kind), records))  # type: ignore[arg-type]


def addresses(found: list[ReportDestination]) -> list[str]:
    return [str(address) for each in found for address in each.addresses]


def txt(*texts: str) -> dict[str, object]:
    return {"TXT": list(texts)}


ORGANIZATION: dict[str, object] = {"_dmarc.example.com": txt("v=DMARC1; p=none")}
NAME = "blue.example.com._report._dmarc.red.example.net"


def test_addresses_of_the_organization_need_no_permission() -> None:
    record = "rua=mailto:a@blue.example.com,mailto:b@example.com,mailto:c@green.example.com"
    found = find(record, ORGANIZATION)
    assert addresses(found) == ["a@blue.example.com", "b@example.com", "c@green.example.com"]
    assert not any(each.external or each.temporary for each in found)


def test_an_address_elsewhere_needs_a_record_there() -> None:  # the example of §4
    record = "rua=mailto:reports@red.example.net"
    (found,) = find(record, ORGANIZATION)
    assert (found.addresses, found.external, found.temporary) == ((), True, False)
    assert NAME in found.reason
    assert addresses(find(record, ORGANIZATION | {NAME: txt("v=DMARC1")})) == ["reports@red.example.net"]
    assert addresses(find(record, ORGANIZATION | {NAME: txt("other", "v=DMARC1;")})) == ["reports@red.example.net"]
    assert addresses(find(record, ORGANIZATION | {NAME: txt("v=DMARC2", "DMARC1")})) == []
    wildcard = ORGANIZATION | {"*._report._dmarc.red.example.net": txt("v=DMARC1")}
    assert addresses(find(record, wildcard)) == ["reports@red.example.net"]


def test_the_other_host_may_name_other_addresses_of_its_own() -> None:
    record = "rua=mailto:reports@red.example.net"
    new = ORGANIZATION | {NAME: txt("v=DMARC1; rua=mailto:new@red.example.net,mailto:two@RED.example.net")}
    assert addresses(find(record, new)) == ["new@red.example.net", "two@red.example.net"]
    for elsewhere in ("mailto:x@victim.test", "mailto:x@example.net", "https://red.example.net/"):
        wrong = ORGANIZATION | {NAME: txt(f"v=DMARC1; rua=mailto:new@red.example.net,{elsewhere}")}
        (found,) = find(record, wrong)
        assert found.addresses == ()  # to neither (§4)
    only_ruf = ORGANIZATION | {NAME: txt("v=DMARC1; ruf=mailto:x@victim.test")}
    assert addresses(find(record, only_ruf)) == ["reports@red.example.net"]


def test_a_failure_of_the_dns_is_temporary() -> None:
    record = "rua=mailto:reports@red.example.net"
    for broken in (NAME, "_dmarc.red.example.net", "_dmarc.com"):
        (found,) = find(record, ORGANIZATION | {broken: "SERVFAIL"})
        assert (found.addresses, found.temporary) == ((), True)


def test_what_cannot_be_sent_to() -> None:
    (found,) = find("rua=https://example.com/", ORGANIZATION)
    assert found.addresses == ()
    assert "mailto" in found.reason
    long = ".".join(["x" * 60] * 4)
    (found,) = find("rua=mailto:a@red.example.net", {}, domain=long)
    assert "too long" in found.reason


@pytest.mark.parametrize("local", ["x" * 65, "%C3%BC", "%FF"])
def test_an_address_that_not_every_server_can_send_to(local: str) -> None:
    (found,) = find(f"rua=mailto:{local}@example.com", ORGANIZATION)
    assert found.addresses == ()
    assert "not every server" in found.reason
    named = ORGANIZATION | {NAME: txt(f"v=DMARC1; rua=mailto:{local}@red.example.net,mailto:new@red.example.net")}
    assert addresses(find("rua=mailto:reports@red.example.net", named)) == ["new@red.example.net"]


def test_a_public_suffix_gets_no_failure_reports() -> None:
    record = "ruf=mailto:a@example.com; rua=mailto:b@example.com; psd="
    assert addresses(find(record + "y", ORGANIZATION, "example.com", "ruf")) == []
    assert addresses(find(record + "y", ORGANIZATION, "example.com", "rua")) == ["b@example.com"]
    assert addresses(find(record + "n", ORGANIZATION, "example.com", "ruf")) == ["a@example.com"]


ZONE = {"_dmarc.example.org": txt("v=DMARC1; p=reject; ruf=mailto:a@example.org")}
HEADERS = b"From: Ann <ann@example.org>\r\nTo: bob@bob.test\r\nSubject: Tea\r\nMessage-ID: <7@example.org>\r\n"


def failed(headers: bytes = HEADERS, mail_from: Address | None = None, reason: str = "") -> FailedMessage:
    results = AuthenticationResults("mx.test", (MethodResult("dmarc", "fail", reason=reason),))
    return FailedMessage(
        headers, mail_from, "192.0.2.1", 1_764_500_000.0, results, "reject",
        (FailedSignature("example.org", "sel"),), "mail.example.org", "v=spf1 -all",
    )  # fmt: skip


def compose(
    message: FailedMessage, author: str = "example.org", to: tuple[Address, ...] = (Address("a", "example.org"),)
) -> bytes:
    made = compose_failure(
        message,
        answer(check_dmarc(author), ZONE),
        sender=Address("reports", "mx.test"),
        to=to,
        user_agent="Posthouse/1",
        date=(1_764_500_001.0, 0),
        message_id="1@mx.test",
    )
    assert made.envelope.sender is None
    assert made.content.isascii()
    assert all(len(line) <= 998 for line in made.content.split(b"\r\n"))
    return made.content


def test_a_failure_report_is_read_as_one() -> None:
    content = compose(failed(mail_from=Address("eve", "evil.test")))
    report = read_report(content)
    assert report is not None
    assert report.kind is ReportKind.FEEDBACK
    assert report.feedback is not None
    assert (report.feedback.kind, report.feedback.source_ip) == ("auth-failure", "192.0.2.1")
    assert report.feedback.mail_from == "eve@evil.test"
    assert report.feedback.domains == ("example.org",)
    fields = dict(report.feedback.fields)
    assert fields["auth-failure"] == "dmarc"
    assert fields["identity-alignment"] == "dkim, spf"
    assert fields["delivery-result"] == "reject"
    assert fields["dkim-domain"] == "example.org"
    assert fields["dkim-identity"] == "@example.org"
    assert fields["dkim-selector"] == "sel"
    assert fields["spf-dns"] == 'txt : mail.example.org : "v=spf1 -all"'
    assert fields["authentication-results"] == "mx.test; dmarc=fail"
    assert report.original == HEADERS
    assert report.message_id == "7@example.org"
    assert b"Auto-Submitted: auto-generated\r\n" in content


def test_the_body_is_never_in_a_report() -> None:
    assert b"secret" not in compose(failed(HEADERS + b"\r\nsecret\r\n"))


@given(st.binary(max_size=200), st.text(max_size=40))
def test_no_message_breaks_the_report(headers: bytes, text: str) -> None:
    content = compose(failed(HEADERS + b"X: " + headers, Address(text or "x", "evil.test"), text))
    report = read_report(content)
    assert report is not None
    assert report.feedback is not None
    assert report.feedback.source_ip == "192.0.2.1"


def test_a_report_needs_somewhere_to_go() -> None:
    for to in ((), (Address("ä", "example.org"),)):
        with pytest.raises(LocalError):
            compose(failed(), to=to)
