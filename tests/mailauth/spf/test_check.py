"""check_host() of RFC 7208, section by section: initial processing, evaluation, mechanisms, modifiers, limits."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.core import Address, LocalError, Status
from posthouse.mailauth import answer
from posthouse.mailauth.spf import MOST_HOSTS, SpfResult, check_spf

IP = "192.0.2.1"
IP6 = "2001:db8::1"


def check(
    record: str | list[str],
    ip: str = IP,
    mail_from: str | None = "ann@example.org",
    helo: str = "mx.example.org",
    **names: Any,
) -> SpfResult:
    """The result for a message of example.org with this record; ``names``: further names, ``_`` for a dot."""
    zone = {"example.org": {"TXT": [record] if isinstance(record, str) else record}}
    for name, records in names.items():
        zone.setdefault(name.replace("_", "."), {}).update({"TXT": [records]} if isinstance(records, str) else records)
    return answer(check_spf(ip, mail_from, helo), zone)


def word(record: str | list[str], ip: str = IP, **names: Any) -> str:
    return check(record, ip, **names).result


# §2.4, §4.3: what is checked ----------------------------------------------------------------------------------------


def test_the_reverse_path_is_checked() -> None:
    found = check("v=spf1 -all", mail_from="<Ann@Example.ORG>")
    assert (found.result, found.identity, found.domain, found.sender) == (
        "fail",
        "mailfrom",
        "example.org",
        "Ann@Example.ORG",
    )


@pytest.mark.parametrize("null", ["", "<>", None])
def test_a_null_reverse_path_is_checked_by_helo_as_postmaster(null: str | None) -> None:
    zone = {"mx.example.org": {"TXT": ["v=spf1 exists:%{l}.test -all"]}, "postmaster.test": {"A": [IP]}}
    found = answer(check_spf(IP, null, "mx.example.org"), zone)
    assert (found.result, found.identity, found.domain, found.sender) == (
        "pass",
        "helo",
        "mx.example.org",
        "postmaster@mx.example.org",
    )


@pytest.mark.parametrize("sender", ["@example.org", "example.org"])
def test_a_sender_without_local_part_is_postmaster(sender: str) -> None:
    assert check("v=spf1 -all", mail_from=sender).sender == "postmaster@example.org"


def test_an_address_is_a_sender() -> None:
    found = answer(check_spf(IP, Address("ann", "example.org"), "x"), {"example.org": {"TXT": ["v=spf1 +all"]}})
    assert found.result == "pass"


def test_the_domain_of_a_sender_is_behind_its_last_at() -> None:
    assert check("v=spf1 -all", mail_from='"a@b"@example.org').result == "fail"


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "",
            "localhost",
            "localhost.",
            ".",
            "..",
            "a..example.org",
            ".example.org",
            "example.org..",
            "x" * 64 + ".example.org",
        ),
        *("a." * 127 + "org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn\u00df\u2028.example", "absent.example"),
    ],
)
def test_a_malformed_domain_or_one_that_does_not_exist_gives_none(domain: str) -> None:
    assert check("v=spf1 -all", mail_from=f"ann@{domain}").result == "none"
    assert check("v=spf1 -all", mail_from="", helo=domain).result == "none"


def test_a_malformed_domain_is_not_asked_for() -> None:
    assert check("v=spf1 -all", mail_from="ann@a..example.org").lookups == ()
    assert check("v=spf1 -all", mail_from="ann@[192.0.2.1]").lookups == ()


def test_a_final_dot_is_no_part_of_the_domain() -> None:
    assert check("v=spf1 -all", mail_from="ann@example.org.").domain == "example.org"


def test_u_labels_become_a_labels() -> None:
    zone = {"xn--mnchen-3ya.example": {"TXT": ["v=spf1 exists:%{d} -all"], "A": [IP]}}
    found = answer(check_spf(IP, "ann@MÜNCHEN.example", "x"), zone)
    assert (found.result, found.domain) == ("pass", "xn--mnchen-3ya.example")


@pytest.mark.parametrize("ip", ["", "192.0.2", "192.0.2.1/32", "mx.example.org", "::1::"])
def test_what_is_no_address_is_the_callers_error(ip: str) -> None:
    with pytest.raises(LocalError, match="is no IP address; give"):
        check_spf(ip, "ann@example.org", "x")


# §4.4, §4.5: the record ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["SERVFAIL", "TIMEOUT", "REFUSED"])
def test_a_dns_error_is_temporary(failure: str) -> None:
    found = answer(check_spf(IP, "ann@example.org", "x"), {"example.org": failure})
    assert found.result == "temperror"
    assert "example.org" in found.reason


def test_one_spf_record_is_chosen_among_texts() -> None:
    assert word(["x", "v=spf1 -all", "v=spf10 +all"]) == "fail"
    assert word(["x", "v=spf10 +all"]) == "none"
    assert answer(check_spf(IP, "ann@example.org", "x"), {"example.org": {"A": [IP]}}).result == "none"


def test_two_records_are_a_permanent_error() -> None:
    assert word(["v=spf1 -all", "v=spf1 -all"]) == "permerror"


def test_strings_of_a_record_are_joined_without_a_space() -> None:
    zone = {"example.org": {"TXT": [["v=spf1 ip4:192.0.2", ".1 -all"]]}}
    assert answer(check_spf(IP, "ann@example.org", "x"), zone).result == "pass"


# §4.6: evaluation ---------------------------------------------------------------------------------------------------


def test_a_syntax_error_anywhere_ends_the_check_before_anything_is_evaluated() -> None:
    found = check("v=spf1 +all ip4:192.0.2.256")
    assert (found.result, found.term) == ("permerror", "ip4:192.0.2.256")
    assert len(found.lookups) == 1


def test_terms_are_tried_from_left_to_right() -> None:
    assert word("v=spf1 ?ip4:192.0.2.1 -all") == "neutral"
    assert word("v=spf1 -ip4:192.0.2.1 +all") == "fail"
    assert word("v=spf1 ~ip4:192.0.2.0/24 +all") == "softfail"


def test_without_a_match_the_result_is_neutral() -> None:
    assert word("v=spf1") == "neutral"
    assert word("v=spf1 ip4:198.51.100.1") == "neutral"


def test_unknown_modifiers_are_ignored() -> None:
    assert word("v=spf1 moo=%{c} moo=x -all ra=y") == "fail"


# §5: mechanisms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "ip", "matches"),
    [
        ("ip4:192.0.2.1", "192.0.2.1", True),
        ("ip4:192.0.2.1", "192.0.2.2", False),
        ("ip4:192.0.2.77/24", "192.0.2.1", True),
        ("ip4:192.0.2.77/25", "192.0.2.128", False),
        ("ip4:198.51.100.1/0", "192.0.2.1", True),
        ("ip4:192.0.2.1/32", "::ffff:192.0.2.1", True),
        ("ip4:0.0.0.0/0", "2001:db8::1", False),
        ("ip6:2001:db8::/32", "2001:db8:ffff::1", True),
        ("ip6:2001:db8::/127", "2001:db8::2", False),
        ("ip6:::/0", "2001:db8::1", True),
        ("ip6:::/0", "192.0.2.1", False),
        ("ip6:::ffff:192.0.2.1", "192.0.2.1", False),
        ("ip6:::ffff:0:0/96", "::ffff:192.0.2.1", False),
    ],
)
def test_networks(network: str, ip: str, matches: bool) -> None:
    assert word(f"v=spf1 {network} -all", ip) == ("pass" if matches else "fail")


@pytest.mark.parametrize(
    ("term", "ip", "matches"),
    [
        ("a", "192.0.2.10", True),
        ("a", "192.0.2.11", True),
        ("a", "192.0.2.12", False),
        ("a/24", "192.0.2.200", True),
        ("a/0", "198.51.100.1", True),
        ("a//32", "192.0.2.12", False),
        ("a:host.example.net", "192.0.2.20", True),
        ("a:HOST.example.net", "192.0.2.20", True),
        ("a:host.example.net", "2001:db8::20", True),
        ("a:host.example.net//64", "2001:db8::ffff", True),
        ("a:host.example.net/24", "2001:db8::ffff", False),
        ("a:host.example.net", "::ffff:192.0.2.20", True),
        ("a:alias.example.net", "192.0.2.20", True),
        ("a:.host.example.net", "192.0.2.20", False),
        ("mx", "192.0.2.20", True),
        ("mx", "192.0.2.10", False),
        ("mx/24", "192.0.2.99", True),
        ("mx//64", "2001:db8::99", True),
        ("mx:example.net", "192.0.2.20", False),
    ],
)
def test_addresses_and_exchanges(term: str, ip: str, matches: bool) -> None:
    zone = {
        "example.org": {
            "TXT": [f"v=spf1 {term} -all"],
            "A": ["192.0.2.10", "192.0.2.11"],
            "MX": ["10 absent.example.net", "20 host.example.net"],
        },
        "host.example.net": {"A": ["192.0.2.20"], "AAAA": ["2001:db8::20"]},
        "alias.example.net": {"CNAME": ["host.example.net"]},
    }
    assert answer(check_spf(ip, "ann@example.org", "x"), zone).result == ("pass" if matches else "fail")


def test_a_client_is_compared_with_records_of_its_own_family() -> None:
    found = check("v=spf1 a mx -all", IP6, example_org={"A": [IP], "AAAA": ["2001:db8::2"], "MX": ["1 h.example"]})
    assert [str(each.question.kind) for each in found.lookups] == ["TXT", "AAAA", "MX", "AAAA"]


def test_mx_has_no_implicit_exchange() -> None:
    assert word("v=spf1 mx -all", example_org={"A": [IP]}) == "fail"


def test_a_null_mx_matches_nothing() -> None:
    found = check("v=spf1 mx -all", example_org={"MX": ["0 ."]})
    assert (found.result, found.voids) == ("fail", 0)


def test_exists_asks_for_an_a_record_whatever_the_client_is() -> None:
    assert word("v=spf1 exists:y.test -all", IP6, y_test={"A": ["127.0.0.2"]}) == "pass"
    assert word("v=spf1 exists:y.test -all", IP6, y_test={"AAAA": [IP6]}) == "fail"


@pytest.mark.parametrize(
    "term", ["a:x.test", "mx:x.test", "exists:x.test", "include:x.test", "redirect=x.test", "mx:y.test"]
)
def test_a_dns_error_in_a_term_is_temporary(term: str) -> None:
    zone = {"example.org": {"TXT": [f"v=spf1 {term}"]}, "x.test": "TIMEOUT", "y.test": {"MX": ["1 x.test"]}}
    found = answer(check_spf(IP, "ann@example.org", "x"), zone)
    assert (found.result, found.term, found.record) == ("temperror", term, "example.org")


@pytest.mark.parametrize(
    ("included", "expected"),
    [
        ("v=spf1 +all", "pass"),
        ("v=spf1 -all", "softfail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "softfail"),
        ("v=spf1", "softfail"),
        ("v=spf1 nonsense", "permerror"),
        ("v=spf10", "permerror"),
        ("v=spf1 redirect=absent.test", "permerror"),
        ("v=spf1 redirect=other.test", "pass"),
        ("v=spf1 a:broken.test", "temperror"),
    ],
)
def test_include_depends_on_the_result_of_the_other_record(included: str, expected: str) -> None:
    zone = {
        "example.org": {"TXT": ["v=spf1 include:inc.test ~all"]},
        "inc.test": {"TXT": [included]},
        "other.test": {"TXT": ["v=spf1 ip4:192.0.2.0/24"]},
        "broken.test": "SERVFAIL",
    }
    assert answer(check_spf(IP, "ann@example.org", "x"), zone).result == expected


@pytest.mark.parametrize("target", ["absent.test", "%{h}", "%{l}.example", "x..test"])
@pytest.mark.parametrize("term", ["include:", "redirect="])
def test_a_record_that_is_not_there_is_a_permanent_error(term: str, target: str) -> None:
    found = check(f"v=spf1 {term}{target}", mail_from='"a..b"@example.org', helo="localhost")
    assert (found.result, found.term) == ("permerror", f"{term}{target}")
    assert "leads nowhere" in found.reason


def test_the_qualifier_of_an_include_is_the_result() -> None:
    found = check("v=spf1 ?include:inc.test -all", inc_test="v=spf1 ip4:192.0.2.1 -all")
    assert (found.result, found.term, found.record) == ("neutral", "?include:inc.test", "example.org")
    assert found.path == (("example.org", "?include:inc.test"), ("inc.test", "ip4:192.0.2.1"))


def test_sender_and_client_stay_the_same_inside_an_include_and_the_domain_changes() -> None:
    found = check(
        "v=spf1 include:inc.test -all",
        inc_test="v=spf1 exists:%{l}.%{o}.%{d} -all",
        ann_example_org_inc_test={"A": [IP]},
    )
    assert found.result == "pass"


PTR = {"1.2.0.192.in-addr.arpa": {"PTR": ["other.test", "Mail.Example.org"]}}


def ptr(term: str, zone: dict[str, Any] | None = None, ip: str = IP) -> SpfResult:
    names = {"example.org": {"TXT": [f"v=spf1 {term} -all"]}, "mail.example.org": {"A": [IP]}, **PTR, **(zone or {})}
    return answer(check_spf(ip, "ann@example.org", "x"), names)


def test_ptr_matches_a_validated_name_in_the_domain() -> None:
    assert ptr("ptr").result == "pass"
    assert ptr("ptr:Mail.example.ORG").result == "pass"
    assert ptr("ptr:other.test").result == "fail", "the name does not have the address"
    assert ptr("ptr:ail.example.org").result == "fail", "no label begins there"
    assert ptr("ptr:sub.mail.example.org").result == "fail"
    assert ptr("ptr", {"mail.example.org": {"A": ["192.0.2.2"]}}).result == "fail"


def test_ptr_of_an_ipv6_client() -> None:
    zone = {
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": {"PTR": ["six.example.org"]},
        "six.example.org": {"AAAA": ["2001:0db8:0::1"]},
    }
    assert ptr("ptr", zone, IP6).result == "pass"


def test_dns_errors_of_ptr_are_no_match() -> None:
    assert ptr("ptr", {"1.2.0.192.in-addr.arpa": "SERVFAIL"}).result == "fail"
    assert ptr("ptr", {"mail.example.org": "SERVFAIL"}).result == "fail"


def test_ptr_looks_at_the_first_10_names() -> None:
    names = [f"n{number}.example.org" for number in range(12)]
    zone: dict[str, Any] = {"1.2.0.192.in-addr.arpa": {"PTR": names}}
    assert ptr("ptr", zone | {names[MOST_HOSTS - 1]: {"A": [IP]}}).result == "pass"
    found = ptr("ptr", zone | {names[MOST_HOSTS]: {"A": [IP]}})
    assert found.result == "fail"
    assert len(found.lookups) == 2 + MOST_HOSTS


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (["z.test", "sub.example.org", "example.org"], "example.org"),
        (["z.test", "sub.example.org"], "sub.example.org"),
        (["z.test", "y.test"], "z.test"),
        (["forged.test"], "unknown"),
        ([], "unknown"),
    ],
)
def test_the_macro_p_is_a_validated_name_the_domain_first(names: list[str], value: str) -> None:
    zone: dict[str, Any] = {
        "1.2.0.192.in-addr.arpa": {"PTR": names} if names else "SERVFAIL",
        **{name: {"A": [IP]} for name in ("z.test", "y.test", "sub.example.org")},
        f"{value}.seen.test": {"A": [IP]},
        "example.org": {"TXT": ["v=spf1 exists:%{p}.seen.test -all"], "A": [IP]},
        "forged.test": {"A": ["192.0.2.99"]},
    }
    found = answer(check_spf(IP, "ann@example.org", "x"), zone)
    assert (found.result, found.terms) == ("pass", 2)


# §6: modifiers ------------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed_where_nothing_matches() -> None:
    found = check(
        "v=spf1 redirect=r.test ip4:198.51.100.1",
        r_test="v=spf1 exists:%{d}.%{o}.seen -all",
        r_test_example_org_seen={"A": [IP]},
    )
    assert (found.result, found.record, found.term) == ("pass", "r.test", "exists:%{d}.%{o}.seen")
    assert found.path == (("example.org", "redirect=r.test"), ("r.test", "exists:%{d}.%{o}.seen"))
    assert word("v=spf1 redirect=r.test ip4:192.0.2.1", r_test="v=spf1 -all") == "pass"


def test_a_redirect_beside_all_is_ignored() -> None:
    found = check("v=spf1 redirect=absent.test ?all")
    assert (found.result, len(found.lookups)) == ("neutral", 1)


EXPLAINED = {"why_test": {"TXT": ["%{i} is no host of %{d}"]}}


def test_a_failure_is_explained_in_the_words_of_the_domain() -> None:
    assert check("v=spf1 -all exp=why.test", **EXPLAINED).explanation == "192.0.2.1 is no host of example.org"


def test_nothing_but_a_failure_by_a_match_is_explained() -> None:
    for record in ("v=spf1 ~all exp=why.test", "v=spf1 exp=why.test", "v=spf1 exp=why.test +all"):
        found = check(record, **EXPLAINED)
        assert (found.explanation, len(found.lookups)) == ("", 1)


def test_the_explanation_may_be_left_out_with_its_look_ups() -> None:
    zone = {"example.org": {"TXT": ["v=spf1 -all exp=why.test"]}, "why.test": {"TXT": ["because"]}}
    found = answer(check_spf(IP, "ann@example.org", "x", explain=False), zone)
    assert (found.result, found.explanation, len(found.lookups)) == ("fail", "", 1)


@pytest.mark.parametrize(
    "records",
    [
        "NXDOMAIN",
        "SERVFAIL",
        {"A": [IP]},
        {"TXT": ["one", "two"]},
        {"TXT": ["%{x}"]},
        {"TXT": ["50% more"]},
        {"TXT": ["tab\there"]},
        {"TXT": ["grüß dich"]},
        {"TXT": ["%{d0}"]},
    ],
)
def test_an_explanation_that_cannot_be_had_changes_nothing(records: Any) -> None:
    zone = {"example.org": {"TXT": ["v=spf1 -all exp=why.test"]}, "why.test": records}
    found = answer(check_spf(IP, "ann@example.org", "x"), zone)
    assert (found.result, found.explanation) == ("fail", "")


def test_an_explanation_is_printable_ascii_whatever_the_sender_is() -> None:
    assert check("v=spf1 -all exp=why.test", mail_from="änn@example.org", why_test={"TXT": ["%{l}"]}).explanation == ""
    assert check("v=spf1 -all exp=why.test", helo="x\r\n250 ok", why_test={"TXT": ["%{h}"]}).explanation == ""


def test_the_explanation_of_an_included_record_is_not_used_and_that_of_a_redirect_is() -> None:
    inner = {
        "inc_test": "v=spf1 -all exp=inner.test",
        "inner_test": {"TXT": ["inner: %{d}"]},
        "why_test": {"TXT": ["outer: %{d}"]},
    }
    assert check("v=spf1 include:inc.test -all exp=why.test", **inner).explanation == "outer: example.org"
    assert check("v=spf1 include:inc.test -all", **inner).explanation == ""
    assert check("v=spf1 redirect=inc.test exp=why.test", **inner).explanation == "inner: inc.test"
    assert (
        check("v=spf1 -include:pass.test exp=why.test", pass_test="v=spf1 +all", **inner).explanation
        == "outer: example.org"
    )


def test_an_explanation_does_not_count_against_the_limits() -> None:
    record = "v=spf1 " + " ".join(f"a:n{number}.test" for number in range(10)) + " -all exp=%{p}.why.test"
    hosts = {f"n{number}_test": {"A": ["192.0.2.99"]} for number in range(10)}
    found = check(record, unknown_why_test={"TXT": ["%{p}"]}, **hosts)
    assert (found.result, found.explanation) == ("fail", "unknown")


# §4.6.4: limits -----------------------------------------------------------------------------------------------------


HOSTS = {f"n{number}_test": {"A": ["192.0.2.99"]} for number in range(12)}


@pytest.mark.parametrize("kind", ["a:n{}.test", "exists:z{}.test", "include:i{}.test", "mx:m{}.test"])
def test_10_terms_with_look_ups_are_allowed_and_no_more(kind: str) -> None:
    names: dict[str, Any] = dict(HOSTS)
    for number in range(12):
        names[f"i{number}_test"] = "v=spf1 -all"
        names[f"m{number}_test"] = {"MX": ["1 n1.test"]}
    terms = [kind.format(number) for number in range(11)]
    if kind.startswith("exists"):
        terms = [f"?{term}" for term in terms]
        names |= {f"z{number}_test": {"TXT": ["no A record"]} for number in range(12)}
        found = check("v=spf1 " + " ".join(terms) + " -all", **names)
        assert (found.result, found.voids) == ("permerror", 2)
        return
    assert check("v=spf1 " + " ".join(terms[:10]) + " -all", **names).result == "fail"
    found = check("v=spf1 " + " ".join(terms) + " -all", **names)
    assert (found.result, found.term, found.terms) == ("permerror", terms[10], 10)
    assert "10 are allowed" in found.reason


def test_terms_of_all_records_are_counted_together() -> None:
    inner = "v=spf1 " + " ".join(f"a:n{number}.test" for number in range(5)) + " -all"
    assert (
        check("v=spf1 include:i.test a:n1.test a:n2.test a:n3.test a:n4.test -all", i_test=inner, **HOSTS).result
        == "fail"
    )
    found = check("v=spf1 include:i.test include:i.test -all", i_test=inner, **HOSTS)
    assert (found.result, found.record) == ("permerror", "i.test")


def test_a_redirect_counts_and_all_and_networks_do_not() -> None:
    terms = " ".join(f"a:n{number}.test" for number in range(9))
    networks = "ip4:198.51.100.1 ip6:2001:db8::1 " * 20
    assert check(f"v=spf1 {terms} {networks} redirect=r.test", r_test="v=spf1 ~all", **HOSTS).result == "softfail"
    assert check(f"v=spf1 {terms} a:n9.test redirect=r.test", r_test="v=spf1 ~all", **HOSTS).result == "permerror"


@pytest.mark.parametrize("term", ["include:example.org", "redirect=example.org", "include:loop.test"])
def test_a_record_that_leads_to_itself_ends(term: str) -> None:
    found = check(f"v=spf1 {term}", loop_test="v=spf1 include:example.org -all")
    assert (found.result, found.terms) == ("permerror", 10)


def test_terms_behind_a_match_are_not_counted() -> None:
    assert word("v=spf1 ip4:192.0.2.1 " + "a:n1.test " * 20, **HOSTS) == "pass"


@pytest.mark.parametrize("void", ["NXDOMAIN", {"TXT": ["no address"]}])
@pytest.mark.parametrize("kind", ["a", "mx", "exists"])
def test_2_terms_with_an_empty_answer_are_allowed_and_no_more(kind: str, void: Any) -> None:
    names = dict.fromkeys(("u.test", "v.test", "w.test"), void)

    def result(*terms: str) -> SpfResult:
        zone = {"example.org": {"TXT": [f"v=spf1 {' '.join(f'{kind}:{term}' for term in terms)} ~all"]}, **names}
        return answer(check_spf(IP, "ann@example.org", "x"), zone)

    assert (result("u.test", "v.test").result, result("u.test", "v.test").voids) == ("softfail", 2)
    found = result("u.test", "v.test", "w.test")
    assert (found.result, found.term) == ("permerror", f"{kind}:w.test")
    assert "2 are allowed" in found.reason
    assert result("u.test", "u.test", "u.test").result == "permerror"


def test_the_last_void_look_up_counts_although_no_term_follows() -> None:
    assert word("v=spf1 a:u.test a:v.test a:w.test") == "permerror"


def test_void_look_ups_of_all_records_are_counted_together() -> None:
    assert word("v=spf1 a:u.test include:i.test a:v.test ~all", i_test="v=spf1 a:w.test -all") == "permerror"


def test_an_mx_term_counts_once_however_many_of_its_hosts_have_no_address() -> None:
    """§4.6.4 limits the number of terms with empty answers."""
    names = {"m_test": {"MX": ["1 u.test", "2 v.test", "3 w.test"]}, "h_test": {"MX": ["1 n1.test", "2 u.test"]}}
    assert check("v=spf1 mx:m.test mx:m.test ~all", **names).voids == 2
    assert check("v=spf1 mx:h.test ~all", **names, **HOSTS).voids == 1
    assert word("v=spf1 mx:m.test mx:h.test mx:m.test ~all", **names, **HOSTS) == "permerror"
    found = check("v=spf1 mx:h.test ~all", ip="192.0.2.99", **names, **HOSTS)
    assert (found.result, found.voids) == ("pass", 0)


def test_a_name_that_cannot_be_asked_for_matches_nothing_and_is_no_void_look_up() -> None:
    found = check("v=spf1 a:%{l}.test exists:%{l}.test mx:%{l}.test ptr:%{l}.test ~all", mail_from="a..b@example.org")
    assert (found.result, found.voids, len(found.lookups)) == ("softfail", 1, 2)
    found = check("v=spf1 a:%{l}.test exists:%{s} exists:%{l}.test ~all", mail_from="änn@example.org")
    assert (found.result, found.voids, len(found.lookups)) == ("softfail", 0, 1)


def test_10_mx_records_are_allowed_and_no_more() -> None:
    names: dict[str, Any] = {f"h{number}_test": {"A": ["192.0.2.99"]} for number in range(10)}
    names["h9_test"] = {"A": [IP]}
    exchanges = [f"{number} h{number}.test" for number in range(10)]
    assert word("v=spf1 mx -all", example_org={"MX": exchanges}, **names) == "pass"
    found = check("v=spf1 mx -all", example_org={"MX": [*exchanges, "0 h9.test"]}, **names)
    assert (found.result, found.term) == ("permerror", "mx")
    assert "11 MX records: 10 are allowed" in found.reason


def test_the_number_of_questions_is_bounded_whatever_the_records_say() -> None:
    zone: dict[str, Any] = {f"h{number}.test": {"A": ["198.51.100.1"]} for number in range(100)}
    for number in range(10):
        zone[f"m{number}.test"] = {"MX": [f"1 h{number * 10 + each}.test" for each in range(10)]}
    zone["example.org"] = {"TXT": ["v=spf1 " + " ".join(f"mx:m{number}.test" for number in range(10)) + " -all"]}
    found = answer(check_spf(IP, "ann@example.org", "x"), zone)
    assert found.result == "fail"
    assert len(found.lookups) == 1 + 10 * 11


# The result ---------------------------------------------------------------------------------------------------------


def test_the_look_ups_are_kept_with_the_terms_that_made_them() -> None:
    found = check("v=spf1 mx a:absent.test -all", example_org={"MX": ["10 n1.test"]}, **HOSTS)
    assert [(str(each), each.term) for each in found.lookups] == [
        ("TXT example.org: v=spf1 mx a:absent.test -all", ""),
        ("MX example.org: 10 n1.test.", "mx"),
        ("A n1.test: 192.0.2.99", "mx"),
        ("A absent.test: nxdomain", "a:absent.test"),
    ]
    assert found.lookups[3].answer.status is Status.NXDOMAIN
    assert found.reason == "-all in the SPF record of example.org matches 192.0.2.1"
    assert (found.terms, found.voids) == (2, 1)


# Appendix A of RFC 7208 ---------------------------------------------------------------------------------------------

APPENDIX: dict[str, Any] = {
    "example.com": {"MX": ["10 mail-a.example.com", "20 mail-b.example.com"], "A": ["192.0.2.10", "192.0.2.11"]},
    "amy.example.com": {"A": ["192.0.2.65"]},
    "bob.example.com": {"A": ["192.0.2.66"]},
    "mail-a.example.com": {"A": ["192.0.2.129"]},
    "mail-b.example.com": {"A": ["192.0.2.130"]},
    "www.example.com": {"CNAME": ["example.com"]},
    "example.org": {"MX": ["10 mail-c.example.org"]},
    "mail-c.example.org": {"A": ["192.0.2.140"]},
    "65.2.0.192.in-addr.arpa": {"PTR": ["amy.example.com"]},
    "140.2.0.192.in-addr.arpa": {"PTR": ["mail-c.example.org"]},
    "4.0.0.10.in-addr.arpa": {"PTR": ["bob.example.com"]},
}


@pytest.mark.parametrize(
    ("record", "passing", "failing"),
    [
        ("v=spf1 +all", "192.0.2.129 10.0.0.4", ""),
        ("v=spf1 a -all", "192.0.2.10 192.0.2.11", "192.0.2.65"),
        ("v=spf1 a:example.org -all", "", "192.0.2.10 192.0.2.140"),
        ("v=spf1 mx -all", "192.0.2.129 192.0.2.130", "192.0.2.10"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.129 192.0.2.130 192.0.2.140", "192.0.2.65"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131 192.0.2.143", "192.0.2.132"),
        ("v=spf1 ptr -all", "192.0.2.65", "192.0.2.140 10.0.0.4"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "192.0.2.65"),
    ],
)
def test_the_examples_of_the_rfc(record: str, passing: str, failing: str) -> None:
    zone = {**APPENDIX, "example.com": {**APPENDIX["example.com"], "TXT": [record]}}
    for ip in passing.split():
        assert answer(check_spf(ip, "ann@example.com", "x"), zone).result == "pass", ip
    for ip in failing.split():
        assert answer(check_spf(ip, "ann@example.com", "x"), zone).result == "fail", ip
