"""The lenient receiver: line ends become CRLF, only CRLF.CRLF ends content, and each leniency is remarked.

``model`` is the rule written once more, octet by octet; the readers must agree with it however the octets are cut.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, Body, Remark, Reply
from posthouse.protocol import (
    LENIENT,
    STRICT,
    Bdat,
    ContentChunk,
    EndOfChunk,
    EndOfContent,
    Leniency,
    Mail,
    Offer,
    Pause,
    Rcpt,
    Receiver,
    Refused,
    State,
)
from posthouse.protocol.grammar import GrammarError, parse_mailbox
from posthouse.protocol.leniency import tolerant_mailbox
from posthouse.protocol.lenient_readers import ContentNormaliser, LenientDotReader
from posthouse.protocol.readers import DotReader, only_crlf
from posthouse.protocol.writers import DotWriter, write_content

OK = Reply(250, "2.0.0", "ok")
END = b"\r\n.\r\n"
#: A line that is a single dot to any receiver, whatever it takes for a line end.
LONE_DOT = re.compile(rb"(?:\A|[\r\n])\.[\r\n]")
#: CRLF, LF, CR, CRCRLF on either side of a dot.
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n"]
AROUND_A_DOT = [before + b"." + after for before, after in itertools.product(ENDS, ENDS)]


def model(raw: bytes, *, dots: bool) -> bytes:
    """Content with CRLF for each line end; with ``dots`` the stuffing is undone."""
    out = bytearray()
    behind = "CRLF"  # what ended the line before
    at = 0
    while at < len(raw):
        if dots and raw[at : at + 1] == b"." and (behind == "CRLF" or (behind == "LF" and raw[at : at + 2] == b"..")):
            at += 1
            behind = ""
            continue
        behind = ""
        if raw[at : at + 1] == b"\n":
            out += b"\r\n"
            behind = "LF"
            at += 1
        elif raw[at : at + 1] == b"\r":
            run = len(raw[at:]) - len(raw[at:].lstrip(b"\r"))
            if raw[at + run : at + run + 1] == b"\n":
                out += b"\r\n" * (max(0, run - 8) + 1)
                behind = "CRLF"
                at += run + 1
            else:
                out += b"\r\n" * run
                behind = "CR"
                at += run
        else:
            out += raw[at : at + 1]
            at += 1
    return bytes(out)


def dotted(pieces: list[bytes]) -> tuple[bytes, bytes, list[Remark]]:
    """What a lenient reader makes of octets that have an end: content, what follows the end, and the remarks."""
    normaliser = ContentNormaliser(seven_bit=True)
    reader = LenientDotReader(normaliser)
    content = b""
    for nth, piece in enumerate(pieces):
        got, rest = reader.feed(piece)
        assert isinstance(got, bytes)
        content += got
        if rest is not None:
            return content, rest + b"".join(pieces[nth + 1 :]), normaliser.remarks()
    raise AssertionError("the content has no end")


def cuts(data: bytes) -> list[list[bytes]]:
    """``data`` whole, octet by octet, and in two pieces cut at every place."""
    halves = [[data[:i], data[i:]] for i in range(1, len(data))]
    return [[data], [data[i : i + 1] for i in range(len(data))], *halves]


def in_transaction(leniency: Leniency = LENIENT, mail: bytes = b"MAIL FROM:<a@b.example>") -> Receiver:
    receiver = Receiver(Offer(), leniency=leniency)
    receiver.send(Reply(220, "", "hello"))
    for line in (b"EHLO x", mail, b"RCPT TO:<c@d.example>"):
        receiver.receive_data(line + b"\r\n")
        assert not isinstance(receiver.next_event(), Refused)
        receiver.send(OK)
    return receiver


def content_of(receiver: Receiver, pieces: list[bytes]) -> tuple[bytes, EndOfContent]:
    content = b""
    for piece in pieces:
        receiver.receive_data(piece)
        while not isinstance(event := receiver.next_event(), Pause):
            if isinstance(event, ContentChunk):
                content += event.data
            elif isinstance(event, EndOfContent):
                return content, event
            else:
                assert isinstance(event, Bdat) or not isinstance(event, Refused), event
                if not isinstance(event, Bdat):
                    receiver.send(OK)
    raise AssertionError("the content did not end")


# The end of content ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leniency", [STRICT, LENIENT], ids=["strict", "lenient"])
@pytest.mark.parametrize("middle", AROUND_A_DOT, ids=repr)
def test_nothing_is_smuggled_in_and_nothing_out(middle: bytes, leniency: Leniency) -> None:
    """Whatever stands around a dot: only CRLF.CRLF ends content, and the content that goes on to the next host has no
    line that any host could take for an end."""
    smuggled = b"MAIL FROM:<smuggler@evil.example>\r\n"
    data = b"Subject: x\r\n\r\nbody" + middle + smuggled + END
    for pieces in cuts(data):
        receiver = in_transaction(leniency)
        receiver.receive_data(b"DATA\r\n")
        receiver.next_event()
        receiver.send(Reply(354, "", "go"))
        content, events = b"", []
        for piece in pieces:
            receiver.receive_data(piece)
            while not isinstance(event := receiver.next_event(), Pause):
                if isinstance(event, ContentChunk):
                    content += event.data
                else:
                    events.append(event)
                    receiver.send(event.reply if isinstance(event, Refused) else OK)
        ends_here = END in middle
        if leniency is STRICT and middle != END:
            assert isinstance(events[0], Refused)
            assert len(events) == 1
            assert receiver.state is State.CLOSED
            continue
        assert isinstance(events[0], EndOfContent)
        commands = [event for event in events if isinstance(event, Mail)]
        assert bool(commands) is ends_here, "the octets behind the end are commands, all others content"
        assert ends_here or b"smuggler" in content
        assert only_crlf(content)
        body, end = write_content(content)
        assert LONE_DOT.search(body) is None
        writer = DotWriter()
        wire = b"".join(writer.write(content[i : i + 3]) for i in range(0, len(content), 3)) + writer.end()
        assert wire == body + end
        assert LONE_DOT.search(wire[: -len(b".\r\n")]) is None
        again, rest = DotReader().feed(wire)
        assert (again, rest) == (content if content.endswith(b"\r\n") else content + b"\r\n", b"")


@pytest.mark.parametrize("middle", AROUND_A_DOT, ids=repr)
def test_what_a_chunk_brings_is_stuffed_on_its_way_out(middle: bytes) -> None:
    """BDAT counts its octets, so a dot ends nothing there; the next host may be given the same content by DATA."""
    data = b"Subject: x\r\n\r\nbody" + middle + b"more"
    for cut in range(len(data) + 1):
        receiver = in_transaction()
        first, second = data[:cut], data[cut:]
        wire = b"BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n" % (len(first), first, len(second), second)
        content, end = content_of(receiver, [wire])
        assert content == model(data, dots=False)
        assert sorted(each.kind for each in end.remarks) == kinds_in(data)
        assert all(each.reply.startswith("554 5.6.0") for each in end.remarks)  # as a strict receiver answers BDAT
        assert LONE_DOT.search(write_content(content)[0]) is None
        receiver.send(OK)
        event = receiver.next_event()
        assert getattr(event, "verb", "") == "QUIT", "the chunk ends where it was said to end"


def kinds_in(data: bytes) -> list[str]:
    found = []
    if re.search(rb"\r\r\n", data):
        found.append("cr-cr-lf")
    data = re.sub(rb"\r+\n", b"", data)
    if b"\n" in data:
        found.append("bare-lf")
    if b"\r" in data:
        found.append("bare-cr")
    return sorted(found)


# The readers and the rule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(6))
def test_every_short_content_is_read_by_the_rule(length: int) -> None:
    """All contents of up to 5 of the octets CR, LF, dot and a letter, in every cut."""
    for octets in itertools.product(b"\r\n.a", repeat=length):
        raw = bytes(octets)
        found = (b"\r\n" + raw + END).find(END)
        expected = model((raw + END)[:found], dots=True)
        for pieces in cuts(raw + END + b"QUIT"):
            content, rest, _ = dotted(pieces)
            assert content == expected, (raw, pieces)
            assert rest == (raw + END + b"QUIT")[found + 3 :]


LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\r\r\n", b"\r" * 20 + b"\n", b"\r" * 9])
TEXTS = st.sampled_from([b"", b".", b"..", b"...", b"a", b".a", b"From x", b"Subject: x", b"\xe4"])


@given(st.lists(st.tuples(TEXTS, LINE_ENDS), max_size=8), st.data())
def test_the_rule_holds_however_octets_are_cut(lines: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    raw = b"".join(text + end for text, end in lines)
    wire = raw + END
    found = (b"\r\n" + wire).find(END)
    where = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *where, len(wire)]) if a != b]
    content, rest, remarks = dotted(pieces)
    assert content == model(wire[:found], dots=True)
    assert rest == wire[found + 3 :]
    assert {each.kind: (each.line, each.times) for each in remarks} == {
        each.kind: (each.line, each.times) for each in dotted([wire])[2]
    }


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\r" not in b and b"\n" not in b), max_size=8), st.data())
def test_well_formed_content_is_the_same_in_both_modes(lines: list[bytes], data: st.DataObject) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = b"".join(write_content(content))
    where = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *where, len(wire)]) if a != b]
    got, rest, remarks = dotted(pieces)
    assert (got, rest) == (content, b"")
    assert {each.kind for each in remarks} <= {"8bit"}


@given(st.lists(st.tuples(TEXTS, LINE_ENDS), max_size=6), st.data())
def test_chunks_may_be_cut_anywhere(lines: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    raw = b"".join(text + end for text, end in lines)
    where = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    pieces = [raw[a:b] for a, b in itertools.pairwise([0, *where, len(raw)])]
    last = len(pieces) - 1
    wires = [
        b"BDAT %d%s\r\n%s" % (len(piece), b" LAST" if nth == last else b"", piece) for nth, piece in enumerate(pieces)
    ]
    content, _ = content_of(in_transaction(), wires)
    assert content == model(raw, dots=False)


def test_binary_content_is_not_touched() -> None:
    data = b"\n.\n\r\r\n\x00\xff"
    receiver = in_transaction(mail=b"MAIL FROM:<a@b.example> BODY=BINARYMIME")
    content, end = content_of(receiver, [b"BDAT %d LAST\r\n%s" % (len(data), data)])
    assert (content, end.remarks) == (data, ())


# Dots behind a bare LF ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b"a\n..b\r\n", b"a\r\n.b\r\n"),  # smtplib stuffs behind LF
        (b"a\n.b\r\n", b"a\r\n.b\r\n"),  # curl does not
        (b"a\n...\r\n", b"a\r\n..\r\n"),
        (b"a\r\n..b\r\n", b"a\r\n.b\r\n"),
        (b"a\r..b\r\n", b"a\r\n..b\r\n"),
        (b"a\r\r\n..b\r\n", b"a\r\n.b\r\n"),
        (b"a\n.\nb\r\n", b"a\r\n.\r\nb\r\n"),
    ],
)
def test_dots_that_were_stuffed_behind_lf(wire: bytes, content: bytes) -> None:
    for pieces in cuts(wire + b".\r\n"):
        assert dotted(pieces)[0] == content


# Remarks --------------------------------------------------------------------------------------------------------------


def test_a_remark_has_the_strict_reply_the_first_line_and_the_number() -> None:
    wire = b"Subject: x\r\n\r\none\ntwo\nthree\r\r\nfour\rfive\r\nsix\n" + END
    for pieces in cuts(wire):
        found = {each.kind: each for each in dotted(pieces)[2]}
        assert {kind: (each.line, each.times) for kind, each in found.items()} == {
            "bare-lf": (3, 3),
            "cr-cr-lf": (5, 1),
            "bare-cr": (6, 1),
        }
        assert found["bare-lf"].reply.startswith("554 5.5.2 LF without CR")
        assert found["bare-cr"].reply.startswith("554 5.5.2 CR without LF")


def test_a_fault_far_into_large_content_has_no_line() -> None:
    pieces = [b"x" * 76 + b"\r\n"] * 1000
    near = {each.kind: each.line for each in dotted([*pieces[:100], b"a\nb\r\n.\r\n"])[2]}
    far = {each.kind: each.line for each in dotted([*pieces, b"a\nb\r\n.\r\n"])[2]}
    whole = {each.kind: each.line for each in dotted([b"".join(pieces) + b"a\nb\r\n.\r\n"])[2]}
    assert (near, far, whole) == ({"bare-lf": 101}, {"bare-lf": 0}, {"bare-lf": 1001})


def test_8_bit_content_is_remarked_only_where_mail_did_not_announce_it() -> None:
    data = b"Subject: x\r\n\r\n\xc3\xa9 \xc3\xa9\r\n"
    for mail, kinds in ((b"", ["8bit"]), (b" BODY=8BITMIME", [])):
        receiver = in_transaction(mail=b"MAIL FROM:<a@b.example>" + mail)
        _, end = content_of(receiver, [b"BDAT %d LAST\r\n%s" % (len(data), data)])
        assert [each.kind for each in end.remarks] == kinds
        assert [each.line for each in end.remarks] == [3] * len(kinds)


@pytest.mark.parametrize(
    ("line", "is_mbox"),
    [
        (b"From langrui@sohu.com Thu Jan  1 00:00:00 1970", True),
        (b"From - Tue Mar  3 10:00:00 2026", True),
        (b"From MAILER-DAEMON Fri, 3 Mar 2026 10:00:00", True),
        (b">From langrui@sohu.com Thu Jan  1 00:00:00 1970", True),
        (b">>From - Tue Mar  3 10:00:00 2026", True),
        (b"From: langrui@sohu.com", False),
        (b"> From - Tue Mar  3 10:00:00 2026", False),
        (b">>>", False),
        (b"From now on we meet on Mondays", False),
        (b"From ", False),
        (b"Fro", False),
        (b"", False),
        (b"From langrui@sohu.com " + b"x" * 2000, False),
    ],
)
def test_the_from_line_of_an_mbox_becomes_a_field(line: bytes, is_mbox: bool) -> None:
    rest = b"\r\nSubject: x\r\n\r\nFrom langrui@sohu.com Thu Jan  1 00:00:00 1970\r\n"
    expected = (b"X-Mailbox-Line: " if is_mbox else b"") + line + rest
    for pieces in (*cuts(line + rest + b".\r\n")[:200],):
        content, _, remarks = dotted(pieces)
        assert content == expected
        assert [(each.kind, each.line) for each in remarks] == ([("mbox-from", 1)] if is_mbox else [])
    data = line + rest
    content, _ = content_of(
        in_transaction(), [b"BDAT 2\r\n%s" % data[:2], b"BDAT %d LAST\r\n%s" % (len(data) - 2, data[2:])]
    )
    assert content == expected


@pytest.mark.parametrize("number", [2, 3, 10, 12])
def test_several_from_lines_of_an_mbox_become_fields(number: int) -> None:
    """A message that was copied from one mbox file to another has one for each; more than ten are no header."""
    line, rest = b">From - Tue Mar  3 10:00:00 2026\r\n", b"Subject: x\r\n\r\nFrom - Tue Mar  3 10:00:00 2026\r\n"
    known = min(number, 10)
    expected = (b"X-Mailbox-Line: " + line) * known + line * (number - known) + rest
    for pieces in cuts(line * number + rest + b".\r\n")[:200]:
        content, _, remarks = dotted(pieces)
        assert content == expected
        assert [(each.kind, each.line, each.times) for each in remarks] == [("mbox-from", 1, known)]


def test_a_strict_receiver_remarks_nothing_and_keeps_the_from_line() -> None:
    line = b"From langrui@sohu.com Thu Jan  1 00:00:00 1970\r\nSubject: \xe4\r\n"
    content, end = content_of(in_transaction(STRICT), [b"BDAT %d LAST\r\n%s" % (len(line), line)])
    assert (content, end.remarks) == (line, ())


# Commands -------------------------------------------------------------------------------------------------------------

OWN = LENIENT._replace(domain="own.example")
U = Address
ALL_OF_THEM = ["misplaced-dot", "no-brackets", "trailing-dot", "underscore"]
TOLERATED = [
    ("MAIL FROM:a@b.example", Mail(U("a", "b.example")), ["no-brackets"]),
    ("mail from: a@b.example SIZE=9", Mail(U("a", "b.example"), 9), ["no-brackets"]),
    ("MAIL FROM : <a@b.example>", Mail(U("a", "b.example")), ["no-brackets"]),
    ("MAIL FROM:< a@b.example >", Mail(U("a", "b.example")), ["no-brackets"]),
    ('MAIL FROM:"a b"@b.example', Mail(U("a b", "b.example")), ["no-brackets"]),
    ("MAIL FROM:<a..b@docomo.example>", Mail(U("a..b", "docomo.example")), ["misplaced-dot"]),
    ("MAIL FROM:<a.@au.example>", Mail(U("a.", "au.example")), ["misplaced-dot"]),
    ("MAIL FROM:<.a@c.example> BODY=8BITMIME", Mail(U(".a", "c.example"), None, Body.EIGHTBITMIME), ["misplaced-dot"]),
    ("MAIL FROM:<@x.example:a..b@c.example>", Mail(U("a..b", "c.example")), ["misplaced-dot"]),
    ("MAIL FROM:<a@my_host.example>", Mail(U("a", "my_host.example")), ["underscore"]),
    ("MAIL FROM:<a@b.example.>", Mail(U("a", "b.example")), ["trailing-dot"]),
    ("MAIL FROM:a.@b_c.example.", Mail(U("a.", "b_c.example")), ALL_OF_THEM),
    ("MAIL FROM:<root>", Mail(U("root", "own.example")), ["no-domain"]),
    ("MAIL FROM:root", Mail(U("root", "own.example")), ["no-brackets", "no-domain"]),
    ("MAIL FROM:<Postmaster>", Mail(U("Postmaster", "own.example")), ["no-domain"]),
    ("MAIL FROM:<张三@b.example>", Mail(U("张三", "b.example"), smtputf8=True), ["utf8-address"]),
    ("MAIL FROM:<a@例子.test>", Mail(U("a", "xn--fsqu00a.test")), ["utf8-address"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "command", "kinds"), TOLERATED, ids=[each[0] for each in TOLERATED])
def test_commands_that_are_tolerated(line: str, command: Mail, kinds: list[str]) -> None:
    for verb, word in (("MAIL", "FROM"), ("RCPT", "TO")):
        receiver = Receiver(Offer(), leniency=OWN)
        receiver.send(Reply(220, "", "hello"))
        lines = ["EHLO x"] if verb == "MAIL" else ["EHLO x", "MAIL FROM:<>"]
        for each in lines:
            receiver.receive_data(each.encode() + b"\r\n")
            receiver.next_event()
            receiver.send(OK)
        said = line
        if verb == "RCPT":
            if "SIZE" in line or "BODY" in line or "Postmaster" in line:
                continue
            said = re.sub("(?i)mail from", "RCPT TO", line)
        receiver.receive_data(said.encode() + b"\r\n")
        event = receiver.next_event()
        if verb == "MAIL":
            assert event == command
        else:
            assert event == Rcpt(command.sender or U(""))
        receiver.send(OK)
        if verb == "MAIL":
            receiver.receive_data(b"RCPT TO:<c@d.example>\r\n")
            receiver.next_event()
            receiver.send(OK)
        _, end = content_of(receiver, [b"BDAT 0 LAST\r\n"])
        assert sorted(each.kind for each in end.remarks) == sorted(kinds)
        for each in end.remarks:
            assert each.command.startswith(verb)
            assert each.reply[:3] in ("501", "550", "553")
        assert word


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:",
        "MAIL FROM:<a@b@c.example>",
        "MAIL FROM:<a b@c.example>",
        "MAIL FROM:<.@c.example>",
        "MAIL FROM:<..@c.example>",
        "MAIL FROM:<@c.example>",
        "MAIL FROM:<a@>",
        "MAIL FROM:<a@.>",
        "MAIL FROM:<a@b..c.example>",
        "MAIL FROM:<a@b.example..>",
        "MAIL FROM:<a@-b.example>",
        "MAIL FROM:<a@[1.2.3]>",
        "MAIL FROM:<a@b.example",
        "MAIL FROM:<a@b.example>SIZE=9",
        "MAIL FROM:<a@b.example> SIZE=many",
        "MAIL FROM:<a..b@c.example> COLOUR=red",
        "MAIL FROM:<a@b_c_例.test>",
        "MAIL TO:<a..b@c.example>",
        "MAIL FROM:<" + "a" * 65 + ".@c.example>",
        "MAIL FROM:<a.@" + "b" * 64 + ".example>",
        "MAIL FROM:<a..b\x01@c.example>",
        "MAIL FROM:a@b.example c@d.example",
        "RCPT TO:<@a.@b:c@d.example>",
        "MAIL FROM:<@:c@d.example>",
        "MAIL FROM:<@a_b.example:c@d.example>",
    ],
)
def test_what_has_no_single_meaning_stays_refused(line: str) -> None:
    answers = []
    for leniency in (STRICT, OWN):
        receiver = Receiver(Offer(), leniency=leniency)
        receiver.send(Reply(220, "", "hello"))
        receiver.receive_data(b"EHLO x\r\n")
        receiver.next_event()
        receiver.send(OK)
        receiver.receive_data(line.encode() + b"\r\n")
        event = receiver.next_event()
        assert isinstance(event, Refused), event
        answers.append(event)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("MAIL FROM:a@b.example", "commands"),
        ("MAIL FROM:<a..b@c.example>", "addresses"),
        ("MAIL FROM:<a@b_c.example>", "addresses"),
        ("MAIL FROM:<a@c.example.>", "addresses"),
        ("MAIL FROM:<张三@c.example>", "addresses"),
        ("MAIL FROM:<root>", "domain"),
    ],
)
def test_each_leniency_is_granted_by_itself(line: str, needs: str) -> None:
    only = {
        "commands": Leniency(commands=True),
        "addresses": Leniency(addresses=True),
        "domain": Leniency(domain="x.test"),
    }
    for name, leniency in (*only.items(), ("content", Leniency(content=True))):
        receiver = Receiver(Offer(), leniency=leniency)
        receiver.send(Reply(220, "", "hello"))
        receiver.receive_data(b"EHLO x\r\n")
        receiver.next_event()
        receiver.send(OK)
        receiver.receive_data(line.encode() + b"\r\n")
        assert isinstance(receiver.next_event(), Mail) is (name == needs)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a..b@docomo.example", Address("a..b", "docomo.example")),
        ("a@my_host.example.", Address("a", "my_host.example")),
        ("Postmaster", Address("Postmaster")),
        ("a b@c.example", None),
        ("root", None),
        ("a" * 300 + "..b@c.example", None),
    ],
)
def test_a_mailbox_as_a_person_writes_it(text: str, address: Address | None) -> None:
    if address is not None:
        assert tolerant_mailbox(text) == address
        return
    with pytest.raises(GrammarError) as strict:
        parse_mailbox(text)
    with pytest.raises(GrammarError, match=re.escape(str(strict.value))):
        tolerant_mailbox(text)


def test_a_refused_recipient_leaves_no_remark() -> None:
    receiver = in_transaction()
    for line, reply in (
        ("RCPT TO:<a..b@d.example>", Reply(550, "5.1.1", "no")),
        ("RCPT TO:<张三@d.example>", Reply(550, "5.1.1", "no")),
        ("RCPT TO:<a@d_.example>", OK),
    ):
        receiver.receive_data(line.encode() + b"\r\n")
        assert isinstance(receiver.next_event(), Rcpt)
        receiver.send(reply)
    assert not receiver.utf8_tolerated
    _, end = content_of(receiver, [b"BDAT 0 LAST\r\n"])
    assert [each.command for each in end.remarks] == ["RCPT TO:<a@d_.example>"]


def test_many_remarks_of_one_kind_are_one() -> None:
    receiver = in_transaction()
    for nth in range(30):
        receiver.receive_data(b"RCPT TO:<a.%d.@d.example>\r\n" % nth)
        receiver.next_event()
        receiver.send(OK)
    _, end = content_of(receiver, [b"BDAT 0 LAST\r\n"])
    assert [(each.kind, each.times, each.command) for each in end.remarks] == [
        ("misplaced-dot", 30, "RCPT TO:<a.0.@d.example>")
    ]


def test_remarks_belong_to_one_transaction() -> None:
    receiver = in_transaction(mail=b"MAIL FROM:<a..b@c.example>")
    for line in (b"RSET", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
        receiver.receive_data(line + b"\r\n")
        receiver.next_event()
        receiver.send(OK)
    _, end = content_of(receiver, [b"BDAT 0 LAST\r\n"])
    assert end.remarks == ()


_MESSAGES = (
    ("", [b"DATA", b"Subject: x\r\n\r\nclean\r\n.\r\n"]),
    ("", [b"DATA", b"Subject: x\r\n\r\ncl", b"ean\r\n.\r\n"]),
    ("", [b"DATA", b"Subject: x\r\n\r\n\xc3\xa9\r\n.\r\n"]),
    (" BODY=8BITMIME", [b"DATA", b"Subject: x\r\n\r\n\xc3\xa9\r\n.\r\n"]),
    ("", [b"DATA", b"Subject: x\n\r\nbare\r\n.\r\n"]),
    ("", [b"DATA", b"From - Tue Mar  3 10:00:00 2026\r\nSubject: x\r\n.\r\n"]),
    ("", [b"BDAT 10 LAST", b"Subject: x"]),
    ("", [b"BDAT 3 LAST", b"a\nb"]),
    ("", [b"BDAT 1", b"\r", b"BDAT 1 LAST", b"\n"]),
)


@given(st.lists(st.sampled_from(_MESSAGES), min_size=1, max_size=6))
def test_messages_of_one_session_are_read_as_each_in_a_session_of_its_own(
    messages: list[tuple[str, list[bytes]]],
) -> None:
    def sent(receiver: Receiver, parts: list[bytes]) -> tuple[bytes, EndOfContent]:
        content = b""
        for part in parts:
            receiver.receive_data(part + (b"\r\n" if part[:4] in (b"DATA", b"BDAT") else b""))
            while not isinstance(event := receiver.next_event(), Pause):
                if isinstance(event, ContentChunk):
                    content += event.data
                elif isinstance(event, EndOfContent):
                    receiver.send(OK)
                    return content, event
                elif not isinstance(event, Bdat):
                    receiver.send(OK if isinstance(event, EndOfChunk) else Reply(354))
        raise AssertionError("the content did not end")

    one = in_transaction(mail=b"MAIL FROM:<a@b.example>" + messages[0][0].encode())
    for nth, (mail, parts) in enumerate(messages):
        if nth:
            for line in (b"MAIL FROM:<a@b.example>" + mail.encode(), b"RCPT TO:<c@d.example>"):
                one.receive_data(line + b"\r\n")
                one.next_event()
                one.send(OK)
        alone = in_transaction(mail=b"MAIL FROM:<a@b.example>" + mail.encode())
        assert sent(one, parts) == sent(alone, parts)


def test_a_recipient_beyond_ascii_makes_the_transaction_smtputf8() -> None:
    receiver = in_transaction()
    receiver.receive_data("RCPT TO:<a@例子.test>\r\n".encode())
    assert receiver.next_event() == Rcpt(Address("a", "xn--fsqu00a.test"))
    receiver.send(OK)
    assert not receiver.utf8_tolerated  # an A-label is ASCII
    receiver.receive_data("RCPT TO:<张三@例子.test>\r\n".encode())
    assert receiver.next_event() == Rcpt(Address("张三", "xn--fsqu00a.test"))
    receiver.send(OK)
    assert receiver.utf8_tolerated


def test_a_command_line_ended_by_lf_stays_an_error() -> None:
    """``nc`` without -C is told so at once: octets behind it may belong to the next command."""
    receiver = Receiver(Offer(), leniency=OWN)
    receiver.send(Reply(220, "", "hello"))
    receiver.receive_data(b"EHLO x\n")
    event = receiver.next_event()
    assert isinstance(event, Refused)
    assert event.reply.code == 500
