"""Content, as the receiver reads it: only CRLF.CRLF ends it, nothing is lost, and no spelling smuggles."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError, Reply
from posthouse.protocol import (
    Bdat,
    ContentChunk,
    Data,
    EndOfChunk,
    EndOfContent,
    Greet,
    Limits,
    Mail,
    Offer,
    Pause,
    Quit,
    Rcpt,
    Receiver,
    Refused,
    Rset,
    Sender,
    State,
)
from posthouse.protocol.readers import DotReader, InputFault, only_crlf
from posthouse.protocol.writers import DotWriter

OK = Reply(250, "2.0.0", "ok")

#: CRLF, LF, CR, CRCRLF on either side of a dot.
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n"]
AROUND_A_DOT = [before + b"." + after for before, after in itertools.product(ENDS, ENDS)]


def in_content(*, body: bytes = b"", bdat: bool = False, lmtp: bool = False, limits: Limits | None = None) -> Receiver:
    receiver = Receiver(Offer(), lmtp=lmtp, limits=limits)
    receiver.send(Reply(220, "", "hello"))
    for line in (b"LHLO x" if lmtp else b"EHLO x", b"MAIL FROM:<a@b.example>" + body, b"RCPT TO:<c@d.example>"):
        receiver.receive_data(line + b"\r\n")
        assert not isinstance(receiver.next_event(), Refused)
        receiver.send(OK)
    if not bdat:
        receiver.receive_data(b"DATA\r\n")
        receiver.next_event()
        receiver.send(Reply(354, "", "go"))
    return receiver


def read(receiver: Receiver) -> tuple[bytes, object]:
    """All content there is now, and the event that stopped it."""
    got = bytearray()
    while isinstance(event := receiver.next_event(), ContentChunk):
        got += event.data
    return bytes(got), event


def splits(data: bytes) -> list[list[bytes]]:
    """``data`` whole, byte by byte, and in two pieces cut at every place."""
    cuts = [[data[:i], data[i:]] for i in range(1, len(data))]
    return [[data], [data[i : i + 1] for i in range(len(data))], *cuts]


@pytest.mark.parametrize("middle", AROUND_A_DOT, ids=repr)
def test_only_crlf_dot_crlf_ends_content(middle: bytes) -> None:
    smuggled = b"MAIL FROM:<smuggler@evil.example>\r\n"
    data = b"Subject: x\r\n\r\nbody" + middle + smuggled
    for pieces in splits(data):
        receiver = in_content()
        events: list[object] = []
        for piece in pieces:
            receiver.receive_data(piece)
            while not isinstance(event := receiver.next_event(), Pause):
                events.append(event)
        if middle == b"\r\n.\r\n":
            assert events[-1] == EndOfContent(len(b"Subject: x\r\n\r\nbody\r\n"), 1)
            receiver.send(OK)
            assert receiver.state is State.READY
            continue
        assert not any(isinstance(event, EndOfContent) for event in events), pieces
        refused = events[-1]
        assert isinstance(refused, Refused), (pieces, refused)
        assert refused.fatal
        assert refused.reply.permanent
        receiver.send(refused.reply)
        assert receiver.state is State.CLOSED
        assert receiver.next_event() is Pause.CLOSED


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"...\r\n.\r\n", b"..\r\n"),
        (b"a\r\n..b\r\n..\r\n.\r\n", b"a\r\n.b\r\n.\r\n"),
        (b"a.\r\nb .\r\n.\r\n", b"a.\r\nb .\r\n"),
        ("中文\r\n".encode() + b"\xff\x00\r\n.\r\n", "中文\r\n".encode() + b"\xff\x00\r\n"),
        (b"x" * 998 + b"\r\n.\r\n", b"x" * 998 + b"\r\n"),
    ],
)
def test_stuffing_is_undone_however_it_is_cut(sent: bytes, meant: bytes) -> None:
    for pieces in splits(sent + b"QUIT\r\n") if len(sent) < 40 else [[sent + b"QUIT\r\n"]]:
        receiver = in_content()
        got, after_it = b"", []
        for piece in pieces:
            receiver.receive_data(piece)
            while not isinstance(event := receiver.next_event(), Pause):
                if isinstance(event, ContentChunk):
                    got += event.data
                    continue
                after_it.append(event)
                receiver.send(Reply(221, "", "bye") if event == Quit() else OK)
        assert got == meant
        assert after_it == [EndOfContent(len(meant), 1), Quit()]


@given(st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"\x85", b"\0", b"\x1c", b"\xff"]), max_size=12))
def test_only_crlf_is_what_it_says(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    lone = data.replace(b"\r\n", b"")
    assert only_crlf(data) is (b"\r" not in lone and b"\n" not in lone)


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_what_the_writer_stuffs_the_reader_gives_back(raw: bytes, sizes: list[int]) -> None:
    content = raw.replace(b"\r", b"").replace(b"\n", b"\r\n")
    writer, reader = DotWriter(), DotReader()
    wire, start = b"", 0
    for size in itertools.chain(sizes, itertools.repeat(50)):
        if start >= len(content):
            break
        wire += writer.write(content[start : start + size])
        start += size
    wire += writer.end()
    expected = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    got, start = b"", 0
    rest: bytes | None = None
    for size in itertools.chain(sizes, itertools.repeat(50)):
        piece, rest = reader.feed(wire[start : start + size])
        assert not isinstance(piece, InputFault)
        got += piece
        start += size
        if rest is not None:
            break
    assert got == expected
    assert rest == b""


@given(st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"\r\n."]), max_size=12))
def test_the_writer_lets_no_lone_line_end_through(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    lone = content.replace(b"\r\n", b"")
    writer = DotWriter()
    try:
        wire = b"".join(writer.write(piece) for piece in pieces) + writer.end()
    except LocalError:
        assert b"\r" in lone or b"\n" in lone
    else:
        assert b"\r" not in lone
        assert b"\n" not in lone
        assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
        assert wire.count(b"\r\n.\r\n") <= 1


def test_bytes_behind_the_end_belong_to_the_next_command() -> None:
    receiver = in_content()
    receiver.receive_data(b"a\r\n.\r\nRSET\r\n")
    assert read(receiver)[0] == b"a\r\n"
    assert receiver.next_event() is Pause.PAUSED
    receiver.send(OK)
    assert receiver.next_event() == Rset()


# -- BDAT ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b".\r\n", b"\r\n.\r\n", b"a\r\n..b\r\n", b"no end", "中\r\n".encode()])
def test_chunks_are_counted_and_not_interpreted(content: bytes) -> None:
    wire = b"BDAT %d LAST\r\n" % len(content) + content + b"NOOP\r\n"
    for pieces in splits(wire):
        receiver = in_content(bdat=True)
        got, ended = b"", False
        for piece in pieces:
            receiver.receive_data(piece)
            while not isinstance(event := receiver.next_event(), Pause):
                if isinstance(event, ContentChunk):
                    got += event.data
                if isinstance(event, EndOfContent):
                    ended = True
                    receiver.send(OK)
        assert ended
        assert got == content


def test_several_chunks_make_one_content() -> None:
    receiver = in_content(bdat=True)
    receiver.receive_data(b"BDAT 3\r\na\r\nBDAT 2\r\nb\r" + b"BDAT 1\r\n\n" + b"BDAT 0 LAST\r\n")
    got, replies = b"", 0
    while not isinstance(event := receiver.next_event(), Pause):
        if isinstance(event, ContentChunk):
            got += event.data
        elif isinstance(event, EndOfChunk | EndOfContent):
            receiver.send(OK)
            replies += 1
    assert (got, replies, receiver.state) == (b"a\r\nb\r\n", 4, State.READY)


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r", b"\n", b"\r\n.\n"])
def test_a_chunk_with_a_lone_line_end_is_refused_unless_binary(content: bytes) -> None:
    wire = b"BDAT %d LAST\r\n" % len(content) + content + b"NOOP\r\n"
    receiver = in_content(bdat=True)
    receiver.receive_data(wire)
    event = receiver.next_event()
    while isinstance(event, ContentChunk | Bdat):
        event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.permanent
    assert not event.fatal  # the framing is not in doubt
    receiver.send(event.reply)
    assert receiver.state is State.READY
    binary = in_content(bdat=True, body=b" BODY=BINARYMIME")
    binary.receive_data(wire)
    event = binary.next_event()
    got = b""
    while isinstance(event, ContentChunk | Bdat):
        got += event.data if isinstance(event, ContentChunk) else b""
        event = binary.next_event()
    assert isinstance(event, EndOfContent)
    assert got == content


def test_refused_chunks_are_read_and_dropped() -> None:
    receiver = Receiver(Offer())
    receiver.send(Reply(220, "", "hello"))
    receiver.receive_data(b"EHLO x\r\nBDAT 30 LAST\r\n")
    receiver.next_event()
    receiver.send(OK)
    assert receiver.next_event() is Pause.NEED_DATA  # no answer before the chunk's octets are here
    receiver.receive_data(b"QUIT\r\nMAIL FROM:<x@y>\r\n12345")
    assert receiver.next_event() is Pause.NEED_DATA
    receiver.receive_data(b"7\nRSET\r\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 503
    receiver.send(event.reply)
    assert receiver.next_event() == Rset()


def test_a_chunk_beyond_the_limit_is_dropped_and_ends_the_transaction() -> None:
    receiver = in_content(bdat=True, limits=Limits(chunk=10))
    receiver.receive_data(b"BDAT 11\r\n" + b"x" * 11 + b"RSET\r\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 552
    receiver.send(event.reply)
    assert receiver.state is State.READY
    assert receiver.next_event() == Rset()


def test_a_hopelessly_large_chunk_closes() -> None:
    receiver = in_content(bdat=True, limits=Limits(chunk=10))
    receiver.receive_data(b"BDAT 99999999999999999999 LAST\r\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    if event.reply.code != 501:  # a size past what SIZE could say may be bad syntax already
        assert event.fatal


def test_binarymime_needs_bdat() -> None:
    receiver = in_content(bdat=True, body=b" BODY=BINARYMIME")
    receiver.receive_data(b"DATA\r\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 503


def test_lmtp_counts_a_reply_for_each_accepted_recipient() -> None:
    receiver = in_content(bdat=True, lmtp=True)
    receiver.receive_data(b"RCPT TO:<e@f.example>\r\nRCPT TO:<g@h.example>\r\nBDAT 1 LAST\r\na")
    receiver.next_event()
    receiver.send(Reply(550, "5.1.1", "no"))
    receiver.next_event()
    receiver.send(OK)
    while not isinstance(event := receiver.next_event(), Pause):
        last = event
    assert last == EndOfContent(1, 2)


# -- both ends back to back ------------------------------------------------------------------------------------


def pass_on(sender: Sender, receiver: Receiver, wire: bytes, reply: Reply) -> None:
    receiver.receive_data(wire)
    while not isinstance(receiver.next_event(), Pause):
        pass
    sender.receive_data(receiver.send(reply))
    sender.next_event()


@given(st.binary(max_size=200), st.booleans())
def test_content_arrives_byte_for_byte_by_data_and_by_bdat(raw: bytes, bdat: bool) -> None:
    content = raw if bdat else raw.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"
    receiver = in_content(bdat=True, body=b" BODY=BINARYMIME" if bdat else b"")
    sender = Sender()
    sender.receive_data(b"220 x\r\n")
    sender.next_event()
    for command, reply in (
        (Greet("EHLO", "x"), b"250-x\r\n250 CHUNKING\r\n"),
        (Mail(None), b"250 ok\r\n"),
        (Rcpt(Address("a", "b.example")), b"250 ok\r\n"),
    ):
        sender.send(command)
        sender.receive_data(reply)
        sender.next_event()
    if bdat:
        wire = sender.send_chunk(content, last=True)
    else:
        pass_on(sender, receiver, sender.send(Data()), Reply(354, "", "go"))
        wire = sender.send_content(content) + sender.end_content()
    receiver.receive_data(wire)
    got = b""
    while not isinstance(event := receiver.next_event(), Pause):
        got += event.data if isinstance(event, ContentChunk) else b""
    assert got == content
