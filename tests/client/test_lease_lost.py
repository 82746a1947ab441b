"""A message whose lease is lost while it is sent: the octets that would end its content are never written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from posthouse.client import Session
from posthouse.core import Bytes, Envelope, Outcome, Result

from .test_session import LETTER, MAIL, RCPT, Peer, against, envelope, hello

SECOND = b"RCPT TO:<postmaster@sina.com>\r\n"
REASON = "the lease was lost before the message was complete; nothing was delivered by this attempt"


def until_closed(rest: list[bytes], *steps: tuple[bytes, bytes]) -> Peer:
    """A peer that expects these octets step by step, and then keeps all that comes until the connection ends."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for expected, said in steps:
            assert await reader.readexactly(len(expected)) == expected
            writer.write(said)
            await writer.drain()
        try:
            while data := await reader.read(1 << 16):
                rest.append(data)
        except ConnectionResetError:
            return

    return peer


def sent(message: Envelope, content: Bytes, rest: list[bytes], *steps: tuple[bytes, bytes], **how: Any) -> Any:
    asked: list[bool] = []

    def lost() -> bool:
        asked.append(True)
        return False

    async def use(session: Session) -> tuple[Outcome, ...]:
        outcomes = await session.deliver(message, content, lost)
        assert not session.usable
        return outcomes

    outcomes = against(until_closed(rest, *steps), use, **how)
    assert asked
    return outcomes


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("size", [1, 10_000])
def test_the_final_dot_is_not_sent(lmtp: bool, size: int) -> None:
    rest: list[bytes] = []
    greeting, (ehlo, capabilities) = hello(b"PIPELINING")
    if lmtp:
        ehlo = ehlo.replace(b"EHLO", b"LHLO")
    steps = greeting, (ehlo, capabilities), (MAIL + RCPT + b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n")
    (outcome,) = sent(envelope(), Bytes(LETTER.data * size), rest, *steps, lmtp=lmtp)
    assert outcome.result is Result.DEFERRED
    assert outcome.reason == REASON
    assert not b"".join(rest).endswith(b"\r\n.\r\n")


@pytest.mark.parametrize("size", [1, 10_000])
def test_the_last_chunk_is_not_sent(size: int) -> None:
    rest: list[bytes] = []
    steps = *hello(b"PIPELINING", b"CHUNKING"), (MAIL + RCPT, b"250 ok\r\n250 ok\r\n")
    (outcome,) = sent(envelope(), Bytes(LETTER.data * size), rest, *steps)
    assert (outcome.result, outcome.reason) == (Result.DEFERRED, REASON)
    assert b"LAST" not in b"".join(rest)


def test_a_recipient_that_was_refused_before_keeps_its_reply() -> None:
    rest: list[bytes] = []
    steps = (
        *hello(b"PIPELINING"),
        (MAIL + RCPT + SECOND + b"DATA\r\n", b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n"),
    )
    refused, lost = sent(envelope("renping@sina.com", "postmaster@sina.com"), LETTER, rest, *steps)
    assert refused.result is Result.FAILED
    assert (lost.result, lost.reason) == (Result.DEFERRED, REASON)
    assert rest == []


def test_a_lease_that_is_held_changes_nothing() -> None:
    rest: list[bytes] = []
    steps = *hello(b"PIPELINING"), (MAIL + RCPT + b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n")
    content = b"Subject: hi\r\n\r\n..dots\r\nlast line\r\n.\r\n"
    peer = until_closed(rest, *steps, (content, b"250 2.0.0 q\r\n"))
    (outcome,) = against(peer, lambda session: session.deliver(envelope(), LETTER, lambda: True))
    assert outcome.result is Result.DELIVERED
