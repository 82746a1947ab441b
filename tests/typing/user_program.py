"""A user's program, for type checkers only: ``scripts/check`` reads it with mypy in its strict mode.

``assert_type`` says what a checker must find; nothing of it is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import assert_type

import posthouse
from posthouse.app import AppServer, HandlerCall, MessageStream, SessionInfo
from posthouse.app.aiosmtpd import Controller

app = posthouse.App(max_size=1_000_000, tls=("cert.pem", "key.pem"))


@app.recipient("orders+{number}@example.com")
async def order(number: int, message: posthouse.ReadMessage) -> str:
    assert_type(message.text, str)
    assert_type(message.html, str | None)
    return f"order {number} of {message.sender}"


@app.recipient("{name}@example.com")
def known(name: str, session: SessionInfo) -> posthouse.Reply | None:
    if name == "eve":
        raise posthouse.Reject("no such mailbox", reply=posthouse.Reply(550, "5.1.1", "no such mailbox"))
    return None if session.login else posthouse.Reply(450, "4.2.0", "later")


@app.message
async def archive(stream: MessageStream, envelope: posthouse.Envelope) -> None:
    async for piece in stream:
        assert_type(piece, bytes)
    assert_type(envelope.sender, posthouse.Address | None)


@app.middleware
async def timed(call: HandlerCall, proceed: Callable[[], Awaitable[posthouse.Reply]]) -> posthouse.Reply:
    reply = await proceed()
    print(call.handler, reply.code)
    return reply


@app.login
def check(user: str, password: str) -> bool:
    return user == password


# A decorator keeps the type of what it decorates.
assert_type(check("a", "b"), bool)


async def serve() -> None:
    async with app.serve(port=0) as server:
        assert_type(server, AppServer)
        assert_type(server.port, int)
        result = await posthouse.asend(message(), via=server.url)
        assert_type(result, posthouse.SendResult)


def message() -> posthouse.Message:
    return posthouse.Message(
        sender="朗瑞 <langrui@sohu.com>",
        to=["renping@sina.com", "ann@sina.com"],
        subject="你好",
        text="…",
        attachments=[Path("a.pdf"), posthouse.Attachment(b"1,2", name="b.csv")],
        inline={"logo": Path("logo.png")},
    )


def send() -> tuple[posthouse.Outcome, ...]:
    plain = EmailMessage()
    posthouse.send(plain, via="smtps://mail.example.org", timeout="30s").raise_for_failures()
    result = posthouse.send(message(), credentials=("joe", "secret"), envelope=("a@sohu.com", ["b@sina.com"]))
    outcome = result["b@sina.com"]
    assert_type(outcome.result, posthouse.Result)
    assert_type(outcome.reply, posthouse.Reply | None)
    assert_type(result.ok, bool)
    with posthouse.Client("smtp://127.0.0.1") as client:
        assert_type(client.send(message()), posthouse.SendResult)
    with posthouse.Pool("smtp://127.0.0.1", size=3, rate="20/s") as pool:
        for each in pool.send_many([message()]):
            assert_type(each.ok, bool)
    return result.failed


async def send_many() -> None:
    async with posthouse.AsyncPool("smtp://127.0.0.1") as pool:
        async for each in pool.send_many([message()]):
            each.raise_for_failures()
    async with posthouse.AsyncClient("smtp://127.0.0.1") as client:
        await client.send(message())


def read() -> list[str]:
    found = posthouse.read(Path("message.eml"))
    for attachment in found.attachments:
        attachment.save(Path("files"))
    return [each.code for each in found.defects]


def old() -> None:
    controller = Controller(object(), hostname="127.0.0.1", port=0)
    controller.start()
    controller.stop()


if __name__ == "__main__":
    asyncio.run(serve())
