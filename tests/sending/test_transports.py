"""``file:``, ``memory:``, ``mx:``, and doubles of a user's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sending.scripted_peer import ScriptedPeer

import posthouse
from posthouse import LocalError, SendResult, SettingError
from posthouse.core import Content, Envelope, Outcome, Result
from posthouse.sending import memory
from posthouse.sending.transports.exchangers import AsyncMxTransport, MxTransport
from posthouse.testing import StaticResolver

MESSAGE = b"From: ann@a.example\nTo: b@b.example\nBcc: c@c.example\nSubject: hi\n\nhello\n"
SENT = b"From: ann@a.example\r\nTo: b@b.example\r\nSubject: hi\r\n\r\nhello\r\n"

Send = Callable[..., SendResult]


def awaited(*args: Any, **options: Any) -> SendResult:
    return asyncio.run(posthouse.asend(*args, **options))


@pytest.fixture(params=[posthouse.send, awaited], ids=["send", "asend"])
def send(request: pytest.FixtureRequest) -> Send:
    found: Send = request.param
    return found


def test_an_eml_file_is_replaced_by_each_message(send: Send, tmp_path: Path) -> None:
    path = tmp_path / "a file.eml"
    path.write_bytes(b"before")
    result = send(MESSAGE, f"file://{tmp_path}/a%20file.eml")
    assert result.ok
    assert result.queue_id == str(path)
    assert path.read_bytes() == SENT
    assert [each.name for each in tmp_path.iterdir()] == ["a file.eml"]


def test_a_maildir_is_made_and_filled(send: Send, tmp_path: Path) -> None:
    first, second = (send(MESSAGE, f"file:{tmp_path}/box") for _ in range(2))
    assert first.ok
    assert second.ok
    new = sorted((tmp_path / "box" / "new").iterdir())
    assert {first.queue_id, second.queue_id} == {str(each) for each in new}
    assert new[0].read_bytes() == b"Return-Path: <ann@a.example>\n" + SENT.replace(b"\r\n", b"\n")


def test_a_path_that_cannot_be_written_defers(send: Send, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url in (f"file:{tmp_path}/file/x.eml", f"file:{tmp_path}/file/box"):
        result = send(MESSAGE, url)
        assert {each.result for each in result} == {Result.DEFERRED}
        assert "not stored in" in result.outcomes[0].reason


def test_memory_keeps_what_would_have_left(send: Send) -> None:
    box = memory("test_memory")
    box.clear()
    assert send(MESSAGE, "memory:test_memory").ok
    (message,) = box.messages
    assert message.content == SENT
    assert [str(each.address) for each in message.envelope.recipients] == ["b@b.example", "c@c.example"]
    assert message.read().subject == "hi"
    assert memory("another").messages == []


def test_a_double_is_an_object_with_one_method(send: Send) -> None:
    class Double:
        def deliver(self, envelope: Envelope, content: Content) -> SendResult:
            return SendResult([Outcome(each, Result.FAILED, None, "no") for each in envelope.recipients])

    assert not send(MESSAGE, Double())
    with pytest.raises(SettingError, match="leave timeout, proxy out"):
        send(MESSAGE, Double(), timeout=3, proxy="socks5h://127.0.0.1")


def test_an_asynchronous_double_is_for_asend() -> None:
    class Double:
        async def deliver(self, envelope: Envelope, content: Content) -> SendResult:
            return SendResult([Outcome(each, Result.DELIVERED) for each in envelope.recipients])

    assert awaited(MESSAGE, Double()).ok
    with pytest.raises(LocalError, match="Double is asynchronous; use asend"):
        posthouse.send(MESSAGE, Double())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:", "there is no path"),
        ("file://host/x", "another machine's name"),
        ("mx:x", "takes nothing behind the colon"),
        ("pigeon://x", "is not a protocol to send mail by"),
        ("smtp://127.0.0.1?timeout=soon", "timeout cannot be 'soon'"),
        ("smtp://127.0.0.1?proxy=gopher://x", "is no kind of proxy"),
        ("lmtp+unix:///run/x?proxy=127.0.0.1", "needs no proxy"),
        ("smtp://127.0.0.1?timeout=", "timeout has no value"),
    ],
)
def test_a_wrong_url_is_named(send: Send, url: str, words: str) -> None:
    with pytest.raises(SettingError, match=words) as raised:
        send(MESSAGE, url)
    assert isinstance(raised.value, ValueError)


def test_direct_delivery_asks_the_dns() -> None:
    message = b"From: ann@a.example\nTo: b@b.example, x@nowhere.example\n\nhello\n"
    resolver = StaticResolver({"b.example": {"MX": ["10 mx.b.example"]}, "mx.b.example": {"A": ["127.0.0.1"]}})
    with ScriptedPeer({}) as peer:
        blocking = MxTransport(resolver=resolver, port=peer.port, loopback=True)
        result = posthouse.send(message, blocking)
        assert [each.result for each in result] == [Result.DELIVERED, Result.FAILED]
        again = AsyncMxTransport(resolver=resolver, port=peer.port, loopback=True)
        assert [each.result for each in awaited(message, again)] == [Result.DELIVERED, Result.FAILED]

        async def in_a_loop() -> None:
            posthouse.send(message, blocking)

        with pytest.raises(LocalError, match=r"use posthouse\.asend"):
            asyncio.run(in_a_loop())
