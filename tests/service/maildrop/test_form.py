"""Files of the maildrop: what is written is read, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, Body, Envelope, LocalError, Notify, OriginalRecipient, Recipient, Ret
from posthouse.service.maildrop.drop_file import DropFile, LineEnds
from posthouse.service.maildrop.form import (
    DROP_ID,
    MOST_RECIPIENTS,
    DroppedEnvelope,
    Malformed,
    new_drop_id,
    read_head,
    write_head,
)

ANN, BOB = Address("ann", "x.example"), Address("bob o'hara", "y.example")


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(ANN, (Recipient(BOB),)),
        Envelope(None, (Recipient(BOB), Recipient(ANN, Notify.NEVER)), body=Body.BINARYMIME, ret=Ret.HDRS),
        Envelope(
            Address("jörg", "bücher.example"),
            (Recipient(ANN, Notify.SUCCESS | Notify.DELAY, OriginalRecipient("rfc822", "x@y.example")),),
            body=Body.EIGHTBITMIME,
            smtputf8=True,
            envid="QQ314159",
        ),
        Envelope(ANN, (Recipient(BOB, None, OriginalRecipient("utf-8", "ö@y.example")),)),
    ],
)
def test_an_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    dropped = DroppedEnvelope(envelope, "<1@x.example>")
    line = write_head(dropped)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_head(line) == dropped


@pytest.mark.parametrize(
    "facts",
    [
        [],
        {},
        {"sender": "", "to": []},
        {"sender": "a@x", "to": ["b@x"]},
        {"sender": 5, "to": [["b@x.example"]]},
        {"sender": "a@x.example\r\nRSET", "to": [["b@x.example"]]},
        {"sender": "", "to": [["b@x.example> BODY=8BITMIME"]]},
        {"sender": "", "to": [["b@x.example", 99]]},
        {"sender": "", "to": [["b@x.example", True]]},
        {"sender": "", "to": [["b@x.example", None, ["rfc822", "a\nb"]]]},
        {"sender": "", "to": [["b@x.example", None, "rfc822"]]},
        {"sender": "", "to": [["b@x.example"]], "envid": "a b"},
        {"sender": "", "to": [["b@x.example"]], "body": "9BIT"},
        {"sender": "", "to": [["b@x.example"]], "ret": "ALL"},
        {"sender": "", "to": [["b@x.example"]] * (MOST_RECIPIENTS + 1)},
    ],
)
def test_what_no_program_of_ours_writes_is_malformed(facts: object) -> None:
    with pytest.raises(Malformed):
        read_head(json.dumps(facts).encode())


@given(st.binary(max_size=200))
def test_no_octets_raise_anything_else(line: bytes) -> None:
    with pytest.raises(Malformed):
        read_head(line)


def test_an_envelope_that_is_too_large_is_refused() -> None:
    with pytest.raises(LocalError, match="no recipient"):
        write_head(DroppedEnvelope(Envelope(ANN)))
    with pytest.raises(LocalError, match="in parts"):
        write_head(DroppedEnvelope(Envelope(ANN, (Recipient(BOB),) * (MOST_RECIPIENTS + 1))))


def test_drop_ids() -> None:
    assert new_drop_id() != new_drop_id()
    assert new_drop_id("job 7", 33) == new_drop_id("job 7", 33) != new_drop_id("job 7", 34)
    for each in (new_drop_id(), new_drop_id("k", 0)):
        assert DROP_ID.fullmatch(each)


@given(st.lists(st.binary(max_size=5).map(lambda octets: octets.translate(bytes([13, 10, 97] * 85 + [98])))))
def test_line_ends_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    ends = LineEnds()
    made = b"".join(map(ends.feed, pieces)) + ends.end()
    whole = b"".join(pieces)
    plain = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert made == (plain if not plain or plain.endswith(b"\n") else plain + b"\r\n")


def test_links_and_pipes_are_no_files(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(write_head(DroppedEnvelope(Envelope(ANN, (Recipient(BOB),)))) + b"hi")
    file = DropFile(str(real))
    assert (file.read(), file.read(), file.size) == (b"hi", b"", 2)
    file.close()
    (tmp_path / "soft").symlink_to(real)
    with pytest.raises(OSError, match="symbolic"):
        DropFile(str(tmp_path / "soft"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Malformed, match="no file"):
        DropFile(str(tmp_path / "pipe"))
    os.link(real, tmp_path / "hard")
    with pytest.raises(Malformed, match="another name"):
        DropFile(str(real))
    (tmp_path / "empty").touch()
    with pytest.raises(Malformed, match="does not end"):
        DropFile(str(tmp_path / "empty"))
