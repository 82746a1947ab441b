"""The parameters of MAIL and RCPT: each row's values, and what 501 and 555 are for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import Address, Body, Notify, OriginalRecipient, Ret
from posthouse.protocol.commands import Mail, Rcpt
from posthouse.protocol.grammar import GrammarError, has_controls
from posthouse.protocol.parameters import (
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    ParameterError,
    format_parameters,
    orcpt_decode,
    orcpt_encode,
    parse_parameters,
)

ALL = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "AUTH", "REQUIRETLS"})
PROPERTY = settings(max_examples=200, deadline=None)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("SIZE=0", {"size": 0}),
        ("size=00012", {"size": 12}),
        ("SIZE=99999999999999999999", {"size": 10**20 - 1}),
        ("BODY=7BIT", {"body": Body.SEVENBIT}),
        ("body=8bitmime", {"body": Body.EIGHTBITMIME}),
        ("BODY=BinaryMime", {"body": Body.BINARYMIME}),
        ("SMTPUTF8", {"smtputf8": True}),
        ("RET=FULL", {"ret": Ret.FULL}),
        ("RET=hdrs", {"ret": Ret.HDRS}),
        ("ENVID=QQ+2B1+20x", {"envid": "QQ+1 x"}),
        ("ENVID=" + "a" * 100, {"envid": "a" * 100}),
        ("AUTH=<>", {"auth": ""}),
        ("AUTH=e+3Dmc2@Example.com", {"auth": "e=mc2@Example.com"}),
        ("AUTH=+C3+A9@x", {"auth": "é@x"}),
        ("REQUIRETLS", {"require_tls": True}),
        ("SIZE=1 BODY=8BITMIME  SMTPUTF8", {"size": 1, "body": Body.EIGHTBITMIME, "smtputf8": True}),
    ],
)
def test_mail_parameters_become_typed_values(text: str, fields: dict[str, object]) -> None:
    assert parse_parameters(text, MAIL_PARAMETERS, ALL) == fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("NOTIFY=NEVER", {"notify": Notify.NEVER}),
        ("NOTIFY=never", {"notify": Notify.NEVER}),
        ("NOTIFY=SUCCESS", {"notify": Notify.SUCCESS}),
        ("notify=Success,FAILURE,delay", {"notify": Notify.SUCCESS | Notify.FAILURE | Notify.DELAY}),
        ("NOTIFY=DELAY,DELAY", {"notify": Notify.DELAY}),
        ("ORCPT=rfc822;Bob@Example.org", {"orcpt": OriginalRecipient("rfc822", "Bob@Example.org")}),
        ("ORCPT=RFC822;a+2Bb@x", {"orcpt": OriginalRecipient("rfc822", "a+b@x")}),
        ("ORCPT=rfc822;+E4+BB+BB@+E6+96+B0.cn", {"orcpt": OriginalRecipient("utf-8", "任@新.cn")}),  # Postfix
        ("ORCPT=x400;", {"orcpt": OriginalRecipient("x400", "")}),
        ("ORCPT=utf-8;é@x", {"orcpt": OriginalRecipient("utf-8", "é@x")}),
    ],
)
def test_rcpt_parameters_become_typed_values(text: str, fields: dict[str, object]) -> None:
    assert parse_parameters(text, RCPT_PARAMETERS, ALL) == fields


@pytest.mark.parametrize(
    "text",
    [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=+1",
        "SIZE=1_0",
        "SIZE=1.5",
        "SIZE=١",
        "SIZE=100000000000000000000",
        "BODY",
        "BODY=9BIT",
        "SMTPUTF8=yes",
        "RET=SOME",
        "RET",
        "ENVID=",
        "ENVID=+",
        "ENVID=+C3+A9",
        "ENVID=a+0D+0Ab",
        "ENVID=" + "a" * 101,
        "AUTH=",
        "AUTH=joe",
        "AUTH=<a@b>",
        "AUTH=a@b=c",
        "AUTH=é@x",
        "REQUIRETLS=1",
        "SIZE=1 SIZE=1",
        "SMTPUTF8 smtputf8",
        "=x",
        "S_ZE=1",
    ],
)
def test_bad_values_of_mail_are_501(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_parameters(text, MAIL_PARAMETERS, ALL)
    assert (caught.value.code, caught.value.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=SUCCESS,NEVER",
        "NOTIFY=SUCCESS,",
        "NOTIFY=,DELAY",
        "NOTIFY=ALWAYS",
        "ORCPT=rfc822",
        "ORCPT=;a@b",
        "ORCPT=rfc[822;a@b",
        "ORCPT=rfc822;a+b",
        "ORCPT=x400;+C3+A9@x",
        "ORCPT=rfc822;+C3+A9+09@x",
        "ORCPT=rfc822;+C3+A9" + "\\" * 100,  # six times as long in the form that is sent on
        "ORCPT=rfc822;é@x",
        "ORCPT=rfc822;a+0Ab",
        "ORCPT=utf-8;",
        "ORCPT=rfc822;" + "a" * 494,
        "ORCPT=rfc822;a ORCPT=rfc822;a",
    ],
)
def test_bad_values_of_rcpt_are_501(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_parameters(text, RCPT_PARAMETERS, ALL)
    assert (caught.value.code, caught.value.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize("text", ["XYZZY", "XYZZY=1", "NOTIFY=NEVER", "BY=120;R", "SIZE=1 X=2"])
def test_what_mail_does_not_know_is_555(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_parameters(text, MAIL_PARAMETERS, ALL)
    assert caught.value.code == 555


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        ("SIZE=1", "SIZE"),
        ("BODY=8BITMIME", "8BITMIME"),
        ("BODY=BINARYMIME", "BINARYMIME"),
        ("SMTPUTF8", "SMTPUTF8"),
        ("RET=FULL", "DSN"),
        ("ENVID=a", "DSN"),
        ("AUTH=<>", "AUTH"),
        ("REQUIRETLS", "REQUIRETLS"),
    ],
)
def test_a_parameter_whose_extension_is_not_offered_is_555(text: str, extension: str) -> None:
    assert parse_parameters(text, MAIL_PARAMETERS, ALL)
    with pytest.raises(ParameterError) as caught:
        parse_parameters(text, MAIL_PARAMETERS, ALL - {extension})
    assert caught.value.code == 555


def test_dsn_brings_the_parameters_of_rcpt() -> None:
    for text in ("NOTIFY=NEVER", "ORCPT=rfc822;a@b"):
        with pytest.raises(ParameterError) as caught:
            parse_parameters(text, RCPT_PARAMETERS, ALL - {"DSN"})
        assert caught.value.code == 555


def test_utf8_in_a_value_needs_smtputf8() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_parameters("ORCPT=utf-8;é@x", RCPT_PARAMETERS, ALL - {"SMTPUTF8"})
    assert caught.value.code == 501
    assert parse_parameters("ORCPT=utf-8;\\x{E9}@x", RCPT_PARAMETERS, ALL - {"SMTPUTF8"}) == {
        "orcpt": OriginalRecipient("utf-8", "é@x")
    }


# ORCPT of type utf-8 (RFC 6533 §3) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoded", "address"),
    [
        ("a@b", "a@b"),
        ("用户@例子", "用户@例子"),
        ("\\x{7528}\\x{6237}@x", "用户@x"),
        ("\\x{1F40E}@x", "🐎@x"),
        ("\\x{10FFFF}@x", "\U0010ffff@x"),
        ("a\\x{2B}b\\x{3D}c\\x{20}\\x{5C}@x", "a+b=c \\@x"),
        ("\\x{e9}@x", "é@x"),
    ],
)
def test_embedded_code_points_are_decoded(encoded: str, address: str) -> None:
    assert orcpt_decode(f"UTF-8;{encoded}") == OriginalRecipient("utf-8", address)


@pytest.mark.parametrize(
    "encoded",
    [
        "\\x{0A}@x",  # would be a line end
        "\\x{7F}@x",
        "\\x{85}@x",
        "\\x{2028}@x",
        "\\x{D800}@x",
        "\\x{110000}@x",
        "\\x{41}@x",  # plain ASCII is not embedded
        "\\x{}@x",
        "\\x{E9",
        "\\y",
        "a+2Bb@x",  # xtext's manner, not this type's
        "\\x{E9}\\x{0A}@x",  # all or nothing
    ],
)
def test_what_does_not_follow_the_syntax_is_kept_unaltered(encoded: str) -> None:
    assert orcpt_decode(f"utf-8;{encoded}") == OriginalRecipient("utf-8", encoded)


def test_original_recipients_are_written_in_seven_bits() -> None:
    assert orcpt_encode(OriginalRecipient("utf-8", "用+户@x")) == "utf-8;\\x{7528}\\x{2B}\\x{6237}@x"
    assert orcpt_encode(OriginalRecipient("rfc822", "a+b@x")) == "rfc822;a+2Bb@x"


@pytest.mark.parametrize(
    "orcpt",
    [
        OriginalRecipient("utf-8", ""),
        OriginalRecipient("utf-8", "a\nb"),
        OriginalRecipient("utf-8", "a\x85b"),
        OriginalRecipient("rfc822", "é"),
        OriginalRecipient("rfc822", "a\r\nb"),
        OriginalRecipient("RFC822", "a"),
        OriginalRecipient("", "a"),
        OriginalRecipient("a;b", "c"),
        OriginalRecipient("rfc822", "a" * 500),
    ],
)
def test_original_recipients_that_cannot_be_written(orcpt: OriginalRecipient) -> None:
    with pytest.raises(GrammarError):
        orcpt_encode(orcpt)


@PROPERTY
@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20))
def test_every_utf8_original_recipient_comes_back(address: str) -> None:
    orcpt = OriginalRecipient("utf-8", address)
    wire = orcpt_encode(orcpt)
    assert wire.isascii()
    assert " " not in wire
    assert orcpt_decode(wire) == orcpt


@PROPERTY
@given(st.one_of(st.text(max_size=40), st.text("\\x{}0AaEe9+;=", max_size=30).map("utf-8;".__add__)))
def test_any_value_is_decoded_or_refused_and_never_to_a_control(value: str) -> None:
    try:
        orcpt = orcpt_decode(value)
    except GrammarError:
        return
    assert not has_controls(orcpt.address.replace("\t", " "))
    assert orcpt_decode(orcpt_encode(orcpt)) == orcpt


# Writing ------------------------------------------------------------------------------------------------------------


def test_only_what_is_set_is_written() -> None:
    sender = Address("a", "b")
    assert format_parameters(Mail(sender), MAIL_PARAMETERS) == ""
    assert format_parameters(Mail(sender, size=0, auth=""), MAIL_PARAMETERS) == " SIZE=0 AUTH=<>"
    full = Mail(sender, 9, Body.BINARYMIME, True, Ret.HDRS, "x y", "a=b@c", True)
    assert format_parameters(full, MAIL_PARAMETERS) == (
        " SIZE=9 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=x+20y AUTH=a+3Db@c REQUIRETLS"
    )
    assert format_parameters(Rcpt(sender), RCPT_PARAMETERS) == ""
    assert format_parameters(Rcpt(sender, Notify.NEVER), RCPT_PARAMETERS) == " NOTIFY=NEVER"
    assert format_parameters(Rcpt(sender, Notify.DELAY | Notify.SUCCESS), RCPT_PARAMETERS) == " NOTIFY=SUCCESS,DELAY"


@pytest.mark.parametrize(
    "mail",
    [
        Mail(None, size=-1),
        Mail(None, size=10**20),
        Mail(None, envid=""),
        Mail(None, envid="é"),
        Mail(None, envid="a\r\nb"),
        Mail(None, envid="a" * 101),
        Mail(None, auth="joe"),
        Mail(None, auth="a@b\r\n"),
    ],
)
def test_what_may_not_be_sent_is_not_written(mail: Mail) -> None:
    with pytest.raises(GrammarError):
        format_parameters(mail, MAIL_PARAMETERS)
