"""Dialogues with an application's server over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from posthouse.app import App, AppServer

T = TypeVar("T")
SECONDS = 30.0
CONTENT = b"From: a@sohu.com\r\nSubject: hello\r\n\r\nDear reader\r\n"


class Client:
    """A client that says lines and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, server: AppServer) -> Client:
        if "/" in server.host:
            client = cls(*await asyncio.open_unix_connection(server.host))
        else:
            client = cls(*await asyncio.open_connection(server.host, server.port))
        await client.reply()
        return client

    async def reply(self) -> str:
        """The next reply, its lines joined by ``\\n``; "" at the end of the connection."""
        lines = []
        while line := (await self.reader.readline()).decode().removesuffix("\r\n"):
            lines.append(line)
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def send(
        self, *recipients: str, content: bytes = CONTENT, sender: str = "a@sohu.com", replies: int = 1
    ) -> list[str]:
        """One message; the replies to its recipients and to its content."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250"), sender
        said = [await self.say(f"RCPT TO:<{each}>") for each in recipients]
        if not any(each.startswith("25") for each in said):
            return said
        assert (await self.say("DATA")).startswith("354")
        said.append(await self.say(content + b"."))
        return said + [await self.reply() for _ in range(replies - 1)]

    async def quit(self) -> None:
        assert (await self.say("QUIT")).startswith("221")
        self.close()

    def close(self) -> None:
        self.writer.close()


def with_server(app: App, use: Callable[[AppServer], Awaitable[T]], **options: Any) -> T:
    """What ``use`` returns, with a server of the application."""

    async def main() -> T:
        async with asyncio.timeout(SECONDS), app.serve(**options) as server:
            return await use(server)

    return run(main())


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def sent(app: App, *recipients: str, content: bytes = CONTENT, **options: Any) -> list[str]:
    """The replies to the recipients and to the content of one message."""

    async def use(server: AppServer) -> list[str]:
        client = await Client.open(server)
        await client.say("LHLO c.example" if options.get("lmtp") else "EHLO c.example")
        said = await client.send(*recipients, content=content, replies=len(recipients) if options.get("lmtp") else 1)
        await client.quit()
        return said

    return with_server(app, use, **options)
