"""Zones in memory: records of each type, names that do not exist, failures, aliases, wildcards, and what is refused."""

from __future__ import annotations

import json

import pytest

from posthouse.core import MX, Answer, Kind, Question, SettingError, Status
from posthouse.mailauth import Zone, read_zone

FULL = Zone(
    {
        "Example.ORG.": {
            "TXT": ["v=spf1 -all", ["joined ", "text"], b"\xff"],
            "MX": [[10, "Mx.example.org."], "20 b.example.org", [0, "."]],
            "A": "192.0.2.1",
            "aaaa": ["2001:0db8::1"],
            "PTR": ["Host.example.org."],
            "SOA": ["anything"],
        },
        "one-mx.example": {"MX": [10, "mx.example.org"]},
        "deep.below.example.net": {"A": ["192.0.2.9"]},
        "alias.example": {"CNAME": ["example.org"]},
        "loop.example": {"CNAME": ["loop.example"]},
        "dangling.example": {"CNAME": ["absent.example"]},
        "broken.example": "SERVFAIL",
        "slow.example": "TIMEOUT",
        "to-slow.example": {"CNAME": ["slow.example"]},
        "gone.example": "NXDOMAIN",
        "partly.example": {"TXT": "TIMEOUT", "A": ["192.0.2.2"]},
        "*.wild.example": {"TXT": ["any"], "A": ["192.0.2.3"]},
        "real.wild.example": {"A": ["192.0.2.4"]},
        "münchen.example": {"TXT": ["grüß"]},
    }
)


def ask(name: str, kind: Kind = Kind.TXT) -> Answer:
    return FULL.look_up(Question(name, kind))


def test_records_are_in_the_types_of_an_answer() -> None:
    assert ask("example.org").records == (b"v=spf1 -all", b"joined text", b"\xff")
    assert ask("example.org", Kind.MX).records == (MX(10, "mx.example.org"), MX(20, "b.example.org"), MX(0, ""))
    assert ask("example.org", Kind.A).records == ("192.0.2.1",)
    assert ask("example.org", Kind.AAAA).records == ("2001:db8::1",)
    assert ask("example.org", Kind.PTR).records == ("host.example.org",)
    assert ask("one-mx.example", Kind.MX).records == (MX(10, "mx.example.org"),)


def test_names_are_compared_without_case_and_final_dot() -> None:
    assert ask("EXAMPLE.org.").status is Status.OK


def test_a_name_in_unicode_is_looked_up_by_its_a_labels() -> None:
    assert ask("xn--mnchen-3ya.example").records == ("grüß".encode(),)


@pytest.mark.parametrize(
    "name", ["absent.example", "x.example.org", "gone.example", "", "a..example", "x" * 64 + ".example"]
)
def test_what_is_not_in_the_zone_does_not_exist(name: str) -> None:
    assert ask(name).status is Status.NXDOMAIN


@pytest.mark.parametrize("name", ["below.example.net", "example.net", "net", "real.wild.example", "wild.example"])
def test_a_name_with_names_or_other_records_exists_without_this_type(name: str) -> None:
    assert ask(name).status is Status.NODATA
    assert ask(name).reason == f"{name} has no TXT record"


@pytest.mark.parametrize("name", ["broken.example", "slow.example", "to-slow.example", "partly.example"])
def test_a_word_in_place_of_records_is_a_temporary_failure(name: str) -> None:
    assert ask(name).status is Status.FAILED
    assert ask(name).reason


def test_one_type_may_fail_alone() -> None:
    assert ask("partly.example", Kind.A).status is Status.OK
    assert ask("partly.example", Kind.MX).status is Status.NODATA


def test_a_failure_may_stand_in_a_list_but_in_one_of_texts_it_is_a_text() -> None:
    zone = Zone({"a.example": {"A": ["TIMEOUT"], "TXT": ["TIMEOUT"], "MX": ["SERVFAIL"]}})
    assert zone.look_up(Question("a.example", Kind.A)).status is Status.FAILED
    assert zone.look_up(Question("a.example", Kind.MX)).status is Status.FAILED
    assert zone.look_up(Question("a.example", Kind.TXT)).records == (b"TIMEOUT",)


def test_one_type_may_be_said_not_to_exist() -> None:
    zone = Zone({"part.example": {"TXT": "NXDOMAIN", "A": "NXDOMAIN", "AAAA": ["2001:db8::1"], "MX": ["NXDOMAIN"]}})
    for kind in (Kind.TXT, Kind.A, Kind.MX):
        assert zone.look_up(Question("part.example", kind)).status is Status.NXDOMAIN
    assert zone.look_up(Question("part.example", Kind.AAAA)).status is Status.OK
    text = Zone({"part.example": {"TXT": ["NXDOMAIN"]}})
    assert text.look_up(Question("part.example", Kind.TXT)).records == (b"NXDOMAIN",)


def test_an_alias_is_followed() -> None:
    assert ask("alias.example", Kind.A).records == ("192.0.2.1",)
    assert ask("alias.example", Kind.CNAME).records == ("example.org",)
    assert ask("dangling.example").status is Status.NXDOMAIN
    assert ask("loop.example").status is Status.FAILED


def test_a_wildcard_stands_for_names_that_do_not_exist() -> None:
    assert ask("a.wild.example").records == (b"any",)
    assert ask("b.a.wild.example").records == (b"any",)
    assert ask("a.wild.example", Kind.MX).status is Status.NODATA
    assert ask("below.real.wild.example").status is Status.NXDOMAIN  # RFC 4592 §3.3.1: the closest encloser decides


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        ({"a.example": []}, "a.example: [] are no records; write"),
        ({"a.example": "SERVFIAL"}, "a.example: 'SERVFIAL' are no records"),
        ({"a.example": {"TXTT": ["x"]}}, "a.example: 'TXTT' is no record type; types are A, AAAA,"),
        ({"a.example": {"A": ["2001:db8::1"]}}, "a.example: A: '2001:db8::1' is no address; write \"192.0.2.1\""),
        ({"a.example": {"AAAA": [1]}}, "a.example: AAAA: 1 is no address"),
        ({"a.example": {"MX": ["mx.example"]}}, "a.example: MX: 'mx.example' is no MX record"),
        ({"a.example": {"MX": ["99999 mx.example"]}}, "is no MX record"),
        ({"a.example": {"TXT": [5]}}, "a.example: TXT: 5 is no text"),
        ({"a.example": {"CNAME": [5]}}, "a.example: CNAME: 5 is no text"),
        ({"a.example": {"A": ["192.0.2.1"]}, "A.example.": {}}, "'a.example' stands twice in the zone"),
    ],
)
def test_what_is_no_zone_is_refused_with_place_and_remedy(zone: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingError) as raised:
        Zone(zone)
    assert problem in str(raised.value)
    assert ";" in str(raised.value), "the error has a remedy"


def test_a_zone_is_read_from_json() -> None:
    zone = read_zone(json.dumps({"example.org": {"TXT": ["one"]}}))
    assert zone.look_up(Question("example.org", Kind.TXT)).records == (b"one",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the zone is no JSON text"),
        (b"\xff\xfe\xff", "the zone is no JSON text"),
        ("[" * 100_000, "the zone is no JSON text (nested too deeply)"),
        ("[]", "the zone is no JSON object"),
        ('{"a": {}, "a": {}}', "'a' stands twice in one object of the zone"),
        ('{"a": {"TXT": [], "TXT": []}}', "'TXT' stands twice"),
        ('{"a": {"TXT": ["\\ud800"]}}', "a: TXT: '\\ud800' has a character that does not exist"),
    ],
)
def test_a_text_that_is_no_zone_is_refused(text: str | bytes, problem: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_zone(text)
    assert problem in str(raised.value)
