"""SMTP on standard input and output, as programs speak it to ``sendmail -bs``."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from posthouse.net.no_handler import Nobody
from posthouse.service.maildrop.drop_file import DropFile
from posthouse.service.maildrop.maildrop import Maildrop
from posthouse.service.maildrop.stdio_session import StdioStream, speak
from posthouse.service.maildrop.whereabouts import maildrop_at


def session(maildrop: Maildrop, text: bytes) -> list[str]:
    """The replies to what a client sends ahead, as programs do that read them at the end."""
    theirs, ours = os.pipe()
    answers, answer = os.pipe()
    writer = threading.Thread(target=_write, args=(ours, text))
    writer.start()
    try:
        assert speak(maildrop, read=theirs, write=answer) == 0
        writer.join(30.0)
        os.close(answer)
        with open(answers, "rb", closefd=False) as file:
            return file.read().decode().splitlines()
    finally:
        os.close(theirs)
        os.close(answers)


def _write(descriptor: int, text: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(text)


def drops(maildrop: Maildrop) -> list[DropFile]:
    paths = sorted(Path(maildrop.path).iterdir(), key=lambda each: each.stat().st_mtime_ns)
    return [DropFile(str(each)) for each in paths]


def test_messages_are_left_in_the_maildrop(tmp_path: Path) -> None:
    maildrop = maildrop_at(str(tmp_path))
    replies = session(
        maildrop,
        b"EHLO here\r\nMAIL FROM:<ann@x.example> BODY=8BITMIME RET=HDRS\r\n"
        b"RCPT TO:<root> NOTIFY=NEVER\r\nRCPT TO:<bob@y.example>\r\n"
        b"DATA\r\nSubject: \xc3\xa9\r\nBcc: c@x.example\r\n\r\n..dot\r\n.\r\n"
        b"MAIL FROM:<>\r\nRCPT TO:<bob@y.example>\r\nDATA\r\n\r\nsecond\r\n.\r\nQUIT\r\n",
    )
    final = [each for each in replies if "queued as" in each]
    first, second = drops(maildrop)
    assert {each.rpartition(" ")[2] for each in final} == set(os.listdir(maildrop.path))
    envelope = first.dropped.envelope
    assert str(envelope.sender) == "ann@x.example"
    assert [each.address.local for each in envelope.recipients] == ["root", "bob"]
    assert envelope.recipients[0].address.domain
    assert envelope.ret == "HDRS"
    assert envelope.body == "8BITMIME"
    content = first.read()
    assert content.endswith(b"\r\n\r\n.dot\r\n")
    assert b"Bcc" not in content
    assert second.dropped.envelope.sender is None
    assert second.read().endswith(b"\r\n\r\nsecond\r\n")
    assert replies[-1].startswith("221 ")
    for each in (first, second):
        each.close()


def test_a_script_that_writes_lf(tmp_path: Path) -> None:
    maildrop = maildrop_at(str(tmp_path))
    text = b"HELO here\nMAIL FROM:<a@x.example>\nRCPT TO:<b@x.example>\nDATA\nSubject: x\n\none\r\n..\ntwo\n.\nQUIT\n"
    assert session(maildrop, text)[-1].startswith("221 ")
    (drop,) = drops(maildrop)
    assert drop.read().endswith(b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n")
    drop.close()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_line_ends_do_not_depend_on_the_pieces(size: int) -> None:
    for text, made in ((b"a\nb\r\nc\n\nd\n", b"a\r\nb\r\nc\r\n\r\nd\r\n"), (b"a\r\nb\nc\r\n", b"a\r\nb\nc\r\n")):
        stream = StdioStream(Nobody(), asyncio.new_event_loop())
        stream._loop.close()
        assert b"".join(stream._with_crlf(text[at : at + size]) for at in range(0, len(text), size)) == made


def test_an_end_without_quit_ends_the_session(tmp_path: Path) -> None:
    replies = session(maildrop_at(str(tmp_path)), b"NOOP\r\n")
    assert [each[:3] for each in replies] == ["220", "250"]


def test_storage_that_fails_is_answered_451(tmp_path: Path) -> None:
    maildrop = Maildrop(str(tmp_path / "missing"))
    replies = session(
        maildrop,
        b"HELO here\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n\r\nhi\r\n.\r\nQUIT\r\n",
    )
    assert replies[-2].startswith("451 4.3.0 ")


def test_what_cannot_be_read_by_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.service.maildrop.completion._HEADER_AT_MOST", 10)
    replies = session(
        maildrop_at(str(tmp_path)),
        b"HELO here\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nSubject: long\r\n\r\n.\r\nQUIT\r\n",
    )
    assert replies[-2].startswith("554 5.6.0 the header section is longer")
