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
from posthouse.sending import memory, parse_server
from posthouse.sending.options import target_of
from posthouse.sending.transports.exchangers import AsyncMxTransport, MxTransport
from posthouse.sending.via import default_via
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
    assert not send(MESSAGE, Double(), timeout=3, transcript=True)
    with pytest.raises(SettingError, match="leave proxy out"):
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
        ("file:out.eml?timeout=30s", "file: has no parameters; write %3F"),
        ("mx:x", "takes nothing behind the colon"),
        ("pigeon://x", "is not a protocol to send mail by"),
        ("smtp://127.0.0.1?timeout=soon", "timeout cannot be 'soon'"),
        ("smtp://127.0.0.1?proxy=gopher://x", "is no kind of proxy"),
        ("lmtp+unix:///run/x?proxy=127.0.0.1", "needs no proxy"),
        ("smtp://127.0.0.1?timeout=", "timeout has no value"),
        ("smtp://127.0.0.1?tiemout=9", "'tiemout' is not a parameter of a server's URL; there are .*, timeout, tls"),
    ],
)
def test_a_wrong_url_is_named(send: Send, url: str, words: str) -> None:
    with pytest.raises(SettingError, match=words) as raised:
        send(MESSAGE, url)
    assert isinstance(raised.value, ValueError)


def test_options_stand_in_the_url_or_beside_it() -> None:
    target = target_of(
        "smtp+starttls://ann:p%3Fw@mx.example?reply_timeout=2m&tls=require&source=127.0.0.1&timeout=90",
        options={"local_name": "me.example", "final_timeout": 5},
    )
    assert (target.server.user, target.server.password, target.server.tls) == ("ann", "p?w", "require")
    assert (target.timeout, target.source, target.local_name) == (90.0, "127.0.0.1", "me.example")
    assert (target.timeouts.connect, target.timeouts.command, target.timeouts.final) == (20.0, 120.0, 5.0)
    assert "p?w" not in repr(target)
    assert target_of("smtp://mx.example?timeout=9", timeout="1m").timeout == 60.0
    assert target_of("lmtp+unix:///run/lmtp?timeout=9").server == parse_server("lmtp:/run/lmtp")
    for url in ("smtp://u:p?w=x@mx.example", "smtp://mx.example?colour=red"):
        with pytest.raises(SettingError) as raised:
            target_of(url)
        assert "p?w" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"EMAIL_HOST": "mx.example"}, "smtp://mx.example"),
        ({"EMAIL_HOST": "mx.example", "EMAIL_PORT": "2525", "EMAIL_TIMEOUT": "9"}, "smtp://mx.example:2525?timeout=9"),
        (
            {
                "EMAIL_HOST": "mx.example",
                "EMAIL_USE_TLS": "True",
                "EMAIL_HOST_USER": "a@b",
                "EMAIL_HOST_PASSWORD": "p:/",
            },
            "smtp+starttls://a%40b:p%3A%2F@mx.example",
        ),
        ({"EMAIL_HOST": "::1", "EMAIL_USE_SSL": "1", "EMAIL_USE_TLS": "0"}, "smtps://[::1]"),
    ],
)
def test_settings_of_django_name_a_server(settings: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTHOUSE_URL", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD", "EMAIL_USE_SSL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("posthouse.sending.via.django_setting", lambda: None)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert default_via() == url
    target_of(url)
    monkeypatch.setenv("EMAIL_USE_SSL", "1")
    monkeypatch.setenv("EMAIL_USE_TLS", "1")
    with pytest.raises(SettingError, match="exclude each other"):
        default_via()


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


def test_a_program_that_sends_by_a_server_elsewhere_sends_into_memory_here(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTHOUSE_URL", "memory:elsewhere")
    assert send(MESSAGE, timeout="30s", credentials=("ann", "secret"), ca="/nowhere", transcript=True).ok
    assert memory("elsewhere").messages[-1].content == SENT
    with posthouse.Pool(timeout=30, credentials=("ann", "secret")) as pool:
        assert pool.send(MESSAGE).ok


def test_a_transport_that_does_not_answer_in_time_leaves_the_message_ambiguous() -> None:
    class Silent:
        async def deliver(self, envelope: Envelope, content: Content) -> SendResult:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    result = awaited(MESSAGE, Silent(), timeout=0.001)
    assert [each.result for each in result] == [Result.AMBIGUOUS, Result.AMBIGUOUS]
    assert "did not answer within 0.001 s" in result["b@b.example"].reason


def test_direct_delivery_has_a_transcript(send: Send) -> None:
    resolver = StaticResolver({"b.example": {"MX": ["10 mx.b.example"]}, "mx.b.example": {"A": ["127.0.0.1"]}})
    message = b"From: ann@a.example\nTo: b@b.example\n\nhello\n"
    kind = MxTransport if send is posthouse.send else AsyncMxTransport
    with ScriptedPeer({}) as peer:
        result = send(message, kind(resolver=resolver, port=peer.port, loopback=True), transcript=True, timeout=60)
    assert result.ok
    assert "S: MAIL FROM:<ann@a.example>" in [line.split(" SIZE")[0].split(" BODY")[0] for line in result.transcript]
    assert result.transcript[-1].startswith(("R: 221", "S: QUIT"))
