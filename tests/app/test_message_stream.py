"""Content that handlers read while it arrives: in pieces, with back-pressure, and broken off with its client."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from posthouse import Envelope, LocalError, Reject
from posthouse.app import App, AppServer, MessageStream
from posthouse.app.message_stream import IncomingStream
from posthouse.core import Broken, Content

from .app_harness import CONTENT, Client, run, sent, with_server

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 400_000


def test_a_coroutine_and_a_function_read_what_arrives_while_another_handler_keeps_it() -> None:
    app = App()
    seen: dict[str, object] = {}

    @app.message
    async def coroutine(stream: MessageStream) -> str:
        seen["coroutine"] = b"".join([piece async for piece in stream]) == LARGE
        return "streamed"

    @app.message
    def function(stream: MessageStream) -> None:
        seen["function"] = b"".join(stream) == LARGE

    @app.recipient("{name}@example.com")
    async def whole(name: str, content: Content) -> None:
        seen[name] = content.size

    assert sent(app, "ann@example.com", content=LARGE)[-1] == "250 2.0.0 streamed"
    assert seen == {"coroutine": True, "function": True, "ann": len(LARGE)}


def test_a_recipients_handler_may_stream_and_nothing_is_kept_then() -> None:
    app = App()
    sizes: dict[str, int] = {}

    @app.recipient("{name}@example.com")
    async def take(name: str, stream: MessageStream, envelope: Envelope) -> str:
        sizes[name] = 0
        async for piece in stream:
            sizes[name] += len(piece)
        if name == "bob":
            raise Reject("bob has moved")
        return f"{sizes[name]} octets"

    assert sent(app, "ann@example.com", "bob@example.com", content=LARGE, lmtp=True)[-2:] == [
        f"250 2.0.0 {len(LARGE)} octets",
        "554 5.7.1 bob has moved",
    ]
    assert sizes == {"ann": len(LARGE), "bob": len(LARGE)}


def test_a_handler_that_does_not_read_stops_the_client() -> None:
    app = App()
    go_on = asyncio.Event()
    streams: list[MessageStream] = []

    @app.message
    async def slow(stream: MessageStream) -> None:
        streams.append(stream)
        await go_on.wait()
        async for _ in stream:
            pass

    async def use(server: AppServer) -> tuple[int, str]:
        client = await Client.open(server)
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<a@sohu.com>")
        await client.say("RCPT TO:<ann@example.com>")
        await client.say("DATA")
        client.writer.write((b"x" * 998 + b"\r\n") * 40_000 + b".\r\n")
        while streams[0]._room is None:  # more than 1 MiB is waiting
            await asyncio.sleep(0)
        for _ in range(100):  # turns of the loop, in which more would come if the session went on reading
            await asyncio.sleep(0)
        waiting = streams[0]._held
        go_on.set()
        said = await client.reply()
        client.close()
        return waiting, said

    waiting, said = with_server(app, use)
    assert said == "250 2.0.0 OK"
    assert waiting < 2 * 1_048_576


def test_a_handler_that_returns_early_answers_at_the_end() -> None:
    app = App()

    @app.message
    async def early(stream: MessageStream) -> str:
        async for _ in stream:
            break
        return "550 5.7.1 seen enough"

    assert sent(app, "ann@example.com", content=LARGE)[-1] == "550 5.7.1 seen enough"


def test_a_client_that_vanishes_breaks_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    broken: asyncio.Queue[str] = asyncio.Queue()

    @app.message
    async def take(stream: MessageStream) -> None:
        try:
            async for _ in stream:
                pass
        except Broken as error:
            broken.put_nowait(str(error))
            raise

    @app.message
    async def fails(stream: MessageStream) -> None:
        try:
            async for _ in stream:
                pass
        finally:
            raise RuntimeError("in the end")

    async def use(server: AppServer) -> str:
        client = await Client.open(server)
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<a@sohu.com>")
        await client.say("RCPT TO:<ann@example.com>")
        await client.say("DATA")
        client.writer.write(b"Subject: half\r\n")
        await client.writer.drain()
        client.close()
        return await broken.get()

    assert "before the message was complete" in with_server(app, use)
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert ["in the end" in str(each.exc_info) for each in errors] == [True], "an exception of a handler is not lost"


def test_a_message_that_is_too_large_breaks_the_stream() -> None:
    app = App(max_size=70_000)
    seen: list[str] = []

    @app.message
    async def take(stream: MessageStream) -> None:
        try:
            async for _ in stream:
                pass
        except Broken as error:
            seen.append(str(error))
            raise

    assert sent(app, "ann@example.com", content=b"x" * 998 + b"\r\n" + b"y" * 80_000 + b"\r\n")[-1][:3] == "552"
    assert seen == ["the message is too large"]


def test_a_refusal_by_another_handler_breaks_what_follows() -> None:
    app = App()

    @app.message
    async def no(content: Content) -> None:
        raise Reject("no")

    @app.message
    async def take(stream: MessageStream) -> None:
        async for _ in stream:
            pass

    assert sent(app, "ann@example.com", content=CONTENT)[-1] == "554 5.7.1 no"


def test_a_stream_is_read_once() -> None:
    async def main() -> None:
        stream = IncomingStream()
        stream.put(b"x")
        stream.end()
        assert [each async for each in stream] == [b"x"]
        with pytest.raises(LocalError, match="read once"):
            _ = [each async for each in stream]

    run(main())


def test_the_thread_of_a_function_ends_with_its_client() -> None:
    app = App()
    ended = threading.Event()

    @app.message
    def take(stream: MessageStream) -> None:
        try:
            for _ in stream:
                pass
        finally:
            ended.set()

    async def use(server: AppServer) -> bool:
        client = await Client.open(server)
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<a@sohu.com>")
        await client.say("RCPT TO:<ann@example.com>")
        await client.say("DATA")
        client.close()
        return await asyncio.to_thread(ended.wait, 30)

    assert with_server(app, use)
