"""The check of a domain's mail records: each finding on a zone that has it, and none on a zone that is right."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.core import LocalError
from posthouse.mailauth import answer
from posthouse.mailauth.domain_check import DomainReport, check_domain
from posthouse.mailauth.domain_check.domain_report import txt_line

KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8463 appendix A.2
GOOD: dict[str, Any] = {
    "example.org": {"TXT": ["v=spf1 mx -all", "another text"], "MX": ["10 mx.example.org"]},
    "mx.example.org": {"A": ["192.0.2.1"]},
    "a._domainkey.example.org": {"TXT": [KEY]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.org,mailto:d@reports.test"]},
    "example.org._report._dmarc.reports.test": {"TXT": ["v=DMARC1"]},
    "_smtp._tls.example.org": {"TXT": ["v=TLSRPTv1; rua=mailto:t@example.org"]},
}


def report(zone: dict[str, Any], *selectors: str, domain: str = "example.org") -> DomainReport:
    return answer(check_domain(domain, selectors), {**GOOD, **zone})


def said(found: DomainReport, topic: str) -> list[tuple[str, str]]:
    (one,) = [each for each in found.topics if each.topic == topic]
    for each in one.findings:
        assert each.text.endswith((".", "…"))
        assert each.remedy
    return [(each.level, each.text) for each in one.findings]


def test_nothing_is_found_where_all_is_right() -> None:
    found = report({}, "a")
    assert found.findings == ()
    assert [each.topic for each in found.topics] == ["mx", "spf", "dkim", "dmarc", "mta-sts", "tls-rpt", "dane"]


def spf(record: str, **zone: Any) -> list[tuple[str, str]]:
    names = {name.replace("_", "."): records for name, records in zone.items()}
    return said(report({"example.org": {"TXT": [record], "MX": ["10 mx.example.org"]}, **names}), "spf")


@pytest.mark.parametrize(
    ("record", "level", "text"),
    [
        ("v=spf1 mx", "warning", "does not end with all or redirect"),
        ("v=spf1 +all", "error", "allows every host"),
        ("v=spf1 ?all", "warning", "says nothing about other hosts"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "warning", "ip4:0.0.0.0/0 allows every host"),
        ("v=spf1 mx -all a", "warning", "this is ignored: a"),
        ("v=spf1 mx redirect=example.org -all", "warning", "this is ignored: redirect=example.org"),
        ("v=spf1 mx moo=x -all", "note", "do not know: moo=x"),
        ("v=spf1 ptr -all", "warning", "ptr is slow"),
        ("v=spf1 a:gone.test -all", "warning", "a:gone.test in the record of example.org finds no record"),
        ("v=spf1 mx:gone.test -all", "warning", "finds no record of gone.test"),
        ("v=spf1 include:gone.test -all", "error", "is a permanent error: gone.test does not exist"),
        ("v=spf1 redirect=mx.example.org", "error", "mx.example.org has no SPF record"),
        ("v=spf1 include:loop.test -all", "error", "leads back to loop.test"),
        ("v=spf1 include:two.test -all", "error", "two.test has 2 SPF records"),
        ("v=spf1 include:wrong.test -all", "error", "a syntax error in 'nonsense'"),
        ("v=spf1 include:slow.test -all", "note", "slow.test was not had"),
        ("v=spf1 mx " + "ip4:192.0.2.1 " * 40 + "-all", "note", "may not fit in one DNS packet"),
        ("v=spf1 " + "mx " * 9 + "-all", "note", "needs 9 of 10 look-ups"),
        ("v=spf1 " + "mx " * 11 + "-all", "error", "needs 11 look-ups"),
        ("v=spf1 " + "mx " * 60 + "-all", "error", "needs more than 41 look-ups"),
        ("v=spf1 ip4:192.0.2 -all", "error", "syntax error in 'ip4:192.0.2'"),
    ],
)
def test_what_is_wrong_with_an_spf_record(record: str, level: str, text: str) -> None:
    found = spf(
        record,
        loop_test={"TXT": ["v=spf1 include:loop.test -all"]},
        two_test={"TXT": ["v=spf1", "v=spf1"]},
        wrong_test={"TXT": ["v=spf1 nonsense"]},
        slow_test="TIMEOUT",
    )
    assert [each for each in found if each[0] == level and text in each[1]], found


def test_look_ups_of_included_records_are_counted_whatever_matches() -> None:
    inner = {"TXT": ["v=spf1 " + "a:mx.example.org " * 6 + "-all"]}
    found = spf("v=spf1 mx include:i.test include:i.test -all", i_test=inner)
    assert ("error", found[0][1]) == found[0]
    assert "needs 15 look-ups" in found[0][1]


def test_terms_that_depend_on_the_message_are_not_asked_for() -> None:
    assert spf("v=spf1 exists:%{i}.x.test include:%{l}.x.test -all") == []
    assert "x.example.org does not exist" in spf("v=spf1 include:x.%{d} -all")[0][1]


def test_a_record_to_publish_is_offered_where_there_is_none() -> None:
    def offered(records: Any) -> str:
        (found,) = [each for each in report({"example.org": records}).topics if each.topic == "spf"]
        return found.findings[0].publish

    assert offered({"MX": ["10 mx.example.org"]}) == 'example.org. IN TXT "v=spf1 mx -all"'
    assert offered({"A": ["192.0.2.1"]}) == 'example.org. IN TXT "v=spf1 a -all"'
    assert offered({"MX": ["0 ."]}) == 'example.org. IN TXT "v=spf1 -all"'
    assert offered({"TXT": ["v=spf1 a -all", "v=spf1 a mx ~all"], "MX": ["10 mx.example.org"]}) == (
        'example.org. IN TXT "v=spf1 a mx ~all"'
    )


@pytest.mark.parametrize(
    ("zone", "level", "text"),
    [
        ({"example.org": {"MX": ["10 gone.test"]}}, "error", "gone.test in an MX record has no address"),
        ({"example.org": {"MX": ["10 alias.test"]}}, "warning", "alias.test in an MX record is an alias"),
        ({"example.org": {"MX": ["0 .", "10 mx.example.org"]}}, "error", "null MX"),
        ({"example.org": {"A": ["192.0.2.1"]}}, "note", "has no MX record"),
        ({"example.org": {"TXT": ["x"]}}, "warning", "neither MX nor address"),
        ({"example.org": "SERVFAIL"}, "note", "no answer"),
    ],
)
def test_what_is_wrong_with_the_receiving_hosts(zone: dict[str, Any], level: str, text: str) -> None:
    found = said(report({"alias.test": {"CNAME": ["mx.example.org"]}, **zone}), "mx")
    assert [each for each in found if each[0] == level and text in each[1]], found


def test_a_domain_that_does_not_exist_is_not_looked_at_further() -> None:
    found = report({}, domain="absent.test")
    assert [each.topic for each in found.topics] == ["mx"]
    assert said(found, "mx") == [("error", "absent.test does not exist in the DNS.")]


@pytest.mark.parametrize(
    ("record", "level", "text"),
    [
        ([], "error", "There is no key"),
        (["v=DKIM1; p="], "error", "revoked"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "error", "3 octets"),
        ([KEY, KEY], "error", "2 TXT records"),
        ([KEY + "; t=y"], "warning", "is a test"),
    ],
)
def test_what_is_wrong_with_a_key(record: list[str], level: str, text: str) -> None:
    found = said(report({"b._domainkey.example.org": {"TXT": record}}, "b"), "dkim")
    assert [each for each in found if each[0] == level and text in each[1]], found


@pytest.mark.parametrize(
    ("records", "level", "text"),
    [
        ({"TXT": []}, "warning", "has no DMARC record"),
        ({"TXT": ["v=DMARC1; p=none; rua=mailto:a@example.org"]}, "note", "policy is none"),
        ({"TXT": ["v=DMARC1; p=reject"]}, "note", "rua= is missing"),
        ({"TXT": ["v=DMARC1; p=refuse"]}, "error", "p=refuse is ignored"),
        ({"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=reject"]}, "error", "2 DMARC records"),
        ({"TXT": ["v=DMARC1; p=reject; rua=mailto:a@other.test"]}, "warning", "Reports go to other.test"),
        ("TIMEOUT", "note", "no answer"),
    ],
)
def test_what_is_wrong_with_a_dmarc_policy(records: Any, level: str, text: str) -> None:
    found = said(report({"_dmarc.example.org": records}), "dmarc")
    assert [each for each in found if each[0] == level and text in each[1]], found


def test_tls_records_without_effect_are_named() -> None:
    zone = {
        "_mta-sts.example.org": {"TXT": ["v=STSv1; id=a b"]},
        "_smtp._tls.example.org": {"TXT": ["v=TLSRPTv1"]},
        "_25._tcp.mx.example.org": {"TLSA": ["3 1 1 00"]},
    }
    found = report(zone)
    assert "MTA-STS record has no effect" in said(found, "mta-sts")[0][1]
    assert "TLS-RPT record has no effect" in said(found, "tls-rpt")[0][1]
    assert "not marked as signed" in said(found, "dane")[0][1]
    assert said(report({"_mta-sts.example.org": {"TXT": ["v=STSv1; id=20261129;"]}}), "mta-sts") == [
        ("note", "The policy was not fetched.")
    ]


@pytest.mark.parametrize(
    "domain", ["", "localhost", "a..b", "x" * 64 + ".test", "a b.test", "a\x1b.test", "[192.0.2.1]", "*.test"]
)
def test_what_is_no_domain_is_the_callers_error(domain: str) -> None:
    with pytest.raises(LocalError, match="is no domain name; give one"):
        check_domain(domain)


def test_a_record_is_written_as_a_line_of_a_zone_file() -> None:
    assert txt_line("a.test", 'say "x" \\') == 'a.test. IN TXT "say \\"x\\" \\\\"'
    assert txt_line("a.test", "x" * 600).count('"') == 6
