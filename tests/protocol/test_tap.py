"""What is kept of a dialogue as values is, as lines, what a transcript is told; secrets and content are on neither."""

from __future__ import annotations

from posthouse.core import Address, Reply
from posthouse.protocol import (
    Auth,
    Data,
    Greet,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Sender,
    heard_lines,
    said_lines,
)

A, B = Address("langrui", "sohu.com"), Address("任平", "sina.com")


class Kept:
    def __init__(self) -> None:
        self.values: list[bytes | Reply] = []

    def said(self, wire: bytes) -> None:
        self.values.append(wire)

    def heard(self, reply: Reply) -> None:
        self.values.append(reply)

    def lines(self) -> list[str]:
        found: list[str] = []
        for value in self.values:
            found += said_lines(value, "S: ") if isinstance(value, bytes) else heard_lines(value, "R: ")
        return found


def dialogue(sender: Sender) -> None:
    def hear(wire: bytes) -> None:
        sender.receive(wire, [])

    hear(b"220 mx.test ESMTP\r\n")
    sender.send(Greet("EHLO", "client.test"))
    hear(b"250-mx.test\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n")
    sender.send(Auth("PLAIN", b"\0langrui\0secret"))
    hear(b"535 5.7.8 no\r\n")
    sender.send(Auth("PLAIN"))
    hear(b"334 \r\n")
    sender.send_auth_line(b"AGxhbmdydWkAc2VjcmV0")
    hear(b"235 2.7.0 welcome\r\n")
    sender.send_envelope(Mail(A, smtputf8=True), [Rcpt(B), Rcpt(A)], Data())
    hear(b"250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 such mailbox\r\n250 2.1.5 ok\r\n354 go\r\n")
    sender.send_content(b"Subject: secret\r\n\r\n.secret\r\n")
    sender.end_content()
    sender.send_group([Mail(None), Rcpt(A)])
    sender.send_chunk(b"secret", last=True)
    hear(b"250 2.0.0 queued as 1\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 " + b"x" * 300 + b"\r\n")
    sender.send_group([Rset(), Noop()])
    hear(b"250 ok\r\n250 ok\r\n")
    sender.send(Quit())
    hear(b"221 2.0.0 bye\r\n")


LINES = f"""\
R: 220 mx.test ESMTP
S: EHLO client.test
R: 250-mx.test
R: 250-PIPELINING
R: 250-SMTPUTF8
R: 250-CHUNKING
R: 250 AUTH PLAIN
S: AUTH PLAIN (credentials)
R: 535 5.7.8 no
S: AUTH PLAIN
R: 334
S: (credentials)
R: 235 2.7.0 welcome
S: MAIL FROM:<langrui@sohu.com> SMTPUTF8
S: RCPT TO:<任平@sina.com>
S: RCPT TO:<langrui@sohu.com>
S: DATA
R: 250 2.1.0 ok
R: 550-5.1.1 no
R: 550 5.1.1 such mailbox
R: 250 2.1.5 ok
R: 354 go
S: (28 octets of content)
S: .
S: MAIL FROM:<>
S: RCPT TO:<langrui@sohu.com>
S: BDAT 6 LAST
S: (6 octets of content)
R: 250 2.0.0 queued as 1
R: 250 2.1.0 ok
R: 250 2.1.5 ok
R: 250 {"x" * 300}
S: RSET
S: NOOP
R: 250 ok
R: 250 ok
S: QUIT
R: 221 2.0.0 bye
""".splitlines()


def test_values_become_the_lines_of_the_dialogue() -> None:
    kept = Kept()
    dialogue(Sender(tap=kept))
    assert kept.lines() == LINES


def test_a_group_is_one_value_and_so_is_a_reply() -> None:
    kept = Kept()
    dialogue(Sender(tap=kept))
    group = kept.values.index(b"RSET\r\nNOOP\r\n")
    assert kept.values[group + 1 : group + 3] == [Reply(250, "", "ok"), Reply(250, "", "ok")]


def test_lines_have_nothing_before_them_unless_asked() -> None:
    assert said_lines(b"RSET\r\nNOOP\r\n") == ["RSET", "NOOP"]
    assert list(heard_lines(Reply(250, "2.0.0", "a\nb"))) == ["250-2.0.0 a", "250 2.0.0 b"]


def test_a_transcript_is_told_the_same_lines_at_once() -> None:
    heard: list[str] = []
    dialogue(Sender(transcript=lambda who, line: heard.append(f"{who}: {line}")))
    assert heard == LINES
