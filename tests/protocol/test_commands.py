"""Lines read into commands, and commands written to lines: what is taken, and which reply each fault suggests."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posthouse.core import Address, Body, LocalError, Notify, OriginalRecipient, Reply, Ret
from posthouse.protocol.commands import (
    Auth,
    Bdat,
    Command,
    Data,
    Expn,
    Greet,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    write_command,
)
from posthouse.protocol.limits import Limits
from posthouse.protocol.parsing import CommandError, parse_command

ALL = frozenset(
    {"SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "STARTTLS", "AUTH", "REQUIRETLS", "PIPELINING"}
)
NONE: frozenset[str] = frozenset()
PROPERTY = settings(max_examples=200, deadline=None)

LANGRUI = Address("langrui", "sohu.com")
RENPING = Address("renping", "sina.com")


def refusal(line: bytes | str, accepts: frozenset[str] = ALL) -> tuple[str, int, str]:
    """Verb, code and enhanced code of the refusal that ``line`` meets."""
    with pytest.raises(CommandError) as caught:
        parse_command(line if isinstance(line, bytes) else line.encode(), accepts)
    reply = caught.value.reply
    assert reply.text.isascii()
    assert reply.text[0].isupper()
    assert "\n" not in reply.text
    return caught.value.verb, reply.code, reply.enhanced


def outcome(line: bytes, accepts: frozenset[str]) -> Command | Reply:
    """The command in ``line``, or the reply that refuses it."""
    try:
        return parse_command(line, accepts)
    except CommandError as error:
        return error.reply


# Reading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("HELO sohu.com", Greet("HELO", "sohu.com")),
        ("EHLO [192.0.2.1]", Greet("EHLO", "[192.0.2.1]")),
        ("LHLO Sohu.Com", Greet("LHLO", "Sohu.Com")),
        ("ehlo MY_HOST ", Greet("EHLO", "MY_HOST")),
        ("MAIL FROM:<langrui@sohu.com>", Mail(LANGRUI)),
        ("mail from:<langrui@Sohu.COM>", Mail(LANGRUI)),
        ("MAIL FROM: <langrui@sohu.com>", Mail(LANGRUI)),
        ("MAIL FROM:<langrui@sohu.com>  ", Mail(LANGRUI)),
        ("MAIL  FROM:<langrui@sohu.com>", Mail(LANGRUI)),
        ("MAIL FROM:<>", Mail(None)),
        ("MAIL FROM:<> SIZE=7", Mail(None, size=7)),
        ("MAIL FROM:<@a,@b:langrui@sohu.com>", Mail(LANGRUI)),
        ('MAIL FROM:<"a> SIZE=9 "@x> SIZE=7', Mail(Address("a> SIZE=9 ", "x"), size=7)),
        ("MAIL FROM:<a@[t:x>y]> SIZE=7", Mail(Address("a", "[t:x>y]"), size=7)),
        ("MAIL FROM:<用户@例子.中国> SMTPUTF8", Mail(Address("用户", "例子.中国"), smtputf8=True)),
        ("MAIL FROM:<a@b> BODY=BINARYMIME", Mail(Address("a", "b"), body=Body.BINARYMIME)),
        (
            "MAIL FROM:<a@b> RET=HDRS ENVID=x+20y AUTH=<> REQUIRETLS",
            Mail(Address("a", "b"), ret=Ret.HDRS, envid="x y", auth="", require_tls=True),
        ),
        ("RCPT TO:<renping@sina.com>", Rcpt(RENPING)),
        ("rcpt to: <renping@sina.com> ", Rcpt(RENPING)),
        ("RCPT TO:<Postmaster>", Rcpt(Address("Postmaster"))),
        ("RCPT TO:<用户@例子.中国>", Rcpt(Address("用户", "例子.中国"))),
        (
            "RCPT TO:<renping@sina.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb@x",
            Rcpt(RENPING, Notify.FAILURE | Notify.DELAY, OriginalRecipient("rfc822", "a+b@x")),
        ),
        ("DATA", Data()),
        ("data ", Data()),
        ("BDAT 0", Bdat(0)),
        ("BDAT 1000 LAST", Bdat(1000, True)),
        ("bdat  86   last ", Bdat(86, True)),
        ("RSET", Rset()),
        ("NOOP", Noop()),
        ("NOOP  are you there? é ", Noop("are you there? é")),
        ("QUIT", Quit()),
        ("qUiT", Quit()),
        ("VRFY renping", Vrfy("renping")),
        ("VRFY Ren Ping", Vrfy("Ren Ping")),
        ("VRFY renping SMTPUTF8", Vrfy("renping", True)),
        ("VRFY renping  smtputf8 ", Vrfy("renping", True)),
        ("VRFY SMTPUTF8", Vrfy("SMTPUTF8")),
        ("VRFY xSMTPUTF8", Vrfy("xSMTPUTF8")),
        ("VRFY 用户", Vrfy("用户")),
        ("EXPN staff", Expn("staff")),
        ("EXPN staff SMTPUTF8", Expn("staff", True)),
        ("HELP", Help()),
        ("HELP MAIL", Help("MAIL")),
        ("STARTTLS", StartTls()),
        ("AUTH PLAIN", Auth("PLAIN")),
        ("AUTH plain =", Auth("PLAIN", b"")),
        ("AUTH PLAIN AGEAYg==", Auth("PLAIN", b"\0a\0b")),
        ("AUTH SCRAM-SHA-256", Auth("SCRAM-SHA-256")),
        # The two spellings of older texts.
        ("HELLO sohu.com", Greet("HELO", "sohu.com")),
        ("hello sohu.com", Greet("HELO", "sohu.com")),
        ("REST", Rset()),
    ],
)
def test_a_line_gives_its_command(line: str, command: Command) -> None:
    assert parse_command(line.encode(), ALL) == command


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b" QUIT",
        b"QUITE",
        b"QUI",
        b"HELLOO x",
        b"HEL x",
        b"RESET",
        b"RES",
        b"MAILFROM:<a@b>",
        b"\x00",
        b"\xff",
        b"\tQUIT",
        b"NO\x00OP",
        b"XCLIENT a",
        b"GET / HTTP/1.1",
        b"\x16\x03\x01",
        "ＱＵＩＴ".encode(),
        b"A" * 5000,
    ],
)
def test_an_unknown_verb_is_500(line: bytes) -> None:
    assert refusal(line) == ("", 500, "5.5.2")


@pytest.mark.parametrize(
    ("line", "extension"),
    [("BDAT 5", "CHUNKING"), ("BDAT x", "CHUNKING"), ("STARTTLS", "STARTTLS"), ("AUTH PLAIN", "AUTH")],
)
def test_a_command_whose_extension_is_not_offered_is_502(line: str, extension: str) -> None:
    assert refusal(line, ALL - {extension}) == (line.split()[0], 502, "5.5.1")


@pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN"])
def test_commands_we_know_and_do_not_have_are_502(verb: str) -> None:
    assert refusal(f"{verb} x") == (verb, 502, "5.5.1")


@pytest.mark.parametrize("verb", ["DATA", "RSET", "QUIT", "STARTTLS", "REST"])
def test_an_argument_where_none_may_be_is_501(verb: str) -> None:
    assert refusal(f"{verb} x") == ("RSET" if verb == "REST" else verb, 501, "5.5.4")


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        (Address("a..b", "docomo.example"), b'RCPT TO:<"a..b"@docomo.example>\r\n'),
        (Address("a.", "au.example"), b'RCPT TO:<"a."@au.example>\r\n'),
        (Address("a", "my_host.example"), b"RCPT TO:<a@my_host.example>\r\n"),
        (Address("a.", "_x.example"), b'RCPT TO:<"a."@_x.example>\r\n'),
    ],
)
def test_an_address_that_a_lenient_receiver_accepted_can_be_sent_on(address: Address, wire: bytes) -> None:
    assert write_command(Rcpt(address)) == wire


@pytest.mark.parametrize("domain", ["a_.-x", "_", "a__b..c", "A_b.example", "a_b.example."])
def test_an_underscore_excuses_nothing_else(domain: str) -> None:
    if domain == "_":
        assert write_command(Rcpt(Address("a", domain))) == b"RCPT TO:<a@_>\r\n"
        return
    with pytest.raises(LocalError):
        write_command(Rcpt(Address("a", domain)))


@pytest.mark.parametrize("verb", ["HELO", "EHLO", "LHLO", "HELLO", "MAIL", "RCPT", "BDAT", "VRFY", "EXPN", "AUTH"])
@pytest.mark.parametrize("space", ["", " ", "   "])
def test_a_missing_argument_is_501(verb: str, space: str) -> None:
    assert refusal(verb + space) == ("HELO" if verb == "HELLO" else verb, 501, "5.5.4")


@pytest.mark.parametrize("line", ["EHLO a b", "HELO sohu.com sina.com", "EHLO " + "a" * 256])
def test_a_greeting_of_more_than_a_word_is_501(line: str) -> None:
    assert refusal(line)[1:] == (501, "5.5.4")


@pytest.mark.parametrize(
    "argument",
    [
        b"a\x00b",
        b"a\tb",
        b"a\x1bb",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\x8a",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
    ],
)
@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"RCPT", b"NOOP", b"HELP", b"VRFY", b"DATA", b"BDAT", b"AUTH"])
def test_control_octets_and_broken_utf8_are_501(verb: bytes, argument: bytes) -> None:
    assert refusal(verb + b" " + argument) == (verb.decode(), 501, "5.5.2")


@pytest.mark.parametrize("argument", ["<a@b>", "TO:<a@b>", "FROM", "FROM <a@b>", "FROM :<a@b>", "FROM=<a@b>"])
def test_mail_without_from_is_501(argument: str) -> None:
    assert refusal(f"MAIL {argument}") == ("MAIL", 501, "5.5.4")


@pytest.mark.parametrize("argument", ["<a@b>", "FROM:<a@b>", "TO", "TO <a@b>"])
def test_rcpt_without_to_is_501(argument: str) -> None:
    assert refusal(f"RCPT {argument}") == ("RCPT", 501, "5.5.4")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a@b",
        "<a@b",
        "a@b>",
        "<a>",
        "<a@b_c>",
        "<a b@c>",
        "<a@b>SIZE=1",
        "<a@b>>",
        "<<a@b>>",
        '<"a@b>',
        "<a@[1>",
        "Name <a@b>",
        "<a@b>,<c@d>",
        "<" + "a" * 65 + "@b>",
        "<ab@" + "c." * 130 + "d>",
    ],
)
def test_a_bad_mailbox_is_501_with_the_status_of_its_side(path: str) -> None:
    assert refusal(f"MAIL FROM:{path}") == ("MAIL", 501, "5.1.7")
    assert refusal(f"RCPT TO:{path}") == ("RCPT", 501, "5.1.3")


def test_the_null_path_and_the_bare_postmaster_belong_to_one_side_each() -> None:
    assert refusal("RCPT TO:<>") == ("RCPT", 501, "5.1.3")
    assert refusal("MAIL FROM:<postmaster>") == ("MAIL", 501, "5.1.7")


@pytest.mark.parametrize("parameter", ["X", "X=1", "NOTIFY=NEVER", "X=1 X=1"])
def test_unknown_parameters_are_555(parameter: str) -> None:
    assert refusal(f"MAIL FROM:<a@b> {parameter}") == ("MAIL", 555, "5.5.4")
    assert refusal("RCPT TO:<a@b> SIZE=1") == ("RCPT", 555, "5.5.4")


@pytest.mark.parametrize("parameter", ["SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "AUTH=<>", "REQUIRETLS"])
def test_parameters_of_extensions_not_offered_are_555(parameter: str) -> None:
    assert refusal(f"MAIL FROM:<a@b> {parameter}", NONE) == ("MAIL", 555, "5.5.4")
    assert refusal("RCPT TO:<a@b> NOTIFY=NEVER", NONE) == ("RCPT", 555, "5.5.4")


@pytest.mark.parametrize("parameter", ["SIZE", "SIZE=x", "BODY=9BIT", "SIZE=1 SIZE=1", "SMTPUTF8=1", "RET=NO", "A==b"])
def test_bad_and_doubled_values_are_501(parameter: str) -> None:
    assert refusal(f"MAIL FROM:<a@b> {parameter}") == ("MAIL", 501, "5.5.4")
    assert refusal("RCPT TO:<a@b> NOTIFY=NEVER,DELAY") == ("RCPT", 501, "5.5.4")


def test_non_ascii_addresses_without_smtputf8() -> None:
    # RFC 6531 §3.5: 550 for MAIL, 553 for RCPT.
    assert refusal("MAIL FROM:<é@b>") == ("MAIL", 550, "5.6.7")
    assert refusal("MAIL FROM:<a@例子.中国> SIZE=1") == ("MAIL", 550, "5.6.7")
    assert refusal("MAIL FROM:<é@b>", NONE) == ("MAIL", 550, "5.6.7")
    assert refusal("MAIL FROM:<é@b> SMTPUTF8", NONE) == ("MAIL", 555, "5.5.4")
    assert refusal("RCPT TO:<é@b>", NONE) == ("RCPT", 553, "5.6.7")
    assert refusal("VRFY é", NONE) == ("VRFY", 553, "5.6.7")
    assert refusal("EXPN é", NONE) == ("EXPN", 553, "5.6.7")
    assert refusal("VRFY a SMTPUTF8", NONE) == ("VRFY", 555, "5.5.4")


@pytest.mark.parametrize(
    "argument",
    ["x", "-1", "+1", "1_0", "1.0", "0x10", "١", "LAST", "1 2", "1 LAS", "1LAST", "1 LAST x", "1" * 21],
)
def test_a_bad_chunk_size_is_501(argument: str) -> None:
    assert refusal(f"BDAT {argument}") == ("BDAT", 501, "5.5.4")


@pytest.mark.parametrize("argument", ["PL@IN", "A" * 21, "PLAIN AA== BB==", "É"])
def test_a_malformed_auth_is_501(argument: str) -> None:
    assert refusal(f"AUTH {argument}") == ("AUTH", 501, "5.5.4")


@pytest.mark.parametrize("initial", ["A", "AA=", "A===", "====", "AA==AA==", "A-_=", "é", "=="])
def test_an_initial_response_that_is_no_base64_is_501(initial: str) -> None:
    assert refusal(f"AUTH PLAIN {initial}") == ("AUTH", 501, "5.5.2")


def test_limits_are_those_of_the_caller() -> None:
    line = b"MAIL FROM:<abcdef@b>"
    assert parse_command(line, ALL) == Mail(Address("abcdef", "b"))
    with pytest.raises(CommandError, match="longer than 5 octets"):
        parse_command(line, ALL, limits=Limits(local_part=5))
    assert parse_command(line, ALL) == Mail(Address("abcdef", "b"))


def test_what_is_offered_decides_anew_for_a_line_seen_before() -> None:
    line = b"MAIL FROM:<a@b> SIZE=5"
    assert parse_command(line, ALL) == Mail(Address("a", "b"), size=5)
    assert refusal(line, NONE)[1] == 555
    assert parse_command(line, ALL) == Mail(Address("a", "b"), size=5)


def test_a_very_long_line_is_read_in_linear_time_by_every_reader() -> None:
    # Quadratic reading of this much would run into the time limit of the whole run.
    for filler in ('"', "[", "<", "a.", '"\\', "@a,", "é", " ", "a@", "xn--a."):
        for start in ("MAIL FROM:<", "RCPT TO:", "VRFY ", "AUTH ", "BDAT ", "EHLO ", "MAIL FROM:<a@b> "):
            line = (start + filler * 50_000).encode()
            outcome(line, ALL)


def test_secrets_do_not_show() -> None:
    command = parse_command(b"AUTH PLAIN " + base64.b64encode(b"\0tim\0tanstaaftanstaaf"), ALL)
    assert isinstance(command, Auth)
    assert command.initial == b"\0tim\0tanstaaftanstaaf"
    assert "tanstaaf" not in repr(command)
    with pytest.raises(CommandError) as caught:
        parse_command(b"AUTH PLAIN tanstaaf!", ALL)
    assert "tanstaaf" not in str(caught.value)


# Writing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Greet("EHLO", "sohu.com"), "EHLO sohu.com"),
        (Greet("LHLO", "[IPv6:2001:db8::1]"), "LHLO [IPv6:2001:db8::1]"),
        (Mail(LANGRUI), "MAIL FROM:<langrui@sohu.com>"),
        (Mail(None, size=4096, body=Body.EIGHTBITMIME), "MAIL FROM:<> SIZE=4096 BODY=8BITMIME"),
        (Mail(LANGRUI, size=0), "MAIL FROM:<langrui@sohu.com> SIZE=0"),
        (Mail(LANGRUI, size=10**20 - 1), f"MAIL FROM:<langrui@sohu.com> SIZE={10**20 - 1}"),
        (Mail(LANGRUI, body=Body.EIGHTBITMIME), "MAIL FROM:<langrui@sohu.com> BODY=8BITMIME"),
        (Mail(LANGRUI, 7, Body.BINARYMIME), "MAIL FROM:<langrui@sohu.com> SIZE=7 BODY=BINARYMIME"),
        (Mail(LANGRUI, 7, require_tls=True), "MAIL FROM:<langrui@sohu.com> SIZE=7 REQUIRETLS"),
        (Mail(Address("用户", "例子.中国"), smtputf8=True), "MAIL FROM:<用户@例子.中国> SMTPUTF8"),
        (Mail(Address('a "b', "x")), 'MAIL FROM:<"a \\"b"@x>'),
        (Rcpt(RENPING), "RCPT TO:<renping@sina.com>"),
        (Rcpt(Address("Postmaster")), "RCPT TO:<Postmaster>"),
        (Rcpt(RENPING, Notify.NEVER), "RCPT TO:<renping@sina.com> NOTIFY=NEVER"),
        (Data(), "DATA"),
        (Bdat(5), "BDAT 5"),
        (Bdat(0, True), "BDAT 0 LAST"),
        (Rset(), "RSET"),
        (Noop(), "NOOP"),
        (Noop("hm"), "NOOP hm"),
        (Quit(), "QUIT"),
        (Vrfy("renping", True), "VRFY renping SMTPUTF8"),
        (Expn("staff"), "EXPN staff"),
        (Help("MAIL"), "HELP MAIL"),
        (StartTls(), "STARTTLS"),
        (Auth("PLAIN"), "AUTH PLAIN"),
        (Auth("PLAIN", b""), "AUTH PLAIN ="),
        (Auth("PLAIN", b"\0a\0b"), "AUTH PLAIN AGEAYg=="),
    ],
)
def test_a_command_is_written_as_the_rfc_writes_it(command: Command, line: str) -> None:
    assert write_command(command) == line.encode() + b"\r\n"


@pytest.mark.parametrize(
    "command",
    [
        Greet("HELLO", "sohu.com"),
        Greet("EHLO", ""),
        Greet("EHLO", "a b"),
        Greet("EHLO", "a\r\nQUIT"),
        Greet("EHLO", "my_host"),
        Greet("EHLO", "例子.中国"),
        Greet("EHLO", "[bad]"),
        Mail(Address("a\r\nDATA", "b")),
        Mail(Address("a", "b>\r\nDATA")),
        Mail(Address("a", "b\x00")),
        Mail(Address("a", "B.example")),
        Mail(Address("a")),
        Mail(Address("Postmaster")),
        Mail(Address("é", "b")),
        Mail(Address("a" * 65, "b")),
        Mail(Address("\ud800", "b"), smtputf8=True),
        Mail(None, envid="a\nb"),
        Mail(None, auth="\ud800@x"),
        Mail(None, size=-5),
        Mail(None, size=10**20),
        Rcpt(Address("", "")),
        Rcpt(Address("a@b", "")),
        Rcpt(Address("a", "b> NOTIFY=NEVER")),
        Rcpt(RENPING, None, OriginalRecipient("rfc822", "a\r\nb")),
        Bdat(-1),
        Bdat(10**20),
        Noop("a\nb"),
        Noop("a\rb"),
        Noop("a\x00b"),
        Noop(" a"),
        Help("a\r\nb"),
        Vrfy(""),
        Vrfy("a\r\nb"),
        Vrfy("a SMTPUTF8"),
        Expn("a "),
        Expn("\udc80"),
        Auth("plain"),
        Auth("PLAIN\r\n"),
        Auth(""),
    ],
)
def test_what_may_not_be_sent_is_our_own_fault(command: Command) -> None:
    with pytest.raises(LocalError):
        write_command(command)


def test_only_commands_are_written() -> None:
    with pytest.raises((LocalError, TypeError), match=r"not a command|got str"):  # TypeError: compiled
        write_command("QUIT")  # type: ignore[arg-type]


# Properties ---------------------------------------------------------------------------------------------------------

visible = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
ascii_visible = st.characters(min_codepoint=32, max_codepoint=126)
label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda x: not x.startswith("xn--"))
domain = st.one_of(
    st.lists(st.one_of(label, st.sampled_from(["例子", "bücher", "xn--fsqu00a"])), min_size=1, max_size=4).map(
        ".".join
    ),
    st.sampled_from(["[192.0.2.1]", "[IPv6:::1]", "[x-t:A>b]"]),
)
address = st.builds(Address, st.text(visible, max_size=12), domain)
text = st.text(visible, max_size=20).map(lambda each: each.strip(" "))
query = text.filter(lambda each: each and not each.upper().endswith(" SMTPUTF8"))
envid = st.text(ascii_visible, min_size=1, max_size=30)
orcpt = st.one_of(
    st.builds(OriginalRecipient, st.sampled_from(["rfc822", "x400"]), st.text(ascii_visible, max_size=30)),
    st.builds(OriginalRecipient, st.just("utf-8"), st.text(visible, min_size=1, max_size=30)),
)
notify = st.sampled_from([None, *(Notify(bits) for bits in range(8))])
mail = st.builds(
    Mail,
    st.none() | address,
    size=st.none() | st.integers(0, 10**20 - 1),
    body=st.sampled_from(Body),
    smtputf8=st.just(True),
    ret=st.none() | st.sampled_from(Ret),
    envid=st.none() | envid,
    auth=st.sampled_from([None, "", "a@b", "e=mc2@x", "é@例子.中国", '"a b"@x']),
    require_tls=st.booleans(),
)
commands = st.one_of(
    st.builds(Greet, st.sampled_from(["HELO", "EHLO", "LHLO"]), domain.filter(str.isascii)),
    mail,
    st.builds(Rcpt, address | st.just(Address("postmaster")), notify, st.none() | orcpt),
    st.sampled_from([Data(), Rset(), Quit(), StartTls()]),
    st.builds(Bdat, st.integers(0, 10**20 - 1), st.booleans()),
    st.builds(Noop, text),
    st.builds(Help, text),
    st.builds(Vrfy, query, st.booleans()),
    st.builds(Expn, query, st.booleans()),
    st.builds(Auth, st.from_regex("[A-Z0-9_-]{1,20}", fullmatch=True), st.none() | st.binary(max_size=40)),
)


@PROPERTY
@given(commands)
def test_what_is_written_is_read_back(command: Command) -> None:
    wire = write_command(command)
    assert wire.endswith(b"\r\n")
    line = wire[:-2]
    assert not {0, 10, 13} & set(line)
    assert parse_command(line, ALL) == command


verbs = st.sampled_from(
    b"HELO EHLO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP STARTTLS AUTH HELLO REST TURN".split()
)
pieces = st.lists(
    st.sampled_from(
        [
            b"FROM:",
            b"TO:",
            b"<",
            b">",
            b"a",
            b"@",
            b"b.c",
            b" ",
            b'"',
            b"\\",
            b"[",
            b"]",
            b":",
            b",",
            b"SIZE=",
            b"9",
            b"BODY=8BITMIME",
            b"SMTPUTF8",
            b"NOTIFY=",
            b"NEVER",
            b"ORCPT=utf-8;",
            b"ENVID=",
            b"AUTH=",
            b"+2B",
            b"+",
            b"=",
            b"\xc3\xa9",
            b"\xff",
            b"\x00",
            b"xn--",
            b"IPv6:",
            b"::",
            b"1.2.3.4",
            b"LAST",
            b"\\x{E9}",
            b"\\x{0A}",
            b"\t",
        ]
    ),
    max_size=14,
).map(b"".join)


@PROPERTY
@given(
    st.one_of(
        st.binary(max_size=80),
        st.builds(lambda verb, rest: verb + b" " + rest, verbs, st.binary(max_size=60) | pieces),
        st.builds(lambda rest: b"MAIL FROM:<a@b> " + rest, pieces),
        st.builds(lambda rest: b"RCPT TO:<" + rest, pieces),
    ),
    st.sampled_from([ALL, NONE, ALL - {"SMTPUTF8"}]),
)
@example(b"MAIL FROM:<a@xn--0.b>", ALL)
def test_any_line_is_a_command_or_a_command_error(line: bytes, accepts: frozenset[str]) -> None:
    command = outcome(line, accepts)
    if isinstance(command, Reply):
        assert command.code in (500, 501, 502, 550, 553, 555)
        assert command.text.isascii()
        assert command.text.isprintable()
    else:
        assert command == parse_command(line, accepts)
        if not isinstance(command, Greet):  # read more freely than written
            assert parse_command(write_command(command)[:-2], accepts) == command


@pytest.mark.parametrize(
    ("command", "end"),
    [
        (Rcpt(Address("c", "xn--zz.test")), r"\('c@xn--zz.test'\)"),
        (Mail(Address("c", "[1.2.3]")), r"\('c@\[1.2.3\]'\)"),
        (Rcpt(Address("a\r\nDATA", "x.test")), r"\(.*\\r\\nDATA.*x.test'\)"),
        (Rcpt(Address("a" * 5_000, "x.test")), r"\('a{100}'\)"),
    ],
)
def test_an_address_that_cannot_be_sent_is_named_on_one_line(command: Mail | Rcpt, end: str) -> None:
    with pytest.raises(LocalError, match=rf"{command.verb} cannot be sent: .* {end}$") as raised:
        write_command(command)
    assert "\n" not in str(raised.value)
