"""The demonstration's two daemons: a message is relayed and delivered, none leaves the machine, no file is left."""

from __future__ import annotations

import asyncio
import os

import pytest

from posthouse.core import Envelope, Recipient, Result
from posthouse.message import fields, split
from posthouse.service.demo import DEMO_DOMAINS, Demo


def test_a_message_is_relayed_and_no_file_is_left() -> None:
    async def scenario() -> list[str]:
        async with asyncio.timeout(60), Demo() as demo:
            assert set(demo.daemons) == set(DEMO_DOMAINS)
            message = demo.compose()
            (outcome,) = await demo.send(message)
            assert outcome.result is Result.DELIVERED
            arrival = await demo.arrival()
            await demo.close()
            names = [field.name for field in fields(split(arrival.content).headers)]
            assert names[:3] == [b"Return-Path", b"Received", b"Received"]
            assert names.count(b"Received") == 2
            assert arrival.content.endswith(message.content)
            assert [dialogue.lines[-1].text[:3] for dialogue in demo.dialogues] == ["221", "221"]
            return list(demo.directories.values())

    assert not any(map(os.path.exists, asyncio.run(scenario())))


def test_no_message_leaves_the_two_daemons() -> None:
    heard: list[dict[str, object]] = []
    ended = asyncio.Event()

    def log(event: str, /, **fields: object) -> None:
        if event in ("held", "deferred", "failed", "delivered"):
            heard.append({"event": event, **fields})
            ended.set()

    async def scenario() -> None:
        async with asyncio.timeout(60), Demo(log=log) as demo:
            message = demo.compose()
            (recipient,) = message.envelope.recipients
            elsewhere = Recipient(recipient.address._replace(domain="example.org"))
            envelope: Envelope = message.envelope._replace(recipients=(elsewhere,))
            (outcome,) = await demo.send(message._replace(envelope=envelope))
            assert outcome.result is Result.DELIVERED  # the first daemon took it; its relay finds no way on
            await ended.wait()

    asyncio.run(scenario())
    assert heard[0]["event"] != "delivered"
    assert heard[0]["reason"] == "the domain example.org does not exist"


def test_a_daemon_that_cannot_open_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    class Refusing:
        async def listen(self, *_: object, **__: object) -> None:
            raise OSError("no port is free")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def scenario() -> None:
        async with Demo(network=Refusing()):  # type: ignore[arg-type]
            raise AssertionError("it opened")

    with pytest.raises(OSError, match="no port is free"):
        asyncio.run(scenario())
    assert os.listdir(str(tmp_path)) == []
