"""The short ways, which the common case takes, say and learn what the long ones do: sending, whole envelopes beside
one command after the other and whole groups of replies beside one reply after the other; receiving, RCPT."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, LocalError, RemoteError, Reply
from posthouse.protocol import (
    LAW,
    Command,
    ContentChunk,
    Data,
    Greet,
    Input,
    Mail,
    Offer,
    Pause,
    Rcpt,
    Receiver,
    Refused,
    Rset,
    Sender,
    Sent,
    State,
)
from posthouse.protocol.writers import DotWriter, write_content

from .test_engine import ready_sender

A, B, C = Address("langrui", "sohu.com"), Address("renping", "sina.com"), Address("ann", "example.net")
CODES = (b"250", b"251", b"354", b"421", b"450", b"550")
MOST_IN_GROUP = 5

Heard = list[tuple[Command | Sent | None, Reply]]


def short(sender: Sender, wire: bytes) -> tuple[Heard, bool, bool]:
    """What was heard, whether the dialogue goes on, and whether the peer broke the law."""
    heard: Heard = []
    try:
        return heard, sender.receive(wire, heard), False
    except RemoteError:
        return heard, False, True


def long(sender: Sender, wire: bytes) -> tuple[Heard, bool, bool]:
    sender.receive_data(wire)
    heard: Heard = []
    try:
        while not isinstance(event := sender.next_event(), Pause):
            heard.append(tuple(event))
    except RemoteError:
        return heard, False, True
    return heard, event is not Pause.CLOSED, False


def under_way(*, whole: bool, lmtp: bool = False) -> Sender:
    sender = ready_sender("PIPELINING", lmtp=lmtp)
    if whole:
        sender.send_envelope(Mail(A), [Rcpt(B), Rcpt(C)], Data())
    else:
        for command in (Mail(A), Rcpt(B), Rcpt(C), Data()):
            sender.send(command)
    return sender


@pytest.mark.parametrize("lmtp", [False, True])
def test_every_group_of_replies_is_heard_alike(lmtp: bool) -> None:
    for codes in product(CODES, repeat=MOST_IN_GROUP):
        wire = b"".join(code + b" x\r\n" for code in codes)
        one, other = under_way(whole=True, lmtp=lmtp), under_way(whole=False, lmtp=lmtp)
        assert short(one, wire) == long(other, wire), codes
        assert (one.state, one.outstanding, one.may_pipeline) == (other.state, other.outstanding, other.may_pipeline)


class Hearing:
    """A tap that keeps replies."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def said(self, wire: bytes) -> None: ...

    def heard(self, reply: Reply) -> None:
        self.replies.append(reply)


class HearingGroups(Hearing):
    """The same, which takes replies that come together in one call."""

    groups = 0

    def heard_group(self, replies: list[Reply]) -> None:
        self.groups += 1
        self.replies += replies


def test_a_tap_of_groups_hears_what_a_tap_of_replies_hears() -> None:
    groups = 0
    for codes in product(CODES, repeat=4):
        wire = b"".join(code + b" %d\r\n" % place for place, code in enumerate(codes))
        one, other = HearingGroups(), Hearing()
        for tap in (one, other):
            sender = ready_sender("PIPELINING", tap=tap)
            sender.send_envelope(Mail(A), [Rcpt(B), Rcpt(C)], Data())
            short(sender, wire)
        assert one.replies == other.replies, codes
        groups += one.groups
    assert groups > 100


@given(st.lists(st.sampled_from(CODES), min_size=1, max_size=12), st.booleans())
def test_replies_to_a_line_of_messages_are_heard_alike(codes: list[bytes], lmtp: bool) -> None:
    """Content is ended as soon as it may be, and the next envelope stands behind it."""
    one, other = under_way(whole=True, lmtp=lmtp), under_way(whole=False, lmtp=lmtp)
    for code in codes:
        wire = code + b" x\r\n"
        found = short(one, wire)
        assert found == long(other, wire)
        assert (one.state, one.outstanding, one.may_pipeline) == (other.state, other.outstanding, other.may_pipeline)
        try:
            ended = one.end_content()
        except LocalError:
            with pytest.raises(LocalError):
                other.end_content()
            continue
        assert ended == other.end_content()
        if one.may_pipeline:
            separate = b"".join([other.send(command) for command in (Mail(B, 7), Rcpt(A))])
            assert one.send_envelope(Mail(B, 7), [Rcpt(A)], None) == separate


@pytest.mark.parametrize("data", [Data(), None])
def test_an_envelope_is_the_lines_of_its_commands(data: Data | None) -> None:
    commands: list[Command] = [Mail(A, 1000), Rcpt(B), Rcpt(C)]
    one, other = ready_sender("PIPELINING", "SIZE"), ready_sender("PIPELINING", "SIZE")
    wire = one.send_envelope(Mail(A, 1000), [Rcpt(B), Rcpt(C)], data)
    assert wire == other.send_group(commands if data is None else [*commands, data])
    assert wire.splitlines()[:2] == [b"MAIL FROM:<langrui@sohu.com> SIZE=1000", b"RCPT TO:<renping@sina.com>"]
    assert (one.outstanding, one.may_pipeline) == (other.outstanding, other.may_pipeline)


@pytest.mark.parametrize("before", [[Mail(A)], [Mail(A), Rcpt(B), Data()], [Rset(), Mail(A)]])
def test_the_law_holds_for_whole_envelopes(before: list[Command]) -> None:
    sender = ready_sender("PIPELINING")
    sender.send_group(before)
    with pytest.raises(LocalError):
        sender.send_envelope(Mail(A), [Rcpt(B)], Data())
    plain = ready_sender()
    with pytest.raises(LocalError):
        plain.send_envelope(Mail(A), [Rcpt(B)], Data())


def test_an_envelope_that_cannot_be_written_is_not_expected_to_be_answered() -> None:
    sender = ready_sender("PIPELINING")
    with pytest.raises(LocalError):
        sender.send_envelope(Mail(A), [Rcpt(B), Rcpt(Address("a\r\nQUIT", "b.org"))], Data())
    assert sender.outstanding == 0
    assert sender.send_envelope(Mail(A), [Rcpt(B)], Data()).startswith(b"MAIL")


PIECES = st.lists(st.sampled_from([b"a", b".", b"\r\n", b"\r\n.", b"\r", b"\n", b"x" * 70]), max_size=12)


@given(PIECES)
def test_content_in_one_piece_is_what_it_is_in_several(pieces: list[bytes]) -> None:
    writer = DotWriter()
    try:
        wire = b"".join([writer.write(piece) for piece in pieces]) + writer.end()
    except LocalError:
        with pytest.raises(LocalError):
            write_content(b"".join(pieces))
    else:
        assert b"".join(write_content(b"".join(pieces))) == wire


def test_whole_content_ends_the_transaction_as_content_in_pieces_does() -> None:
    one, other = under_way(whole=True), under_way(whole=False)
    for sender in (one, other):
        sender.receive(b"250 x\r\n250 x\r\n250 x\r\n354 x\r\n", [])
    assert b"".join(one.send_whole_content(b".a\r\nb")) == other.send_content(b".a\r\nb") + other.end_content()
    assert (one.outstanding, one.may_pipeline) == (other.outstanding, other.may_pipeline) == (1, True)
    with pytest.raises(LocalError):
        one.send_whole_content(b"again")


def test_whole_content_must_be_whole_and_waited_for() -> None:
    sender = under_way(whole=True)
    with pytest.raises(LocalError):
        sender.send_whole_content(b"too early")
    sender.receive(b"250 x\r\n250 x\r\n250 x\r\n354 x\r\n", [])
    with pytest.raises(LocalError):
        sender.send_whole_content(b"bare\nline")
    sender.send_content(b"a")
    with pytest.raises(LocalError):
        sender.send_whole_content(b"b")


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("codes", [(250, 250), (250, 550), (550, 550)])
def test_final_replies_are_as_many_as_owed(lmtp: bool, codes: tuple[int, int]) -> None:
    one, other = under_way(whole=True, lmtp=lmtp), under_way(whole=False, lmtp=lmtp)
    for sender in (one, other):
        sender.receive(b"250 x\r\n%d x\r\n%d x\r\n354 x\r\n" % codes, [])
    one.send_whole_content(b"a\r\n")
    other.send_content(b"a\r\n")
    other.end_content()
    assert one.outstanding == other.outstanding == (max(1, codes.count(250)) if lmtp else 1)


def test_who_listens_hears_the_envelope() -> None:
    heard: list[str] = []
    sender = Sender(transcript=lambda who, line: heard.append(f"{who}: {line}"))
    sender.receive(b"220 hi\r\n", [])
    sender.send(Greet("EHLO", "x"))
    sender.receive(b"250-hi\r\n250 PIPELINING\r\n", [])
    heard.clear()
    sender.send_envelope(Mail(A), [Rcpt(B)], Data())
    sender.receive(b"250 a\r\n250 b\r\n354 c\r\n", [])
    assert heard == [
        "S: MAIL FROM:<langrui@sohu.com>",
        "S: RCPT TO:<renping@sina.com>",
        "S: DATA",
        "R: 250 a",
        "R: 250 b",
        "R: 354 c",
    ]


# -- RCPT, of which there may be thousands -----------------------------------------------------------------------------

LINES = (b"RCPT TO:<b@x.test>", "RCPT TO:<王@x.test>".encode(), b"RCPT TO:", b"DATA", b"RSET", b"MAIL FROM:<> SMTPUTF8")
REPLIES = (Reply(250), Reply(251, "2.1.5", "will go on"), Reply(354), Reply(421), Reply(550, "5.1.1", "no"))


def received(choices: list[tuple[bytes, Reply]], *, short: bool, lmtp: bool) -> list[object]:
    """All that a dialogue shows.  A transcript and a command that is switched off lead the long way."""
    said: list[tuple[str, str]] = []
    transcript = None if short else lambda who, line: said.append((who, line))
    offer = Offer(smtputf8=True, off=frozenset() if short else frozenset({"EXPN"}))
    receiver = Receiver(offer, lmtp=lmtp, transcript=transcript)
    seen: list[object] = [receiver.send(Reply(220))]
    for line, reply in [(b"LHLO x" if lmtp else b"EHLO x", Reply(250)), (b"MAIL FROM:<>", Reply(250)), *choices]:
        receiver.receive_data(line + b"\r\n")
        event = receiver.next_event()
        seen.append(event)
        try:
            if not isinstance(event, Pause | ContentChunk):
                seen.append(receiver.send(event.reply if isinstance(event, Refused) else reply))
        except LocalError as error:
            seen += [str(error), receiver.send(Reply(451))]
        seen.append(receiver.state)
    return seen


@given(st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(REPLIES)), max_size=8), st.booleans())
def test_every_recipient_is_taken_alike(choices: list[tuple[bytes, Reply]], lmtp: bool) -> None:
    assert received(choices, short=True, lmtp=lmtp) == received(choices, short=False, lmtp=lmtp)


def test_a_recipient_leads_where_the_law_says() -> None:
    assert {LAW[state, Input.RCPT].done for state in State if (state, Input.RCPT) in LAW} == {State.RECIPIENTS}
    assert {state for state in State if (state, Input.RCPT) in LAW} == {State.SENDER, State.RECIPIENTS}
