"""Ready messages of ``posthouse send --raw``: streamed, whatever they come from, and what is found in them."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from posthouse.sending.messages.ready_message import read_ready

MESSAGE = b"From: a@a.example\r\nTo: b@b.example\r\n\r\nhello\r\n"


@contextlib.contextmanager
def pipe_with(data: bytes) -> Iterator[IO[bytes]]:
    """The reading end of a pipe."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as file:
        yield file
        writer.join(30)


def octets(path: str) -> bytes:
    return b"".join(read_ready(path).content.chunks())


@pytest.mark.parametrize("size", [0, 2_000_000])
def test_a_pipe_and_a_file_give_the_same(size: int, tmp_path: Path) -> None:
    data = MESSAGE + (b"x" * 78 + b"\n") * (size // 79)
    (tmp_path / "ready.eml").write_bytes(data)
    with pipe_with(data) as pipe:
        piped = read_ready(pipe)
    filed = read_ready(str(tmp_path / "ready.eml"))
    assert piped[1:] == filed[1:]
    assert piped.changed is (size > 0)
    wanted = MESSAGE + data[len(MESSAGE) :].replace(b"\n", b"\r\n")
    assert b"".join(piped.content.chunks()) == b"".join(filed.content.chunks()) == wanted
    assert piped.content.size == filed.content.size == len(wanted)


def test_a_file_that_is_open_and_in_memory() -> None:
    message = read_ready(io.BytesIO(MESSAGE))
    assert (message.changed, message.empty) == (False, False)


def test_a_large_file_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "large.eml"
    path.write_bytes(MESSAGE + (b"x" * 78 + b"\n") * 300_000)  # 24 MB
    tracemalloc.start()
    try:
        message = read_ready(str(path))
        sent = sum(map(len, message.content.chunks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent == message.content.size == len(MESSAGE) + 80 * 300_000
    assert peak < 6_000_000


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"x" * 998 + b"\n", None),
        (b"x" * 999 + b"\n", (4, 999)),
        (b"x" * 999, (4, 999)),
        (b"a\r\n" * 400_000 + b"x" * 2_000_000 + b"\r\n" + b"y" * 1000, (400_004, 2_000_000)),
    ],
    ids=["short enough", "one too long", "without an end", "over several chunks"],
)
def test_the_first_long_line_is_named(body: bytes, found: tuple[int, int] | None, tmp_path: Path) -> None:
    path = tmp_path / "ready.eml"
    path.write_bytes(b"Subject: t\r\nTo: b@b.example\r\n\r\n" + body)
    assert read_ready(str(path)).long_line == found


@pytest.mark.parametrize("data", [b"", b" \n\r\n\t"])
def test_white_space_is_no_message(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ready.eml"
    path.write_bytes(data)
    assert read_ready(str(path)).empty


def test_what_the_octets_ask_of_a_server(tmp_path: Path) -> None:
    path = tmp_path / "ready.eml"
    path.write_bytes("Subject: Grüße\r\n\r\n".encode() + b"\0\xff\r\n")
    message = read_ready(str(path))
    assert (message.eightbit, message.binary, message.utf8_headers) == (True, True, True)
    assert octets(str(path)) == path.read_bytes()
