"""The engines at work: pipelining, refusals with the right code, secrets kept, and both ends back to back."""

from __future__ import annotations

import pytest

from posthouse.core import Address, LocalError, RemoteError, Reply
from posthouse.protocol import (
    Answered,
    Auth,
    Bdat,
    Capabilities,
    ContentChunk,
    Data,
    EndOfContent,
    Greet,
    Input,
    Limits,
    Mail,
    Noop,
    Offer,
    Pause,
    Quit,
    Rcpt,
    Receiver,
    Refused,
    Rset,
    Sender,
    Sent,
    StartTls,
    State,
    Tap,
)
from posthouse.protocol.parsing import CACHED_LINE, parse_cached
from posthouse.protocol.readers import ENDLESS_LINE

OK = Reply(250, "2.0.0", "ok")
A, B = Address("langrui", "sohu.com"), Address("renping", "sina.com")


def greeted(offer: Offer | None = None, *, limits: Limits | None = None) -> Receiver:
    receiver = Receiver(offer or Offer(), limits=limits)
    receiver.send(Reply(220, "", "hello"))
    return receiver


def answer_all(receiver: Receiver, data: bytes, *, positive: Reply = OK) -> list[int]:
    """The codes a plain shell would send for ``data``."""
    receiver.receive_data(data)
    codes = []
    while not isinstance(event := receiver.next_event(), Pause):
        if isinstance(event, Refused):
            replies = [event.reply] * event.owed
        elif isinstance(event, Data):
            replies = [Reply(354, "", "go")]
        elif isinstance(event, Quit):
            replies = [Reply(221, "", "bye")]
        elif isinstance(event, EndOfContent):
            replies = [positive] * event.owed
        elif isinstance(event, ContentChunk | Bdat):
            replies = []
        else:
            replies = [positive]
        for reply in replies:
            receiver.send(reply)
            codes.append(reply.code)
    return codes


def test_the_dialogue_of_the_tutorial() -> None:
    receiver = greeted()
    lines = [b"HELLO sohu.com", b"MAIL FROM:<langrui@sohu.com>", b"RCPT TO:<renping@sina.com>", b"DATA"]
    codes = [answer_all(receiver, line + b"\r\n") for line in lines]
    assert codes == [[250], [250], [250], [354]]
    assert answer_all(receiver, b"Subject: hi\r\n\r\nletter\r\n") == []
    assert answer_all(receiver, b".\r\n") == [250]
    assert answer_all(receiver, b"QUIT\r\n") == [221]
    assert receiver.next_event() is Pause.CLOSED


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_pipelined_group_is_answered_in_order(size: int) -> None:
    wire = (
        b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<nonsense\r\nDATA\r\n"
        b"hello\r\n.\r\nREST\r\nVRFY c\r\nQUIT\r\nNOOP\r\n"
    )
    receiver = greeted()
    codes = [code for i in range(0, len(wire), size) for code in answer_all(receiver, wire[i : i + size])]
    assert codes == [250, 250, 250, 501, 354, 250, 250, 250, 221]


def test_nothing_is_told_while_a_reply_is_owed() -> None:
    receiver = greeted()
    receiver.receive_data(b"NOOP\r\nNOOP\r\n")
    assert receiver.next_event() == Noop()
    assert receiver.next_event() is Pause.PAUSED
    receiver.send(OK)
    assert receiver.next_event() == Noop()
    receiver.send(OK)
    with pytest.raises(LocalError):
        receiver.send(OK)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"FOO", 500),
        (b"", 500),
        (b"HELLOO x", 500),
        (b"RESTART", 500),
        (b"MAILFROM:<a@b.example>", 500),
        (b"MAIL FROM:<a@b.example> FOO=1", 555),
        (b"MAIL FROM:<a@b.example> SIZE=x", 501),
        (b"MAIL FROM:<a@b.example> BODY=9BIT", 501),
        (b"MAIL FROM:a@b.example", 501),
        (b"RCPT TO:<c@d.example>", 503),
        (b"DATA", 503),
        (b"STARTTLS", 502),
        (b"AUTH PLAIN", 502),
        (b"ETRN x", 502),
        (b"QUIT now", 501),
        (b"MAIL FROM:<a@b.example> REQUIRETLS", 555),
        ("MAIL FROM:<中@b.example>".encode(), 550),
    ],
)
def test_refusals_have_the_right_code(line: bytes, code: int) -> None:
    receiver = greeted()
    answer_all(receiver, b"EHLO x\r\n")
    assert answer_all(receiver, line + b"\r\n") == [code]
    assert receiver.state is State.READY


def test_a_known_command_that_is_switched_off() -> None:
    receiver = greeted(Offer(off=frozenset({"EXPN"})))
    assert answer_all(receiver, b"EHLO x\r\nEXPN staff\r\n") == [250, 502]


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT +4 LAST", b"BDAT 0x4", b"BDAT 4 FIRST"])
def test_a_chunk_of_unknown_length_ends_the_session(line: bytes) -> None:
    receiver = greeted()
    answer_all(receiver, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n")
    assert answer_all(receiver, line + b"\r\nQUIT\r\n") == [501]
    assert receiver.next_event() is Pause.CLOSED


def test_utf8_recipient_needs_smtputf8() -> None:
    plain = greeted()
    rcpt = "RCPT TO:<任平@新浪.com>\r\n".encode()
    assert answer_all(plain, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n" + rcpt) == [250, 250, 553]
    assert answer_all(plain, b"RSET\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\n" + rcpt) == [250, 250, 250]


def test_data_without_recipients() -> None:
    receiver = greeted()
    assert answer_all(receiver, b"EHLO x\r\nMAIL FROM:<>\r\nDATA\r\n") == [250, 250, 503]
    receiver.receive_data(b"RCPT TO:<a@b.example>\r\n")
    receiver.next_event()
    receiver.send(Reply(550, "5.1.1", "unknown"))
    assert answer_all(receiver, b"DATA\r\n") == [554]


def test_a_line_without_cr_is_answered_at_once_with_the_remedy() -> None:
    receiver = greeted()
    receiver.receive_data(b"EHLO x\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 500
    assert "-C" in event.reply.text


def test_over_long_lines_are_read_to_their_end() -> None:
    receiver = greeted(limits=Limits(command_line=100))
    assert answer_all(receiver, b"NOOP " + b"x" * 60_000) == []
    assert answer_all(receiver, b"\r\nNOOP\r\n") == [500, 250]


@pytest.mark.parametrize("pieces", [b"x" * 98 + b"\r\n", b"BDAT 100\r\n" + b"x" * 98 + b"\r\n"])
def test_content_far_beyond_the_limit_ends_the_dialogue(pieces: bytes) -> None:
    receiver = greeted(limits=Limits(message=1000, chunk=1000))
    begin = b"" if pieces.startswith(b"BDAT") else b"DATA\r\n"
    replies = answer_all(receiver, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n" + begin)
    for _ in range(40):
        replies += answer_all(receiver, pieces)
        assert receiver.state is not State.CLOSED
    assert answer_all(receiver, pieces) == [552]
    assert receiver.next_event() is Pause.CLOSED


def test_a_line_without_end_ends_the_dialogue() -> None:
    receiver = greeted()
    assert answer_all(receiver, b"x" * ENDLESS_LINE) == []
    assert answer_all(receiver, b"x") == [500]
    assert receiver.next_event() is Pause.CLOSED


def test_the_end_of_the_input_is_told_while_tls_is_awaited() -> None:
    receiver = Receiver(Offer(starttls=True))
    receiver.send(Reply(220, "", "hello"))
    assert answer_all(receiver, b"EHLO x\r\nSTARTTLS\r\n") == [250, 250]
    assert receiver.state is State.SWITCHING
    assert receiver.next_event() is Pause.NEED_DATA
    receiver.receive_eof()
    assert receiver.next_event() is Pause.CLOSED


def test_a_new_greeting_forgets_the_transaction() -> None:
    receiver = greeted()
    opened = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n"
    assert answer_all(receiver, opened + b"EHLO y\r\nRCPT TO:<a@b.example>\r\n") == [250, 250, 250, 250, 503]


def test_eof_is_told_after_what_came_before_it() -> None:
    receiver = greeted()
    receiver.receive_data(b"NOOP\r\nNO")
    receiver.receive_eof()
    assert receiver.next_event() == Noop()
    receiver.send(OK)
    assert receiver.next_event() is Pause.CLOSED


def test_421_closes_whenever_it_is_said() -> None:
    receiver = greeted()
    receiver.receive_data(b"NOOP\r\n")
    receiver.next_event()
    receiver.send(Reply(421, "4.3.2", "bye"))
    assert receiver.next_event() is Pause.CLOSED
    other = greeted()
    assert other.close(Reply(421, "4.3.2", "bye")).startswith(b"421 4.3.2")
    assert other.next_event() is Pause.CLOSED


def test_secrets_do_not_reach_the_transcript() -> None:
    reported: list[tuple[str, str]] = []
    receiver = Receiver(Offer(auth=("PLAIN", "LOGIN")), transcript=lambda who, line: reported.append((who, line)))
    receiver.send(Reply(220, "", "hello"))
    receiver.receive_data(b"EHLO x\r\nAUTH PLAIN AGFsYWRkaW4Ac2VzYW1l\r\n")
    receiver.next_event()
    receiver.send(OK)
    assert receiver.next_event() == Auth("PLAIN", b"\0aladdin\0sesame")
    receiver.send(Reply(535, "5.7.8", "no"))
    receiver.receive_data(b"auth  login\r\nauth login  c2VzYW1l\r\nAUTH LOGIN\r\n")
    while not isinstance(event := receiver.next_event(), Pause):
        receiver.send(event.reply if isinstance(event, Refused) else Reply(334, "", ""))
    receiver.receive_data(b"c2VzYW1l\r\n")
    receiver.next_event()
    text = "\n".join(line for _, line in reported)
    assert "AGFsYWRkaW4Ac2VzYW1l" not in text
    assert "c2VzYW1l" not in text
    sent: list[tuple[str, str]] = []
    sender = Sender(transcript=lambda who, line: sent.append((who, line)))
    sender.receive_data(b"220 x\r\n")
    sender.next_event()
    sender.send(Greet("EHLO", "x"))
    sender.receive_data(b"250-x\r\n250 AUTH PLAIN\r\n")
    sender.next_event()
    sender.send(Auth("PLAIN", b"\0aladdin\0sesame"))
    assert "AGFs" not in str(sent)


# -- the sending end -------------------------------------------------------------------------------------------


def ready_sender(*keywords: str, lmtp: bool = False, tap: Tap | None = None) -> Sender:
    sender = Sender(lmtp=lmtp, tap=tap)
    sender.receive_data(b"220 hi\r\n")
    assert sender.next_event() == Answered(None, Reply(220, "", "hi"))
    sender.send(Greet("LHLO" if lmtp else "EHLO", "x"))
    lines = ["hi", *keywords]
    wire = "".join(f"250{'-' if i < len(lines) else ' '}{line}\r\n" for i, line in enumerate(lines, 1))
    sender.receive_data(wire.encode())
    sender.next_event()
    return sender


def test_pipelining_only_where_it_was_announced() -> None:
    sender = ready_sender()
    sender.send(Mail(A))
    with pytest.raises(LocalError):
        sender.send(Rcpt(B))
    pipelining = ready_sender("PIPELINING")
    for command in (Mail(A), Rcpt(B), Data()):
        pipelining.send(command)
    with pytest.raises(LocalError):  # DATA ends its group (RFC 2920 §3.1)
        pipelining.send(Rset())


def test_nothing_before_the_greeting() -> None:
    with pytest.raises(LocalError):
        Sender().send(Greet("EHLO", "x"))


@pytest.mark.parametrize(
    ("replies", "state"),
    [
        ((b"250", b"250", b"354"), State.CONTENT),
        ((b"250", b"550", b"554"), State.SENDER),
        ((b"250", b"550", b"354"), State.CONTENT),  # only the dot may be sent now
        ((b"550", b"503", b"503"), State.READY),
        ((b"250", b"250", b"451"), State.RECIPIENTS),
    ],
)
def test_every_mix_of_answers(replies: tuple[bytes, ...], state: State) -> None:
    sender = ready_sender("PIPELINING")
    for command in (Mail(A), Rcpt(B), Data()):
        sender.send(command)
    sender.receive_data(b"".join(reply + b" x\r\n" for reply in replies))
    assert [sender.next_event().to.verb for _ in replies] == ["MAIL", "RCPT", "DATA"]  # type: ignore[union-attr]
    assert sender.state is state


@pytest.mark.parametrize(
    "replies",
    [
        (b"250", b"250", b"250"),  # 250 to DATA
        (b"354",),  # 3yz to MAIL
        (b"550", b"250"),  # a recipient accepted without a transaction
        (b"250", b"250", b"354", b"250"),  # an answer to content that was not sent
    ],
)
def test_what_no_receiver_may_answer(replies: tuple[bytes, ...]) -> None:
    sender = ready_sender("PIPELINING")
    for command in (Mail(A), Rcpt(B), Data()):
        sender.send(command)
    sender.receive_data(b"".join(reply + b" x\r\n" for reply in replies))
    for _ in replies[:-1]:
        sender.next_event()
    with pytest.raises(RemoteError):
        sender.next_event()


def test_a_reply_nobody_waits_for() -> None:
    sender = ready_sender()
    sender.receive_data(b"250 surprise\r\n")
    with pytest.raises(RemoteError):
        sender.next_event()
    leaving = ready_sender()
    leaving.receive_data(b"421 going down\r\n")
    assert leaving.next_event() == Answered(None, Reply(421, "", "going down"))
    assert leaving.next_event() is Pause.CLOSED


def test_a_refusal_in_the_middle_of_content_is_its_answer() -> None:
    sender = ready_sender("PIPELINING")
    for command in (Mail(A), Rcpt(B), Data()):
        sender.send(command)
    sender.receive_data(b"250 x\r\n250 x\r\n354 x\r\n")
    for _ in range(3):
        sender.next_event()
    sender.send_content(b"half of it\r\n")
    sender.receive_data(b"552 5.3.4 too much\r\n")
    assert sender.next_event() == Answered(Sent.CONTENT_END, Reply(552, "5.3.4", "too much"))
    assert sender.state is State.CLOSED


def test_lmtp_waits_for_a_reply_per_accepted_recipient() -> None:
    sender = ready_sender("PIPELINING", lmtp=True)
    for command in (Mail(A), Rcpt(B), Rcpt(A), Rcpt(B), Data()):
        sender.send(command)
    sender.receive_data(b"250 x\r\n250 x\r\n550 x\r\n250 x\r\n354 x\r\n")
    for _ in range(5):
        sender.next_event()
    sender.end_content()
    assert sender.outstanding == 2
    sender.receive_data(b"250 x\r\n452 x\r\n")
    assert [sender.next_event().reply.code for _ in range(2)] == [250, 452]  # type: ignore[union-attr]
    assert sender.state is State.READY


def test_chunks_may_be_pipelined_with_the_envelope() -> None:
    sender = ready_sender("PIPELINING", "CHUNKING")
    wire = sender.send(Mail(A)) + sender.send(Rcpt(B)) + sender.send_chunk(b"a", last=False)
    wire += sender.send_chunk(b"b", last=True) + sender.send(Mail(A))
    assert b"BDAT 1\r\naBDAT 1 LAST\r\nb" in wire
    with pytest.raises(LocalError):
        ready_sender("PIPELINING").send_chunk(b"", last=True)  # not announced


def test_starttls_must_be_answered_before_anything_else() -> None:
    sender = ready_sender("PIPELINING", "STARTTLS")
    sender.send(StartTls())
    with pytest.raises(LocalError):
        sender.send(Mail(A))


# -- extensions ------------------------------------------------------------------------------------------------


def test_what_is_offered_is_what_is_learnt() -> None:
    offer = Offer(size=1000, auth=("PLAIN", "SCRAM-SHA-256"), starttls=True, limits=(("RCPTMAX", 50),))
    learnt = Capabilities.read(Reply(250, "", "\n".join(("hi", *offer.keywords()))))
    assert frozenset(learnt.keywords) == offer.accepts()
    assert learnt.size == 1000
    assert learnt.auth == {"PLAIN", "SCRAM-SHA-256"}
    assert learnt.limits == {"RCPTMAX": 50}
    assert Offer(chunking=False).accepts().isdisjoint({"CHUNKING", "BINARYMIME"})


def test_announcements_of_real_servers() -> None:
    text = "mx\nsize\n8bitmime\nAUTH=LOGIN PLAIN\nauth CRAM-MD5\nX-WEIRD  a  b\nThis is, no keyword!\nSIZE"
    learnt = Capabilities.read(Reply(250, "", text))
    assert learnt.size is None
    assert learnt.has("8BITMIME")
    assert learnt.auth == {"LOGIN", "PLAIN", "CRAM-MD5"}
    assert Capabilities.read(Reply(250, "", "mx\nSIZE 2_0")).size is None
    assert Capabilities.read(Reply(250, "", "mx\nSIZE 0")).size is None


def test_inputs_are_told_apart() -> None:
    receiver = greeted()
    answer_all(receiver, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n")
    receiver.receive_data(b"BDAT 1 LAST\r\nx")
    assert receiver.next_event() == Bdat(1, last=True)
    assert str(Input.BDAT_LAST) == "BDAT LAST"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_without_input_there_is_no_event(size: int) -> None:
    """``has_input`` may be asked in place of ``next_event``, and no event is missed."""
    wire = (
        b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\na\r\n..b\r\n.\r\nMAIL FROM:<>\r\n"
        b"RCPT TO:<c@d.example>\r\nBDAT 3\r\nx\r\nBDAT 0\r\nBDAT 2 LAST\r\n\r\nNOOP\r\n"
    )

    def events(gated: bool) -> list[object]:
        receiver = Receiver(Offer())
        receiver.send(Reply(220, "", "hello"))
        found: list[object] = []
        for at in range(0, len(wire), size):
            data = wire[at : at + size]
            while data or receiver.has_input or not gated:
                event = receiver.next_event(data)
                data = b""
                if isinstance(event, Pause):
                    break
                found.append(event)
                if not isinstance(event, ContentChunk | Bdat):
                    receiver.send(Reply(354 if isinstance(event, Data) else 250, "", "ok"))
            assert receiver.next_event() is Pause.NEED_DATA
            assert not receiver.has_input
        return found

    assert events(True) == events(False)
    assert isinstance(events(True)[-1], Noop)


def test_the_cache_of_lines_holds_no_credentials() -> None:
    receiver = greeted(Offer(auth=("PLAIN",)))
    answer_all(receiver, b"EHLO client.example\r\n")
    parse_cached.cache_clear()
    for line in (b"AUTH PLAIN AGEAYg==\r\n", b"auth plain AGEAYg==\r\n", b"NOOP " + b"x" * CACHED_LINE + b"\r\n"):
        answer_all(receiver, line)
        assert parse_cached.cache_info().currsize == 0
    answer_all(receiver, b"NOOP\r\nNOOP\r\n")
    assert parse_cached.cache_info()[:2] == (1, 1)
