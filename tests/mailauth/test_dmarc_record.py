"""DMARC policy records: every tag, every tolerance, and what is no record at all (RFC 9989 §4.7, §4.8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address
from posthouse.mailauth.dmarc import DmarcRecord, ReportUri, read_dmarc_record


def read(text: str | bytes) -> DmarcRecord:
    record = read_dmarc_record(text)
    assert record is not None
    return record


def test_every_tag() -> None:
    record = read(
        "v=DMARC1; p=quarantine; sp=reject; np=none; psd=n; t=y; adkim=s; aspf=s; fo=1:d:s; "
        "rua=mailto:a@example.com, mailto:b%2Bc@example.net!10m; ruf=mailto:r@example.com?subject=x"
    )
    assert record._replace(text="") == DmarcRecord(
        "quarantine",
        "reject",
        "none",
        "n",
        True,
        "s",
        "s",
        ("1", "d", "s"),
        (
            ReportUri("mailto:a@example.com", Address("a", "example.com")),
            ReportUri("mailto:b%2Bc@example.net", Address("b+c", "example.net"), 10 << 20),
        ),
        (ReportUri("mailto:r@example.com?subject=x", Address("r", "example.com")),),
    )
    assert record.applies


def test_defaults() -> None:
    record = read("v=DMARC1;p=none")
    assert (record.sp, record.np, record.psd, record.t) == (None, None, "u", False)
    assert (record.adkim, record.aspf, record.fo, record.rua, record.ruf) == ("r", "r", ("0",), (), ())
    assert record.remarks == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=DMARC",
        "v=DMARC2; p=none",
        "v=dmarc1; p=none",  # the value's case counts
        "v=DMARC1 p=none",
        "v=DMARC1, p=none",
        "v=DMARC11; p=none",
        " v=DMARC1; p=none",
        "p=none; v=DMARC1",
        "v=spf1 -all",
        "x=y; v=DMARC1; p=none",
        '"v=DMARC1; p=none"',
        "v = DMARC1\\; p=none",
        "v=DMARC1; p=none" + " " * 16_384,
    ],
)
def test_what_does_not_begin_with_the_version_is_no_record(text: str) -> None:
    assert read_dmarc_record(text) is None
    assert read_dmarc_record(text.encode()) is None


@pytest.mark.parametrize("text", ["v=DMARC1", "v=DMARC1;", "V\t= DMARC1 ;p=none;", "v=DMARC1 ; ; p = none ;"])
def test_what_begins_with_it_is_one(text: str) -> None:
    assert read(text).p in (None, "none")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("p=none; adkim=x", "adkim=x is ignored: it can be r, s"),
        ("p=none; aspf=", "is no tag"),
        ("p=none; t=maybe", "t=maybe"),
        ("p=none; psd=yes", "psd=yes"),
        ("p=none; fo=0:1", "fo=0:1"),
        ("p=none; fo=2", "fo=2"),
        ("p=none; fo=d:d", "fo=d:d"),
        ("p=none; pct=50", "pct= is ignored: RFC 9989 has removed it; t=y"),
        ("p=none; ri=3600", "ri= is ignored"),
        ("p=none; rf=afrf", "rf= is ignored"),
        ("p=none; p=reject", "p= stands twice"),
        ("p=none; v=DMARC1", "v= stands twice"),
        ("p=none; nonsense", "'nonsense' is no tag"),
        ("p=none; =x", "is no tag"),
        ("p=none; a1=x", "is no tag"),
        ("p=none; sp=ré", "is no tag"),
        ("p=none; rua=a@example.com", "a@example.com in rua= is ignored: it is no URI"),
        ("p=none; rua=mailto:example.com", "stands no address"),
        ("p=none; rua=mailto:a@-x", "stands no address"),
        ("p=none; rua=mailto:a%0d%0a@example.com", "stands no address"),
        ("p=none; ruf=mailto:a@b.test!10x", "it is no URI"),
        ("", "p= is missing: the record has no effect"),
        ("rua=mailto:a@b.test", "p= is missing: p=none is assumed"),
        ("p=bogus", "a policy is wrong: the record has no effect"),
        ("p=none; rua=" + ",".join(f"mailto:a{n}@b.test" for n in range(11)), "more than 10 addresses"),
    ],
)
def test_what_is_wrong_is_ignored_and_remarked(text: str, remark: str) -> None:
    record = read(f"v=DMARC1; {text}")
    assert any(remark in each for each in record.remarks), record.remarks
    assert (record.adkim, record.aspf, record.t, record.psd, record.fo) == ("r", "r", False, "u", ("0",))
    assert len(record.rua) <= 10
    if text.startswith("p=none"):
        assert record.p == "none"


def test_unknown_tags_and_the_case_of_known_ones_have_no_meaning() -> None:
    assert read("v=DMARC1; P=Reject; new=thing; ADKIM=S").policy() == ("reject", "p")
    assert read("v=DMARC1; p=none; new=thing").remarks == ()


def test_other_schemes_are_known_and_not_used() -> None:
    (uri,) = read("v=DMARC1; p=none; rua=https://example.com/report").rua
    assert (uri.uri, uri.address) == ("https://example.com/report", None)


@pytest.mark.parametrize(
    ("text", "own", "subdomain", "absent"),
    [
        ("p=reject", "reject", "reject", "reject"),
        ("p=reject; sp=none", "reject", "none", "none"),
        ("p=reject; np=none", "reject", "reject", "none"),
        ("p=none; sp=quarantine; np=reject", "none", "quarantine", "reject"),
        ("p=reject; sp=bogus", "none", "none", "none"),
    ],
)
def test_policies(text: str, own: str, subdomain: str, absent: str) -> None:
    record = read(f"v=DMARC1; {text}")
    assert record.policy()[0] == own
    assert record.policy(subdomain=True)[0] == subdomain
    assert record.policy(subdomain=True, exists=False)[0] == absent
    assert record.policy(exists=False)[0] == own  # np is for subdomains


def test_when_failure_reports_are_wanted() -> None:
    def wants(fo: str, *, ruf: str = "ruf=mailto:a@b.test") -> list[bool]:
        record = read(f"v=DMARC1; p=none; {fo}{ruf}")
        return [record.wants(*(each == number for each in range(4))) for number in range(4)]

    assert wants("") == [True, False, False, False]
    assert wants("fo=1; ") == [False, True, False, False]
    assert wants("fo=d:s; ") == [False, False, True, True]
    assert wants("fo=1:d:s; ", ruf="") == [False] * 4  # fo without ruf is ignored


@given(st.binary(max_size=100))
def test_no_octets_make_the_reader_fail(octets: bytes) -> None:
    assert read_dmarc_record(b"v=DMARC1;" + octets) is not None
    read_dmarc_record(octets)
