"""DMARC: each rule of RFC 9989 on policy discovery, alignment, disposition and errors, with zones as the DNS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Answer, Question
from posthouse.mailauth import Check, Zone, answer
from posthouse.mailauth.dmarc import DmarcResult, check_dmarc, walk_tree
from posthouse.mailauth.dmarc.author_domains import author_domains
from posthouse.mailauth.dmarc.tree_walk import walk_targets
from posthouse.message.authors import Unreadable

Records = Mapping[str, object]


def zone(*exists: str, **failures: str) -> dict[str, object]:
    return {name: {"A": ["192.0.2.1"]} for name in exists} | dict(failures)


def dmarc(**records: str) -> dict[str, object]:
    """``dmarc(example_org="p=none")``: the record at ``_dmarc.example.org``."""
    return {f"_dmarc.{name.replace('_', '.')}": {"TXT": [f"v=DMARC1; {text}"]} for name, text in records.items()}


def asked(check: Check[DmarcResult], records: Records) -> tuple[DmarcResult, list[str]]:
    """The result, and the questions in order, each once."""
    questions: dict[Question, Answer] = {}
    known = Zone(records)
    try:
        question = next(check)
        while True:
            questions[question] = known.look_up(question)
            question = check.send(questions[question])
    except StopIteration as end:
        found: DmarcResult = end.value
        return found, [f"{each.kind} {each.name}" for each in questions]


def result(found: DmarcResult) -> tuple[str, str]:
    return found.result, found.disposition


# -- the tree walk (§4.10) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "targets"),
    [
        ("com", ["com"]),
        ("example.com", ["example.com", "com"]),
        ("a.b.c.d.e.f.g", ["a.b.c.d.e.f.g", "b.c.d.e.f.g", "c.d.e.f.g", "d.e.f.g", "e.f.g", "f.g", "g"]),
        (
            "z.a.b.c.d.e.f.g",  # 8 labels
            ["z.a.b.c.d.e.f.g", "a.b.c.d.e.f.g", "b.c.d.e.f.g", "c.d.e.f.g", "d.e.f.g", "e.f.g", "f.g", "g"],
        ),
        (  # the example of §4.10
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",
            [
                "a.b.c.d.e.f.g.h.i.j.mail.example.com",
                "g.h.i.j.mail.example.com",
                "h.i.j.mail.example.com",
                "i.j.mail.example.com",
                "j.mail.example.com",
                "mail.example.com",
                "example.com",
                "com",
            ],
        ),
    ],
)
def test_a_walk_asks_at_most_8_names(domain: str, targets: list[str]) -> None:
    if domain.startswith("a.b.c.d.e.f.g.h"):
        targets = [domain, *(".".join(domain.split(".")[-at:]) for at in range(7, 0, -1))]
    assert walk_targets(domain) == targets
    assert len(targets) <= 8


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_no_name_makes_a_walk_longer(labels: list[str]) -> None:
    targets = walk_targets(".".join(labels))
    assert len(targets) == min(len(labels), 8)
    assert len(set(targets)) == len(targets)


@pytest.mark.parametrize(
    ("domain", "records", "organizational"),
    [
        # the three examples of §4.10.2
        ("a.mail.example.com", dmarc(mail_example_com="p=none", example_com="p=none"), "example.com"),
        ("a.mail.example.com", dmarc(mail_example_com="p=none; psd=n", example_com="p=none"), "mail.example.com"),
        ("a.mail.example.com", dmarc(com="p=none; psd=y"), "example.com"),
        ("a.mail.example.com", {}, "a.mail.example.com"),  # nothing determines it
        ("example.com", dmarc(example_com="psd=y"), "example.com"),  # psd=y where the walk began does not count
        ("example.com", dmarc(example_com="psd=y", com="p=none; psd=y"), "example.com"),
        ("x.example.com", dmarc(example_com="psd=u", com="psd=u"), "com"),
        (
            "a.b.c.d.e.f.g.h.example.com",  # the domain below a public suffix may not have been asked for
            dmarc(d_e_f_g_h_example_com="p=none; psd=y"),
            "c.d.e.f.g.h.example.com",
        ),
    ],
)
def test_the_organizational_domain(domain: str, records: Records, organizational: str) -> None:
    walk = answer(walk_tree(domain), records)
    assert walk.organizational_domain == organizational
    assert not walk.failure


def test_a_walk_ends_where_psd_says_so() -> None:
    records = dmarc(mail_example_com="psd=n", example_com="p=none")
    assert [each.domain for each in answer(walk_tree("a.mail.example.com"), records).found] == ["mail.example.com"]


def test_a_failure_ends_a_walk() -> None:
    records = {**dmarc(mail_example_com="p=none"), "_dmarc.example.com": "SERVFAIL"}
    walk = answer(walk_tree("a.mail.example.com"), records)
    assert "SERVFAIL" in walk.failure
    assert [each.domain for each in walk.found] == ["mail.example.com"]


def test_several_records_at_one_name_are_discarded() -> None:
    records = {"_dmarc.example.com": {"TXT": ["v=DMARC1; p=none", "v=DMARC1; p=reject", "v=spf1 -all"]}}
    walk = answer(walk_tree("example.com"), records)
    assert walk.found == ()
    assert "2 DMARC records" in walk.remarks[0]
    records["_dmarc.example.com"] = {"TXT": ["something else", "v=DMARC1; p=reject", "v=dmarc1; p=none"]}
    assert len(answer(walk_tree("example.com"), records).found) == 1


# -- policy discovery (§4.10.1) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "expected", "policy_domain", "tag"),
    [
        (dmarc(a_example_com="p=reject", example_com="p=none; sp=none"), "reject", "a.example.com", "p"),
        (dmarc(a_example_com="p=reject; sp=none"), "reject", "a.example.com", "p"),
        (dmarc(example_com="p=reject"), "reject", "example.com", "p"),
        (dmarc(example_com="p=none; sp=reject"), "reject", "example.com", "sp"),
        (dmarc(example_com="p=reject; sp=none; np=reject") | zone("a.example.com"), "none", "example.com", "sp"),
        (dmarc(example_com="p=reject; sp=none; np=quarantine"), "quarantine", "example.com", "np"),
        (dmarc(example_com="p=none; np=reject"), "reject", "example.com", "np"),
        (dmarc(example_com="p=reject; np=none") | zone("a.example.com"), "reject", "example.com", "p"),
        (dmarc(example_com="p=quarantine; np=none") | zone("x.a.example.com"), "quarantine", "example.com", "p"),
        (dmarc(com="p=none; sp=quarantine; psd=y") | zone("a.example.com"), "quarantine", "com", "sp"),
        (dmarc(com="p=none; sp=none; np=reject; psd=y"), "reject", "com", "np"),
        # the record of an organizational domain goes before that of its public suffix
        (dmarc(example_com="p=none", com="p=reject; psd=y"), "none", "example.com", "p"),
    ],
)
def test_where_the_policy_comes_from(records: Records, expected: str, policy_domain: str, tag: str) -> None:
    found = answer(check_dmarc("a.example.com"), records)
    assert (found.result, found.policy, found.disposition) == ("fail", expected, expected)
    assert (found.policy_domain, found.policy_tag) == (policy_domain, tag)


def test_a_record_between_author_and_organizational_domain_does_not_count() -> None:
    records = dmarc(mail_example_com="p=reject", example_com="p=none")
    assert answer(check_dmarc("a.mail.example.com"), records).policy_domain == "example.com"


def test_the_public_suffix_does_not_count_where_the_record_below_it_was_skipped() -> None:
    found = answer(check_dmarc("a.example.com"), dmarc(com="p=reject"))  # without psd=y: an organizational domain
    assert (found.policy_domain, found.disposition) == ("com", "reject")


def test_without_a_record_dmarc_does_not_apply() -> None:
    found = answer(check_dmarc("a.example.com", spf=("pass", "a.example.com")), zone("a.example.com"))
    assert result(found) == ("none", "none")
    assert (found.policy, found.record) == ("", None)
    assert found.properties == (("header.from", "a.example.com"),)


@pytest.mark.parametrize("text", ["", "p=bogus", "p=reject; sp=bogus", "p=reject; np=bogus", "p=", "sp=reject"])
def test_a_record_without_valid_policies_counts_for_its_reports_alone(text: str) -> None:
    assert result(answer(check_dmarc("example.com"), dmarc(example_com=text))) == ("none", "none")
    reported = dmarc(example_com=f"{text}; rua=mailto:a@example.com".removeprefix("; "))
    found = answer(check_dmarc("example.com"), reported)
    assert result(found) == ("fail", "none")
    assert found.policy == "none"
    assert found.remarks
    # An address that is none does not help.
    assert result(answer(check_dmarc("example.com"), dmarc(example_com=f"{text}; rua=nonsense"))) == ("none", "none")


# -- alignment (§4.4, §4.10.2, Appendix B) ----------------------------------------------------------------------------


class Verdict(NamedTuple):
    result: str
    domain: str


class Verdicts(NamedTuple):
    result: str
    signatures: tuple[Verdict, ...]


REJECT = dmarc(example_com="p=reject")


@pytest.mark.parametrize(
    ("author", "other", "passes"),
    [
        ("example.com", "example.com", True),  # B.1.1, B.1.2: strict
        ("example.com", "child.example.com", True),  # relaxed
        ("child.example.com", "example.com", True),
        ("child.example.com", "example.net", False),
        ("child.example.com", "other.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com", "com", False),
        ("Example.COM", "EXAMPLE.com.", True),
    ],
)
def test_relaxed_alignment(author: str, other: str, passes: bool) -> None:
    expected = ("pass", "none") if passes else ("fail", "reject")
    found = answer(check_dmarc(author, spf=("pass", other)), REJECT)
    assert (result(found), found.spf_aligned, found.dkim_aligned) == (expected, passes, False)
    found = answer(check_dmarc(author, dkim=[("pass", other)]), REJECT)
    assert (result(found), found.spf_aligned, found.dkim_aligned) == (expected, False, passes)


def test_strict_alignment_for_each_method() -> None:
    for tag, other in (("aspf", "spf"), ("adkim", "dkim")):
        records = dmarc(example_com=f"p=reject; {tag}=s")
        assert result(answer(check_dmarc("example.com", **{other: "a.example.com"}), records)) == ("fail", "reject")
        assert result(answer(check_dmarc("example.com", **{other: "example.com"}), records)) == ("pass", "none")
        free = "dkim" if other == "spf" else "spf"
        assert result(answer(check_dmarc("example.com", **{free: "a.example.com"}), records)) == ("pass", "none")


@pytest.mark.parametrize("word", ["fail", "softfail", "neutral", "none", "permerror", "policy"])
def test_only_a_pass_counts(word: str) -> None:
    found = answer(check_dmarc("example.com", spf=(word, "example.com"), dkim=[(word, "example.com")]), REJECT)
    assert result(found) == ("fail", "reject")


def test_one_passing_signature_is_enough() -> None:
    verdicts = (Verdict("fail", "example.com"), Verdict("pass", "list.test"), Verdict("pass", "mail.example.com"))
    for dkim in (verdicts, list(verdicts), iter(verdicts), Verdicts("pass", verdicts)):
        found = answer(check_dmarc("example.com", Verdict("pass", "list.test"), dkim), REJECT)
        assert result(found) == ("pass", "none")
        assert found.aligned == ("mail.example.com",)
        assert "mail.example.com" in found.reason


def test_every_way_to_name_a_passing_domain() -> None:
    for dkim in ("example.com", ["example.com"], ("pass", "example.com"), Verdict("pass", "example.com")):
        assert answer(check_dmarc("example.com", dkim=dkim), REJECT).dkim_aligned
    assert answer(check_dmarc("example.com", dkim=("a.test", "example.com")), REJECT).dkim_aligned
    assert answer(check_dmarc("xn--bcher-kva.example", spf="Bücher.example"), dmarc(example="p=none")).spf_aligned


def test_pairs_in_the_wrong_order_are_no_silent_failure() -> None:
    for wrong in ({"spf": ("example.com", "pass")}, {"dkim": [("example.com", "pass")]}, {"dkim": [("ok", "a.test")]}):
        with pytest.raises(ValueError, match="pairs of result and domain"):
            answer(check_dmarc("example.com", **wrong), REJECT)  # type: ignore[arg-type]


def test_a_deep_author_domain() -> None:  # B.4.2
    records = dmarc(example_com="p=reject", signing_example_com="p=none")
    author = "a.b.c.d.e.f.g.h.i.j.k.example.com"
    found, questions = asked(check_dmarc(author, "example.com", "signing.example.com"), records)
    assert (found.result, found.spf_aligned, found.dkim_aligned) == ("pass", True, True)
    assert found.policy_domain == found.organizational_domain == "example.com"
    walked = [each for each in questions if each.endswith("k.example.com")]
    assert [each.removeprefix("TXT _dmarc.") for each in walked] == [author, *walk_targets(author)[1:6]]


def test_two_organizations_below_one_public_suffix() -> None:  # B.4.3
    records = dmarc(bank_example="p=reject; psd=y", giant_bank_example="p=quarantine")
    found = answer(check_dmarc("giant.bank.example", "mail.giant.bank.example", "mail.mega.bank.example"), records)
    assert (found.spf_aligned, found.dkim_aligned) == (True, False)
    assert found.organizational_domain == found.policy_domain == "giant.bank.example"
    assert answer(check_dmarc("mega.bank.example", "giant.bank.example"), records).disposition == "reject"


def test_domains_that_cannot_be_aligned_are_not_asked_for() -> None:
    foreign = [f"s{number}.elsewhere{number}.test" for number in range(50)]
    found, questions = asked(check_dmarc("example.com", dkim=foreign), REJECT)
    assert found.result == "fail"
    assert questions == ["TXT _dmarc.example.com", "TXT _dmarc.com"]
    equal, questions = asked(check_dmarc("example.com", "example.com", ["example.com"]), REJECT)
    assert equal.result == "pass"
    assert questions == ["TXT _dmarc.example.com"]


def test_the_number_of_questions_is_bounded_whatever_signs() -> None:
    below = [f"{'x.' * 30}s{number}.example.com" for number in range(100)]
    records = dmarc(**{f"s{number}_example_com": "psd=n" for number in range(100)}) | REJECT
    _, questions = asked(check_dmarc("example.com", dkim=below), records)
    assert len(questions) <= 2 + 10 * 8


# -- disposition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "milder"), [("reject", "quarantine"), ("quarantine", "none"), ("none", "none")])
def test_a_policy_that_is_tested_is_one_level_milder(p: str, milder: str) -> None:
    found = answer(check_dmarc("example.com"), dmarc(example_com=f"p={p}; t=y"))
    assert (found.policy, found.disposition) == (p, milder)
    assert found.properties == (("header.from", "example.com"), ("policy.dmarc", milder))
    assert answer(check_dmarc("example.com"), dmarc(example_com=f"p={p}; t=n; pct=0")).disposition == p


def test_a_pass_keeps_the_policy_and_asks_for_nothing() -> None:
    found = answer(check_dmarc("example.com", "example.com"), REJECT)
    assert (found.policy, found.disposition) == ("reject", "none")


# -- failures of the DNS (§5.3.6) -------------------------------------------------------------------------------------


def test_a_failure_on_the_way_to_the_policy_is_temporary() -> None:
    for broken in ("_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com"):
        found = answer(check_dmarc("a.example.com", "elsewhere.test"), {broken: "SERVFAIL"})
        assert result(found) == ("temperror", "none")
        assert broken in found.reason


def test_a_failure_that_does_not_matter_is_none() -> None:
    records = REJECT | {"_dmarc.com": "TIMEOUT"}
    assert answer(check_dmarc("example.com", "example.com", "a.example.com"), records).result == "pass"
    assert answer(check_dmarc("example.com", "a.example.com"), records).result == "temperror"
    records = REJECT | {"_dmarc.a.example.com": "TIMEOUT"}
    assert answer(check_dmarc("example.com", "a.example.com"), records).result == "temperror"
    assert answer(check_dmarc("example.com", "a.example.com", "b.example.com"), records).result == "pass"


def test_a_method_with_a_temporary_error_may_still_have_passed() -> None:
    for given_results in ({"spf": ("temperror", "a.example.com")}, {"dkim": [("temperror", "example.com")]}):
        found = answer(check_dmarc("example.com", **given_results), REJECT)  # type: ignore[arg-type]
        assert result(found) == ("temperror", "none")
    found = answer(check_dmarc("example.com", ("temperror", "example.com"), ["example.com"]), REJECT)
    assert result(found) == ("pass", "none")
    found = answer(check_dmarc("example.com", ("temperror", "elsewhere.test"), [("temperror", "x.test")]), REJECT)
    assert result(found) == ("fail", "reject")


def test_whether_the_author_exists_is_asked_only_where_it_matters() -> None:
    for text, questions in {
        "p=reject": [],
        "p=reject; np=reject": [],
        "p=reject; sp=none; np=none": [],
        "p=none; np=reject": ["A a.example.com"],
    }.items():
        found, asked_for = asked(check_dmarc("a.example.com"), dmarc(example_com=text))
        assert [each for each in asked_for if each.startswith("A ")] == questions
        assert found.result == "fail"
    records = dmarc(example_com="p=none; np=reject")
    assert not any(each.startswith("A ") for each in asked(check_dmarc("a.example.com", "example.com"), records)[1])
    assert answer(check_dmarc("a.example.com"), records | {"a.example.com": "SERVFAIL"}).result == "temperror"
    exists = records | {"a.example.com": {"MX": [[10, "mx.example.com"]]}}
    assert answer(check_dmarc("a.example.com"), exists).disposition == "none"


# -- the author (§5.3.1, §11.5) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("author", "domains"),
    [
        ("example.com", ["example.com"]),
        ("Example.COM.", ["example.com"]),
        ("ann@example.com", ["example.com"]),
        ('"Ann, of x@other.test" <ann@example.com>', ["example.com"]),
        ("Ann (boss@other.test) <ann@example.com>", ["example.com"]),
        ("ann@a.test, bob@b.test, carl@a.test", ["a.test", "b.test"]),
        ("Team: ann@a.test;", ["a.test"]),
        ("ann@bücher.example", ["xn--bcher-kva.example"]),
        ("bücher.example", ["xn--bcher-kva.example"]),
        ("ann@[192.0.2.1]", ["[192.0.2.1]"]),
        (b"Subject: x\r\nFrom: ann@example.com\r\n\r\nFrom: bob@other.test\r\n", ["example.com"]),
        (b"From: Ann\r\n <ann@example.com>\r\nSender: bob@b.test\r\nSender: x@c.test\r\n", ["example.com"]),
        (b"Subject: x\nFrom: Ann\n <ann@example.com>\n\nFrom: b@c.test\n", ["example.com"]),  # a text of this system
        ([b"From: ann@exam", b"ple.com\r\n", b"\r", b"\n", b"From: never read"], ["example.com"]),
    ],
)
def test_the_domains_of_the_author(author: str | bytes | list[bytes], domains: list[str]) -> None:
    assert author_domains(author) == domains


@pytest.mark.parametrize(
    "author",
    [
        "",
        "a..b",
        "x" * 64 + ".test",
        "a." * 127 + "test",
        "ann@",
        "Ann <ann>: x",
        "undisclosed: ;",
        b"",
        b"Subject: x\r\n\r\nFrom: ann@example.com\r\n",
        b"From: ann@a.test\r\nFrom: ann@b.test\r\n\r\n",
        b"From: ann@a.test <bob@b.test\r\n\r\n",
        b"From: ann@a.test\r\n\x00no field\r\n\r\n",
        [b"X: " + b"x" * 300_000, b"\r\nFrom: ann@a.test\r\n\r\n"],
    ],
)
def test_an_author_that_cannot_be_told_is_a_permanent_error(author: str | bytes | list[bytes]) -> None:
    with pytest.raises(Unreadable):
        author_domains(author)
    found = answer(check_dmarc(author, spf="a.test"), {})
    assert result(found) == ("permerror", "none")
    assert found.reason.startswith("the author cannot be told: ")


def test_an_address_literal_has_no_policy() -> None:
    assert answer(check_dmarc("ann@[192.0.2.1]"), {}).result == "none"


def test_of_several_authors_the_strictest_result_counts() -> None:
    records = dmarc(strict_test="p=reject", mild_test="p=quarantine", passing_test="p=reject")
    for others, expected in {
        "b@strict.test": ("fail", "reject"),
        "b@mild.test": ("fail", "quarantine"),
        "b@mild.test, c@strict.test": ("fail", "reject"),
        "b@plain.test": ("none", "none"),
    }.items():
        found = answer(check_dmarc(f"a@passing.test, {others}", "passing.test"), records)
        assert result(found) == expected
        assert found.authors[0].author_domain == "passing.test"
    both = answer(check_dmarc("a@passing.test, b@strict.test", "passing.test", "strict.test"), records)
    assert result(both) == ("pass", "none")
    broken = answer(check_dmarc("a@passing.test, b@x.test", "passing.test"), records | {"_dmarc.x.test": "SERVFAIL"})
    assert result(broken) == ("temperror", "none")


def test_too_many_authors_are_not_judged() -> None:
    many = ", ".join(f"a@d{number}.test" for number in range(6))
    found, questions = asked(check_dmarc(many, "d0.test"), {})
    assert (result(found), questions) == (("permerror", "none"), [])


def test_the_results_of_spf_and_dkim_as_they_come() -> None:
    from posthouse.mailauth.dmarc.evaluation import _identifiers

    spf = Verdict("pass", "Bounce.Example.com")
    dkim = Verdicts("pass", (Verdict("temperror", "a.test"), Verdict("pass", "a.test"), Verdict("fail", "b.test")))
    assert _identifiers(spf, dkim) == [("spf", "bounce.example.com", True), ("dkim", "a.test", True)]
