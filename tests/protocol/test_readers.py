"""Each reader three ways: whole, byte by byte, with trailing bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import LocalError, RemoteError, Reply
from posthouse.protocol import write_reply
from posthouse.protocol.readers import ENDLESS_LINE, InputFault, LineReader, ReplyReader


def lines(pieces: list[bytes], limit: int = 512) -> list[bytes | InputFault]:
    reader, got = LineReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (line := reader.line(limit)) is not None:
            got.append(line)
    return got


def each_way(data: bytes) -> list[list[bytes]]:
    return [[data], [data[i : i + 1] for i in range(len(data))], [data, b"trailing"]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"NOOP\r\n", [b"NOOP"]),
        (b"\r\n", [b""]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"NOOP\n", [InputFault.BARE_LF]),
        (b"\n", [InputFault.BARE_LF]),
        (b"a\rb\r\n", [InputFault.BARE_CR]),
        (b"a\r\r\n", [InputFault.BARE_CR]),
        (b"a\nb\r\n", [InputFault.BARE_LF, b"b"]),
        (b"x" * 510 + b"\r\n", [b"x" * 510]),
        (b"x" * 511 + b"\r\n", [InputFault.TOO_LONG]),
        (b"x" * 5000 + b"\r\nok\r\n", [InputFault.TOO_LONG, b"ok"]),
    ],
)
def test_lines(data: bytes, expected: list[bytes | InputFault]) -> None:
    for pieces in each_way(data):
        assert lines(pieces) == expected


def test_an_endless_line_is_not_kept() -> None:
    reader = LineReader()
    for _ in range(65):
        reader.feed(b"x" * 1000)
        assert reader.line(512) is None
        assert len(reader) <= 512
    reader.feed(b"\r\nNOOP\r\n")
    assert reader.line(512) is InputFault.TOO_LONG
    assert reader.line(512) == b"NOOP"


@pytest.mark.parametrize("piece", [1, 100, 65_536, 200_000])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n"])
def test_a_line_is_given_up_when_it_has_no_end(piece: int, end: bytes) -> None:
    reader = LineReader()
    data = b"x" * ENDLESS_LINE + b"\r" + end
    found = [each for at in range(0, len(data), piece) if (each := reader.line(512, data[at : at + piece])) is not None]
    assert found[0] is InputFault.ENDLESS


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\r" not in b and b"\n" not in b), max_size=6), st.data())
def test_lines_do_not_depend_on_how_they_are_cut(wanted: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(line + b"\r\n" for line in wanted)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if a != b]
    assert lines(pieces) == wanted


# -- replies ---------------------------------------------------------------------------------------------------


def replies(pieces: list[bytes]) -> list[Reply]:
    reader, got = ReplyReader(2048, 16), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.reply()) is not None:
            got.append(reply)
    return got


def reported(pieces: list[bytes], *, together: bool) -> list[Reply | str]:
    reader = ReplyReader(40, 3)
    got: list[Reply | str] = []
    try:
        for piece in pieces:
            several = reader.read(piece) if together else reader.feed(piece)
            got += several or []
            while several is None and (reply := reader.reply()) is not None:
                got.append(reply)
    except RemoteError as error:
        got.append(str(error))
    return got


WIRES = st.sampled_from(
    [b"250 ok\r\n", b"250 2.1.5 k\r\n", b"550-no\r\n", b"550 no\r\n", b"250", b"2"]
    + [b"250 a\n", b"250 a\rb\r\n", b"\r\n"]
    + [b"250 " + b"x" * n + b"\r\n" for n in (33, 34, 35, 36, 90)]
)


@given(st.lists(WIRES, max_size=8), st.data())
def test_replies_read_together_are_those_read_one_by_one(lines: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=4)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if a != b]
    assert reported(pieces, together=True) == reported(pieces, together=False)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"250 ok\r\n", Reply(250, "", "ok")),
        (b"250\r\n", Reply(250)),  # RFC 5321 §4.2: a bare code; clients must take it
        (b"250 \r\n", Reply(250)),
        (b"250-\r\n250 \r\n", Reply(250, "", "\n")),
        (b"250-a\r\n250\r\n", Reply(250, "", "a\n")),
        (b"250-mx.sina.com\r\n250-PIPELINING\r\n250 SIZE 10\r\n", Reply(250, "", "mx.sina.com\nPIPELINING\nSIZE 10")),
        (b"550 5.1.1 no such mailbox\r\n", Reply(550, "5.1.1", "no such mailbox")),
        (b"550-5.1.1 no\r\n550 5.1.1 such\r\n", Reply(550, "5.1.1", "no\nsuch")),
        (b"550-5.1.1 no\r\n550 such\r\n", Reply(550, "5.1.1", "no\nsuch")),
        (b"550 4.1.1 class differs\r\n", Reply(550, "", "4.1.1 class differs")),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", "")),
        (b"220 1.2.3.4 is here\r\n", Reply(220, "", "1.2.3.4 is here")),
        (b"250 \ttab\r\n", Reply(250, "", "\ttab")),
        (b"571 in no table, on the air\r\n", Reply(571, "", "in no table, on the air")),
        ("250 您好\r\n".encode(), Reply(250, "", "您好")),
        (b"250 bell\x07\r\n", Reply(250, "", "bell?")),
    ],
)
def test_replies_of_real_servers(data: bytes, expected: Reply) -> None:
    assert replies([data]) == [expected]
    assert replies([data[i : i + 1] for i in range(len(data))]) == [expected]
    assert replies([data + b"354 go\r\n"]) == [expected, Reply(354, "", "go")]


@pytest.mark.parametrize(
    "data",
    [
        b"250-a\r\n251 b\r\n",  # two replies' lines mixed
        b"250-a\r\nMAIL FROM:<x>\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250ok\r\n",
        b"250_ok\r\n",
        b"150 no\r\n",
        b"650 no\r\n",
        b"2_5 no\r\n",
        b"\r\n",
        b"250 a\rb\r\n",
        b"250 " + b"x" * 3000 + b"\r\n",
        b"250-x\r\n" * 40,
        "٢٥٠ ok\r\n".encode(),  # digits, but not the wire's
    ],
)
def test_what_no_server_may_send(data: bytes) -> None:
    with pytest.raises(RemoteError):
        replies([data])
    with pytest.raises(RemoteError):
        replies([data[i : i + 1] for i in range(len(data))])


def test_a_reply_line_without_an_end_is_refused_at_the_limit() -> None:
    reader = ReplyReader(40, 3)
    reader.feed(b"250 " + b"x" * 36)
    assert reader.reply() is None
    reader.feed(b"x")
    with pytest.raises(RemoteError, match="more than 40 octets"):
        reader.reply()


@pytest.mark.parametrize("size", [1, 7, 20_000])
def test_a_challenge_may_be_longer_than_other_replies(size: int) -> None:
    """RFC 4954 §4: 12,288 octets; also behind another reply, and a reply that is no challenge keeps its limit."""
    data = b"250 ok\r\n334 " + b"A" * 12_282 + b"\r\n235 ok\r\n"
    reader, got = ReplyReader(2_048, 16), []
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
        while (found := reader.reply()) is not None:
            got.append(found)
    assert [each.code for each in got] == [250, 334, 235]
    assert got[1].text == "A" * 12_282
    for line, limit in ((b"334 " + b"A" * 12_284, 12_288), (b"250 " + b"A" * 2_044, 2_048)):
        reader = ReplyReader(2_048, 16)
        reader.feed(line + b"\r")
        with pytest.raises(RemoteError, match=f"more than {limit} octets"):
            reader.reply()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_ended_by_lf_alone_are_read_if_the_server_began_so(end: bytes) -> None:
    for size in (1, 3, 100):
        data = b"220 hi\n250-mx%b250 HELP%b" % (end, end)
        reader, got = ReplyReader(2048, 16), []
        for start in range(0, len(data), size):
            several = reader.read(data[start : start + size])
            got += several if several is not None else []
            while several is None and (reply := reader.reply()) is not None:
                got.append(reply)
        assert got == [Reply(220, "", "hi"), Reply(250, "", "mx\nHELP")]
        reader.line_ends_learnt()
        reader.feed(b"250 later\n")
        assert reader.reply() == Reply(250, "", "later")


def test_a_bare_lf_of_a_server_that_ends_lines_with_crlf_makes_no_second_reply() -> None:
    reader = ReplyReader(2048, 16)
    reader.feed(b"220 hi\r\n")
    assert reader.reply() is not None
    reader.line_ends_learnt()
    reader.feed(b"550 no <x\n250 ok>\r\n")
    with pytest.raises(RemoteError, match="LF without CR"):
        reader.reply()


@pytest.mark.parametrize(
    ("lines", "enhanced", "text"),
    [
        (("Mailbox unknown.", "5.1.1 User unknown"), "5.1.1", "Mailbox unknown.\nUser unknown"),
        (("a", "5.7.1 b", "5.1.1 c"), "5.7.1", "a\nb\n5.1.1 c"),
        (("a", "4.1.1 of another class"), "", "a\n4.1.1 of another class"),
        (("5.1.1 a", "5.1.1 b"), "5.1.1", "a\nb"),
        (("see 5.1.1", "b"), "", "see 5.1.1\nb"),
    ],
)
def test_the_enhanced_code_of_any_line_counts(lines: tuple[str, ...], enhanced: str, text: str) -> None:
    wire = b"".join(b"550%b%b\r\n" % (b" " if n == len(lines) - 1 else b"-", x.encode()) for n, x in enumerate(lines))
    assert replies([wire]) == [Reply(550, enhanced, text)]


# -- writing replies -------------------------------------------------------------------------------------------


def test_replies_are_written_with_the_enhanced_code_on_each_line() -> None:
    assert write_reply(Reply(250, "2.1.0", "ok")) == b"250 2.1.0 ok\r\n"
    assert write_reply(Reply(214, "2.0.0", "a\nb")) == b"214-2.0.0 a\r\n214 2.0.0 b\r\n"
    assert write_reply(Reply(354, "", "go")) == b"354 go\r\n"


@pytest.mark.parametrize("text", ["a\r\n250 b", "a\rb", "nul\0", "esc\x1b[2J", "\x85next", "\u2028line"])
def test_text_cannot_break_out_of_its_line(text: str) -> None:
    for utf8 in (False, True):
        wire = write_reply(Reply(550, "5.1.1", text), utf8)
        assert wire.endswith(b"\r\n")
        for line in wire[:-2].split(b"\r\n"):
            assert line.startswith((b"550-5.1.1", b"550 5.1.1"))
            assert not any(octet < 32 or octet == 127 for octet in line)


def test_utf8_only_where_it_was_asked_for() -> None:
    reply = Reply(250, "2.1.5", "任平 <任平@新浪.com>")
    assert write_reply(reply).isascii()
    assert "任平" in write_reply(reply, True).decode()


def test_long_text_is_continued_within_512_octets() -> None:
    wire = write_reply(Reply(550, "5.7.1", "because " * 200))
    got = wire[:-2].split(b"\r\n")
    assert len(got) > 2
    assert all(len(line) + 2 <= 512 for line in got)
    assert all(line.startswith(b"550-5.7.1 ") for line in got[:-1])
    assert got[-1].startswith(b"550 5.7.1 ")


def test_a_challenge_is_one_line_however_long_it_is() -> None:
    """A client computes its answer from it; a reply of several lines is none (RFC 4954 §4)."""
    assert write_reply(Reply(334, "", "A" * 9_000)) == b"334 " + b"A" * 9_000 + b"\r\n"


@pytest.mark.parametrize("code", [0, 99, 100, 199, 600, 1000])
def test_only_reply_codes_are_written(code: int) -> None:
    with pytest.raises(LocalError):
        write_reply(Reply(code, "", "x"))


@given(
    st.sampled_from([211, 250, 354, 421, 450, 550]),
    st.text(st.characters(codec="ascii", min_codepoint=32), max_size=700),
)
def test_what_is_written_is_read_back(code: int, text: str) -> None:
    (reply,) = replies([write_reply(Reply(code, "", text))])
    escaped = text.replace("\x7f", r"\x{7F}")
    assert reply.code == code
    assert "".join(reply.text.split()) == "".join(escaped.split()) or reply.enhanced
