"""Authentication-Results: the grammar of RFC 8601 §2.2 rule by rule, the writer, forged fields, bounded work."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailauth.results import (
    RESULT_WORDS,
    AuthenticationResults,
    MethodResult,
    ResultProperty,
    UnreadableResults,
    is_forged,
    read_results,
    trusted_results,
    without_forged,
    write_results,
)


def test_a_field_with_every_part_is_read() -> None:
    read = read_results(
        b"example.com 1; spf=pass (the host is listed) smtp.mailfrom=ann@example.net;\r\n"
        b'\tdkim/1=fail reason="bad \\"hash\\"" header.d=example.net header.i=@example.net'
    )
    assert read == AuthenticationResults(
        "example.com",
        (
            MethodResult(
                "spf", "pass", (ResultProperty("smtp", "mailfrom", "ann@example.net"),), "", "the host is listed"
            ),
            MethodResult(
                "dkim",
                "fail",
                (ResultProperty("header", "d", "example.net"), ResultProperty("header", "i", "@example.net")),
                'bad "hash"',
            ),
        ),
    )
    (dkim,) = read.of("dkim")
    assert dkim.property("header", "d") == "example.net"
    assert dkim.property("smtp", "d") == ""


@pytest.mark.parametrize(
    ("value", "authserv_id"),
    [
        ("example.org; none", "example.org"),
        ("example.org 1; none", "example.org"),
        (' (a) "an id"(b)1(c);(d)none(e)', "an id"),
        ("example.org;none\r\n", "example.org"),
        ("例子.example; none", "例子.example"),
    ],
)
def test_none_is_a_field_without_results(value: str, authserv_id: str) -> None:
    assert read_results(value) == AuthenticationResults(authserv_id)


def test_comments_and_spaces_may_stand_between_all_parts() -> None:
    read = read_results(
        "(1) example.org (2) 1 (3) ; (4) spf (5) / (6) 1 (7) = (8) pass (9) reason (10) = (11) why (12) "
        "smtp (13) . (14) mailfrom (15) = (16) example.net (17)"
    )
    assert read.results == (
        MethodResult("spf", "pass", (ResultProperty("smtp", "mailfrom", "example.net"),), "why", "9"),
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("smtp.remote-ip=2001:db8::1", "2001:db8::1"),  # not a token; so widely written that it is read
        ("header.b=ab/cd+ef=", "ab/cd+ef="),
        ('header.b="ab/cd"', "ab/cd"),
        ("smtp.mailfrom=@example.org", "@example.org"),
        ('smtp.mailfrom="an n"@example.org', '"an n"@example.org'),
        ('header.from="a\\;b"', "a;b"),
        ('header.from=""', ""),
    ],
)
def test_values_of_properties(written: str, value: str) -> None:
    (result,) = read_results(f"a.example; spf=pass {written}; dkim=none").of("spf")
    assert [each.value for each in result.properties] == [value]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("", "an authserv-id"),
        ("(only a comment)", "an authserv-id"),
        ("example.org", "; none"),
        ("example.org 1", "; none"),
        ("example.org;", "a method"),
        ("example.org; spf", "= behind spf"),
        ("example.org; spf=", "the result of spf"),
        ("example.org; spf=pass=x", "no space"),
        ("example.org; spf=pa_ss", "the result of spf"),
        ("example.org; spf=-pass", "the result of spf"),
        ("example.org; none; spf=pass", "= behind none"),
        ("example.org spf=pass", "first semicolon"),
        ("example.org 1 2; none", "first semicolon"),
        ("example.org 12345678901; none", "first semicolon"),
        ("exam ple.org; none", "first semicolon"),
        ("example.org; spf/x=pass", "version of spf"),
        ("example.org; spf=pass smtp.mailfrom", "= behind smtp.mailfrom"),
        ("example.org; spf=pass smtp.mailfrom=", "no value"),
        ("example.org; spf=pass smtp=x", "smtp= stands where"),
        ("example.org; spf=pass smtp.a=b reason=late", "reason= stands where"),
        ("example.org; spf=pass reason=a reason=b", "reason= stands where"),
        ('example.org; spf=pass smtp.a="b"smtp.c=d', "no space"),
        ('example.org; spf=pass reason="no end', "reason of spf"),
        ("example.org; spf=pass (no end", "does not end"),
        ("example.org; spf=pass (\\", "does not end"),
        ("example.org; spf=pass ;; dkim=pass", "a method"),
        ("example.org; spf=pass\r\nbcc: x", "line end"),
        ("example.org; spf=pass\x00", "control character"),
        ("example.org; spf=pass \x7f", "control character"),
        ("example.org; spf=pass " + "(" * 21 + ")" * 21, "nested deeper"),
        ("example.org" + "; spf=pass" * 101, "more than 100"),
        ("example.org; spf=pass" + " smtp.a=b" * 51, "more than 50"),
        ("x" * 65_537, "longer than 65,536"),
    ],
)
def test_what_the_grammar_does_not_have_is_refused_in_words(value: str, complaint: str) -> None:
    with pytest.raises(UnreadableResults, match=re.escape(complaint)):
        read_results(value)


def test_a_semicolon_behind_the_last_statement_is_read() -> None:
    assert [each.method for each in read_results("example.org; spf=pass; dkim=none;").results] == ["spf", "dkim"]


def test_another_version_of_the_field_is_not_interpreted() -> None:
    assert read_results("example.org 2; spf <=> pass") == AuthenticationResults("example.org", (), 2)


def test_a_consumer_ignores_what_it_does_not_know() -> None:
    read = read_results(
        "example.org; spf=pass smtp.mailfrom=a.example made-up.mailfrom=b.test; spf/2=pass; spf=great; tarot=pass"
    )
    assert len(read.results) == 4
    assert read.usable().results == (MethodResult("spf", "pass", (ResultProperty("smtp", "mailfrom", "a.example"),)),)


OURS = ("mx.example.org", "example.org")


@pytest.mark.parametrize(
    "value",
    [
        "example.org; spf=pass",
        "EXAMPLE.ORG.; spf=pass",
        "(x) mx.example.org(y)1; none",
        '"example.org"; none',
        '"example\\.org"; none',
        "\r\n example.org\r\n ; none",
        "elsewhere.test 2; spf=pass",  # a version that we do not know (RFC 8601 §5)
        "; spf=pass",
        "example.org and more; spf=pass",
        "(no end example.org; spf=pass",
        "a\x00b; spf=pass",
    ],
)
def test_a_field_in_our_name_or_without_a_clear_one_is_forged(value: str) -> None:
    assert is_forged(value, OURS)
    assert is_forged(value.encode(), OURS)


@pytest.mark.parametrize(
    "value",
    ["elsewhere.test; spf=pass", "sub.example.org; spf=pass", "elsewhere.test (example.org); none", "x.test; ((broken"],
)
def test_a_field_of_another_host_is_not_forged(value: str) -> None:
    assert not is_forged(value, OURS)


HEADERS = (
    b"Received: by mx.example.org\r\n"
    b"Authentication-Results: example.org; spf=pass smtp.mailfrom=forged.test\r\n"
    b"authentication-results :\r\n\tMX.example.org;\r\n dkim=pass header.d=forged.test\r\n"
    b"Authentication-Results: elsewhere.test; dmarc=fail header.from=x.test made-up.a=b\r\n"
    b"Authentication-Results: elsewhere.test; dmarc=(\r\n"
    b"X-Authentication-Results: example.org; spf=pass\r\n"
    b"Subject: Authentication-Results: example.org\r\n"
)


def test_forged_fields_are_removed_and_every_other_octet_stays() -> None:
    assert without_forged(HEADERS, OURS) == (
        b"Received: by mx.example.org\r\n"
        b"Authentication-Results: elsewhere.test; dmarc=fail header.from=x.test made-up.a=b\r\n"
        b"Authentication-Results: elsewhere.test; dmarc=(\r\n"
        b"X-Authentication-Results: example.org; spf=pass\r\n"
        b"Subject: Authentication-Results: example.org\r\n"
    )
    untouched = b"Subject: x\r\n"
    assert without_forged(untouched, OURS) is untouched


def test_the_results_of_trusted_hosts_are_read() -> None:
    (found,) = trusted_results(HEADERS, ["Elsewhere.Test"])
    assert found.results == (MethodResult("dmarc", "fail", (ResultProperty("header", "from", "x.test"),)),)
    assert trusted_results(HEADERS, []) == []
    assert trusted_results(b"Authentication-Results: a.test 2; spf=pass\r\n", ["a.test"]) == []


def test_a_field_is_written_in_short_lines() -> None:
    written = write_results(
        AuthenticationResults(
            "mx.example.org",
            (
                MethodResult("spf", "pass", (ResultProperty("smtp", "mailfrom", "ann@example.net"),)),
                MethodResult("dkim", "pass", (ResultProperty("header", "d", "example.net"),), "", "2048-bit key"),
                MethodResult(
                    "dmarc",
                    "fail",
                    (
                        ResultProperty("header", "from", "example.net"),
                        ResultProperty("header", "verylongname", "a" * 34),
                    ),
                    "no aligned; identifier (at all)",
                ),
            ),
        )
    )
    assert written == (
        b"Authentication-Results: mx.example.org;\r\n"
        b"\tspf=pass smtp.mailfrom=ann@example.net;\r\n"
        b"\tdkim=pass (2048-bit key) header.d=example.net;\r\n"
        b'\tdmarc=fail reason="no aligned; identifier (at all)" header.from=example.net\r\n'
        b"\theader.verylongname=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
    )
    assert write_results(AuthenticationResults("a.test")) == b"Authentication-Results: a.test; none\r\n"
    sealed = write_results(AuthenticationResults("a.test", (MethodResult("arc", "none"),)), 7)
    assert sealed == b"ARC-Authentication-Results: i=7; a.test;\r\n\tarc=none\r\n"


@pytest.mark.parametrize(
    "results",
    [
        AuthenticationResults(""),
        AuthenticationResults("a.test", (MethodResult("spf", "pass; dkim=pass"),)),
        AuthenticationResults("a.test", (MethodResult("s pf", "pass"),)),
        AuthenticationResults("a.test", (MethodResult("spf", "pass", (ResultProperty("smtp", "a=b", "c"),)),)),
        AuthenticationResults("a.test", (MethodResult("spf", "pass", (ResultProperty("", "a", "c"),)),)),
    ],
)
def test_what_would_be_another_field_is_not_written(results: AuthenticationResults) -> None:
    with pytest.raises(ValueError, match="Authentication-Results"):
        write_results(results)


WORDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
RESULTS = st.builds(
    AuthenticationResults,
    TEXTS.filter(str),
    st.lists(
        st.builds(
            MethodResult,
            st.sampled_from(sorted(RESULT_WORDS)),
            WORDS,
            st.lists(st.builds(ResultProperty, WORDS, WORDS, TEXTS), max_size=3).map(tuple),
            TEXTS,
            TEXTS,
            st.integers(0, 9),
        ),
        max_size=4,
    ).map(tuple),
    st.just(1),
)

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _harmless(text: str) -> str:
    return _UNWRITABLE.sub("?", text)


@given(RESULTS)
def test_what_is_written_is_read_back_whatever_it_holds(results: AuthenticationResults) -> None:
    written = write_results(results)
    assert written.endswith(b"\r\n")
    lines = written.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b"\t") and line.strip() for line in lines[1:])
    assert max(map(len, lines)) <= 998
    read = read_results(written.partition(b":")[2])
    wanted = AuthenticationResults(
        _harmless(results.authserv_id),
        tuple(
            each._replace(
                reason=_harmless(each.reason),
                comment=" ".join(_harmless(each.comment).split()),
                properties=tuple(found._replace(value=_harmless(found.value)) for found in each.properties),
            )
            for each in results.results
        ),
    )
    assert read == wanted


def test_long_texts_are_cut_so_that_no_line_is_too_long() -> None:
    long = AuthenticationResults(
        '"' * 999, (MethodResult("spf", "fail", (ResultProperty("a", "b", "字" * 999),), "\\" * 999, "(" * 999),)
    )
    assert max(map(len, write_results(long).split(b"\r\n"))) <= 998


@given(st.binary(max_size=80))
def test_no_octets_make_the_reader_fail_otherwise(value: bytes) -> None:
    try:
        read_results(value)
    except UnreadableResults as error:
        assert str(error)  # noqa: PT017
    is_forged(value, OURS)


class CountedText(str):
    """A text that counts how often a part of it is looked at."""

    looked = 0

    def startswith(self, *given: object) -> bool:
        CountedText.looked += 1
        return str.startswith(self, *given)  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", ["(", "()", " ", "; spf=pass", '"', "\\", "(\\", "a.", "=", ";"])
def test_work_is_linear_in_the_length(piece: str) -> None:
    from posthouse.mailauth.results import results_reader

    def looks(times: int) -> int:
        CountedText.looked = 0
        with contextlib.suppress(UnreadableResults):
            results_reader._ResultsReader(CountedText("example.org; spf=pass " + piece * times)).field()
        return CountedText.looked

    assert looks(4_000) <= 4 * looks(1_000) + 50
