"""What a message costs: calls of functions, which do not depend on the machine and are nearly all of the time in pure
Python."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

import posthouse
from posthouse.client import transaction

MESSAGE = b"From: ann@a.example\r\nTo: b@b.example\r\nSubject: hi\r\n\r\n" + b"hello\r\n" * 600
ENVELOPE = ("ann@a.example", ["b@b.example"])
OURS = posthouse.__file__.removesuffix("__init__.py")

pytestmark = pytest.mark.skipif(not transaction.__file__.endswith(".py"), reason="compiled functions are not seen")


@contextmanager
def receiver(*also: bytes) -> Iterator[str]:
    """The URL of a receiver of one connection that answers what was sent together in one write, so that the number of
    reads is always the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer, args=(listener, also))
        thread.start()
        try:
            yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)


def _answer(listener: socket.socket, also: tuple[bytes, ...]) -> None:
    channel, _ = listener.accept()
    with channel:
        channel.sendall(b"220 mx.example\r\n")
        heard = b""
        while data := channel.recv(65_536):
            heard += data
            if heard.startswith(b"EHLO") and heard.endswith(b"\r\n"):
                offered = b"".join([b"250-%b\r\n" % each for each in (b"PIPELINING", b"8BITMIME", *also)])
                channel.sendall(b"250-mx.example\r\n" + offered + b"250 ENHANCEDSTATUSCODES\r\n")
            elif heard == b"QUIT\r\n":
                channel.sendall(b"221 bye\r\n")
            elif heard.endswith((b"\r\n.\r\n", b"DATA\r\n")):
                replies = b"250 2.0.0 queued\r\n" * heard.count(b"\r\n.\r\n")
                if heard.endswith(b"DATA\r\n"):
                    replies += b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n"
                channel.sendall(replies)
            else:
                continue
            heard = b""


class Count:
    """Calls of functions of ``posthouse`` in this thread."""

    calls = 0

    def note(self, frame: FrameType, event: str, arg: object) -> None:
        """Count one."""
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self.calls += 1


@contextmanager
def counted() -> Iterator[Count]:
    count = Count()
    sys.setprofile(count.note)
    try:
        yield count
    finally:
        sys.setprofile(None)


def test_one_message_by_a_client_takes_few_calls() -> None:
    """Two round trips; 144 calls before what nearly every message needs was separated from what few need, 133 before
    replies were noted in groups and the lines of an envelope written once."""
    with receiver() as url, posthouse.Client(url) as client:
        client.send(MESSAGE, envelope=ENVELOPE).raise_for_failures()
        with counted() as count:
            for _ in range(20):
                client.send(MESSAGE, envelope=ENVELOPE).raise_for_failures()
    assert count.calls / 20 < 97


@pytest.mark.parametrize("also", [(), (b"CHUNKING",)])
def test_one_message_of_many_takes_few_calls(also: tuple[bytes, ...]) -> None:
    """165 calls before, then 158.  With CHUNKING the content came in a chunk, behind which the next envelope needs
    RSET: 125."""

    async def run() -> float:
        async with posthouse.AsyncPool(url, size=1, messages=None) as pool:
            results = [each async for each in pool.send_many([(MESSAGE, ENVELOPE)] * 64)]
            assert all(each.ok for each in results)
            with counted() as count:
                async for each in pool.send_many([(MESSAGE, ENVELOPE)] * 64):
                    assert each.ok
            return count.calls / 64

    with receiver(*also) as url:
        assert asyncio.run(run()) < 100


def test_a_recipient_who_is_new_takes_few_calls_more() -> None:
    """164 calls before each new address was checked once, then 149."""
    number = itertools.count()
    with receiver() as url, posthouse.Client(url) as client:
        client.send(MESSAGE, envelope=ENVELOPE).raise_for_failures()
        with counted() as count:
            for _ in range(20):
                envelope = ("ann@a.example", [f"user{next(number)}@b.example"])
                client.send(MESSAGE, envelope=envelope).raise_for_failures()
    assert count.calls / 20 < 113
