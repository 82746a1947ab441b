"""Every cell of the law, in both roles: what is legal, what each class of reply does, what is refused."""

from __future__ import annotations

import pytest

from posthouse.core import Address, LocalError, RemoteError, Reply
from posthouse.protocol import (
    COMMANDS,
    LAW,
    Answered,
    Auth,
    AuthResponse,
    Bdat,
    ContentChunk,
    Data,
    EndOfChunk,
    EndOfContent,
    Expn,
    Greet,
    Help,
    Input,
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
    StartTls,
    State,
    Vrfy,
    after,
    may,
)

OFFER = Offer(starttls=True, auth=("PLAIN",))
COMMAND_INPUTS = [each for each in Input if not each.startswith("(")]
LIVE_STATES = [each for each in State if each not in (State.CONNECTED, State.CLOSED)]

LINES = {
    Input.HELO: b"HELO client.example",
    Input.EHLO: b"EHLO client.example",
    Input.LHLO: b"LHLO client.example",
    Input.MAIL: b"MAIL FROM:<langrui@sohu.com>",
    Input.RCPT: b"RCPT TO:<renping@sina.com>",
    Input.DATA: b"DATA",
    Input.BDAT: b"BDAT 0",
    Input.BDAT_LAST: b"BDAT 0 LAST",
    Input.RSET: b"RSET",
    Input.NOOP: b"NOOP",
    Input.QUIT: b"QUIT",
    Input.VRFY: b"VRFY renping",
    Input.EXPN: b"EXPN staff",
    Input.HELP: b"HELP",
    Input.AUTH: b"AUTH PLAIN",
    Input.STARTTLS: b"STARTTLS",
}
COMMAND_VALUES = {
    Input.HELO: Greet("HELO", "client.example"),
    Input.EHLO: Greet("EHLO", "client.example"),
    Input.LHLO: Greet("LHLO", "client.example"),
    Input.MAIL: Mail(Address("langrui", "sohu.com")),
    Input.RCPT: Rcpt(Address("renping", "sina.com")),
    Input.DATA: Data(),
    Input.RSET: Rset(),
    Input.NOOP: Noop(),
    Input.QUIT: Quit(),
    Input.VRFY: Vrfy("renping"),
    Input.EXPN: Expn("staff"),
    Input.HELP: Help(),
    Input.AUTH: Auth("PLAIN"),
    Input.STARTTLS: StartTls(),
}
# The way to each state: (what the client says, the reply that moves on).
HELLO = (b"EHLO client.example\r\n", Reply(250, "", "hello\nPIPELINING\nCHUNKING\nSTARTTLS\nAUTH PLAIN"))
MAIL = (b"MAIL FROM:<a@b.example>\r\n", Reply(250, "2.1.0", "ok"))
RCPT = (b"RCPT TO:<c@d.example>\r\n", Reply(250, "2.1.5", "ok"))
WAYS = {
    State.GREETED: [],
    State.READY: [HELLO],
    State.SENDER: [HELLO, MAIL],
    State.RECIPIENTS: [HELLO, MAIL, RCPT],
    State.CONTENT: [HELLO, MAIL, RCPT, (b"DATA\r\n", Reply(354, "", "go"))],
    State.CHUNKS: [HELLO, MAIL, RCPT, (b"BDAT 2\r\nx\n", Reply(250, "2.0.0", "ok"))],
    State.AUTHENTICATING: [HELLO, (b"AUTH PLAIN\r\n", Reply(334, "", ""))],
    State.SWITCHING: [HELLO, (b"STARTTLS\r\n", Reply(220, "2.0.0", "go"))],
}


def receiver_in(state: State) -> Receiver:
    receiver = Receiver(OFFER)
    receiver.send(Reply(554, "", "no mail here") if state is State.REFUSED else Reply(220, "", "hello"))
    for said, reply in WAYS.get(state, []):
        receiver.receive_data(said.replace(b"BDAT 2\r\nx\n", b"BDAT 3\r\nx\r\n"))
        while not isinstance(receiver.next_event(), Pause):
            pass
        receiver.send(reply)
    assert receiver.state is state
    return receiver


def sender_in(state: State) -> Sender:
    sender = Sender()
    sender.receive_data(b"554 no\r\n" if state is State.REFUSED else b"220 hello\r\n")
    sender.next_event()
    for said, reply in WAYS.get(state, []):
        if said.startswith(b"BDAT"):
            sender.send_chunk(b"x\r\n", last=False)
        else:
            sender.send(COMMAND_VALUES[Input(said.split()[0].decode())])
        lines = reply.text.split("\n")
        wire = "".join(f"{reply.code}{'-' if i < len(lines) else ' '}{line}\r\n" for i, line in enumerate(lines, 1))
        sender.receive_data(wire.encode())
        assert isinstance(sender.next_event(), Answered)
    assert sender.state is state
    return sender


def said(receiver: Receiver, given: Input) -> object:
    receiver.receive_data(LINES[given] + b"\r\n")
    event = receiver.next_event()
    while isinstance(event, ContentChunk | Bdat):
        event = receiver.next_event()
    return event


COMMAND_STATES = [s for s in LIVE_STATES if s not in (State.CONTENT, State.AUTHENTICATING, State.SWITCHING)]


@pytest.mark.parametrize("given", COMMAND_INPUTS)
@pytest.mark.parametrize("state", COMMAND_STATES)
def test_receiver_knows_what_is_legal(state: State, given: Input) -> None:
    receiver = receiver_in(state)
    event = said(receiver, given)
    if given is Input.LHLO:
        assert isinstance(event, Refused)
        assert event.reply.code == 500  # another protocol's verb, wherever it comes
        return
    if may(state, given):
        assert not isinstance(event, Refused | Pause), (state, given, event)
        return
    assert isinstance(event, Refused), (state, given, event)
    assert event.reply.code == 503
    receiver.send(event.reply)
    assert receiver.state is state


REPLIES = [Reply(250, "2.0.0", "ok"), Reply(334, "", ""), Reply(451, "4.3.0", "later"), Reply(550, "5.0.0", "no")]


@pytest.mark.parametrize("reply", [*REPLIES, Reply(421, "4.3.2", "bye")], ids=lambda reply: str(reply.code))
@pytest.mark.parametrize(("state", "given"), [cell for cell in LAW if cell[1] in COMMAND_INPUTS], ids=str)
def test_receiver_moves_with_the_reply(state: State, given: Input, reply: Reply) -> None:
    if given is Input.LHLO:
        return
    receiver = receiver_in(state)
    said(receiver, given)
    expected = after(state, given, reply)
    if expected is None:
        with pytest.raises(LocalError):
            receiver.send(reply)
    else:
        receiver.send(reply)
        assert receiver.state is expected


@pytest.mark.parametrize("given", COMMAND_INPUTS)
@pytest.mark.parametrize("state", LIVE_STATES)
def test_sender_obeys_the_same_law(state: State, given: Input) -> None:
    sender = sender_in(state)
    legal = may(state, given) and given is not Input.LHLO

    def send() -> bytes:
        if given in (Input.BDAT, Input.BDAT_LAST):
            return sender.send_chunk(b"", last=given is Input.BDAT_LAST)
        return sender.send(COMMAND_VALUES[given])

    if legal:
        assert send() == LINES[given] + b"\r\n"
    else:
        with pytest.raises(LocalError):
            send()
        assert sender.outstanding == 0


@pytest.mark.parametrize("reply", [*REPLIES, Reply(421, "4.3.2", "bye")], ids=lambda reply: str(reply.code))
@pytest.mark.parametrize(("state", "given"), [cell for cell in LAW if cell[1] in COMMAND_INPUTS], ids=str)
def test_sender_moves_with_the_reply(state: State, given: Input, reply: Reply) -> None:
    if given is Input.LHLO:
        return
    sender = sender_in(state)
    if given in (Input.BDAT, Input.BDAT_LAST):
        sender.send_chunk(b"", last=given is Input.BDAT_LAST)
    else:
        sender.send(COMMAND_VALUES[given])
    sender.receive_data(f"{reply.code} {reply.text}\r\n".encode())
    expected = after(state, given, reply)
    if given is Input.STARTTLS and reply.code == 250:  # RFC 3207 §4: 220 alone agrees
        expected = state
    if expected is None:
        with pytest.raises(RemoteError):
            sender.next_event()
    else:
        answered = sender.next_event()
        assert isinstance(answered, Answered)
        assert answered.reply.code == reply.code
        assert sender.state is expected


def test_lmtp_says_lhlo_in_both_roles() -> None:
    for verb, code in ((b"LHLO", None), (b"EHLO", 500), (b"HELO", 500)):
        receiver = Receiver(OFFER, lmtp=True)
        receiver.send(Reply(220, "", "hello"))
        receiver.receive_data(verb + b" client.example\r\n")
        event = receiver.next_event()
        if code is None:
            assert event == Greet("LHLO", "client.example")
        else:
            assert isinstance(event, Refused)
            assert event.reply.code == code
    sender = Sender(lmtp=True)
    sender.receive_data(b"220 hello\r\n")
    sender.next_event()
    with pytest.raises(LocalError):
        sender.send(Greet("EHLO", "client.example"))
    assert sender.send(Greet("LHLO", "client.example")) == b"LHLO client.example\r\n"


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: str(reply.code))
def test_content_ends_the_transaction_whatever_the_reply(reply: Reply, lmtp: bool) -> None:
    if reply.code == 334:
        return
    receiver = Receiver(Offer(), lmtp=lmtp)
    receiver.send(Reply(220, "", "hello"))
    for line in (b"LHLO x\r\n" if lmtp else b"EHLO x\r\n", MAIL[0], RCPT[0], RCPT[0]):
        receiver.receive_data(line)
        receiver.next_event()
        receiver.send(Reply(250, "", "ok"))
    receiver.receive_data(b"DATA\r\n")
    receiver.next_event()
    receiver.send(Reply(354, "", "go"))
    receiver.receive_data(b"a\r\n.\r\n")
    assert receiver.next_event() == ContentChunk(b"a\r\n")
    assert receiver.next_event() == EndOfContent(3, 2 if lmtp else 1)
    for _ in range(2 if lmtp else 1):
        assert receiver.next_event() is Pause.PAUSED
        receiver.send(reply)
    assert receiver.state is State.READY
    assert receiver.next_event() is Pause.NEED_DATA


def test_greeting_with_554_leaves_only_quit() -> None:
    receiver = receiver_in(State.REFUSED)
    receiver.receive_data(b"EHLO x\r\nQUIT\r\n")
    refused = receiver.next_event()
    assert isinstance(refused, Refused)
    assert refused.reply.code == 503
    receiver.send(refused.reply)
    assert receiver.next_event() == Quit()
    receiver.send(Reply(221, "", "bye"))
    assert receiver.next_event() is Pause.CLOSED


@pytest.mark.parametrize("line", [b"221 bye\r\n", b"500 what?\r\n"])
def test_the_reply_to_quit_closes_whatever_it_says(line: bytes) -> None:
    sender = sender_in(State.READY)
    sender.send(Quit())
    sender.receive_data(line)
    sender.next_event()
    assert sender.next_event() is Pause.CLOSED


def test_authenticating_takes_base64_or_a_star() -> None:
    receiver = receiver_in(State.AUTHENTICATING)
    receiver.receive_data(b"AGEAYg==\r\n")
    assert receiver.next_event() == AuthResponse(b"\0a\0b")
    receiver.send(Reply(235, "2.7.0", "ok"))
    assert receiver.state is State.READY
    receiver.receive_data(b"AUTH PLAIN\r\n")
    again = receiver.next_event()
    assert isinstance(again, Refused)
    assert again.reply.code == 503  # RFC 4954 §4: not after a successful AUTH
    cancelled = receiver_in(State.AUTHENTICATING)
    cancelled.receive_data(b"*\r\n")
    assert cancelled.next_event() == AuthResponse(None)
    cancelled.send(Reply(501, "5.7.0", "cancelled"))
    assert cancelled.state is State.READY
    wrong = receiver_in(State.AUTHENTICATING)
    wrong.receive_data(b"not base64!\r\n")
    event = wrong.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 501
    wrong.send(event.reply)
    assert wrong.state is State.READY


def test_starttls_forgets_everything_and_refuses_what_was_pipelined_behind_it() -> None:
    receiver = receiver_in(State.SWITCHING)
    receiver.tls_started()
    assert receiver.state is State.GREETED
    assert not receiver.esmtp
    injected = receiver_in(State.READY)
    injected.receive_data(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")
    event = injected.next_event()
    assert isinstance(event, Refused)
    assert event.fatal
    injected.send(event.reply)
    assert injected.state is State.CLOSED
    sender = sender_in(State.SWITCHING)
    sender.receive_data(b"250 injected\r\n")
    with pytest.raises(RemoteError):
        sender.tls_started()
    clean = sender_in(State.SWITCHING)
    clean.tls_started()
    assert clean.state is State.GREETED
    assert not clean.capabilities.has("PIPELINING")


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    verbs = {each for each in Input if not each.startswith("(")} - {Input.BDAT_LAST}
    assert set(COMMANDS) == verbs


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_arguments_are_as_the_second_table_says(verb: Input) -> None:
    row = COMMANDS[verb]
    receiver = receiver_in(State.READY)
    receiver.receive_data(verb.encode() + b"\r\n")
    bare = receiver.next_event()
    if row.argument == "required":
        assert isinstance(bare, Refused)
        assert bare.reply.code in (500, 501)
    else:
        assert not (isinstance(bare, Refused) and bare.reply.code == 501)
    receiver = receiver_in(State.READY)
    receiver.receive_data(verb.encode() + b" argument\r\n")
    with_argument = receiver.next_event()
    if row.argument == "none":
        assert isinstance(with_argument, Refused)
        assert with_argument.reply.code == 501


def test_end_of_chunk_is_told_and_rset_leaves() -> None:
    receiver = receiver_in(State.RECIPIENTS)
    receiver.receive_data(b"BDAT 4\r\nab\r\nRSET\r\n")
    assert receiver.next_event() == Bdat(4)
    assert receiver.next_event() == ContentChunk(b"ab\r\n")
    assert receiver.next_event() == EndOfChunk(4)
    assert receiver.next_event() is Pause.PAUSED
    receiver.send(Reply(250, "2.0.0", "4 octets"))
    assert receiver.next_event() == Rset()
    receiver.send(Reply(250, "2.0.0", "ok"))
    assert receiver.state is State.READY
