"""A TLS client whose every octet a test controls: what goes on the wire, when, and in which segment."""

from __future__ import annotations

import asyncio
import ssl

from posthouse.core import TlsFailed
from posthouse.net.tls_engine import TlsEngine, TlsState
from posthouse.service import Daemon

__all__ = ["RawTls"]


class RawTls:
    """One connection.  ``wire`` are the octets that were read and not decrypted yet, ``text`` those that were."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader = reader
        self.writer = writer
        self.engine = TlsEngine(context, server_side=False, peer="the server", server_name="localhost")
        self.text = b""

    @classmethod
    async def to(cls, daemon: Daemon, listener: str, context: ssl.SSLContext, *, shake: bool = True) -> RawTls:
        """Connect, say STARTTLS if the listener begins in clear, and shake hands."""
        place = daemon.endpoints[listener]
        reader, writer = await asyncio.open_connection(place.host, place.port)
        client = cls(reader, writer, context)
        if listener != "implicit":
            for command in ("", "EHLO client.example\r\n", "STARTTLS\r\n"):
                writer.write(command.encode())
                while (await reader.readline())[3:4] == b"-":
                    pass
        if shake:
            await client.shake()
        return client

    async def shake(self) -> None:
        """The handshake, with the server's tickets."""
        self.writer.write(self.engine.start())
        await self.finish()

    async def finish(self) -> None:
        """The rest of a handshake that has begun."""
        while self.engine.state is TlsState.HANDSHAKE:
            data = await self.reader.read(65_536)
            if data:
                self.engine.receive(data)
            else:
                self.engine.receive_eof()
            self.writer.write(self.engine.pending())

    def encrypted(self, text: str) -> bytes:
        """Text as records, not sent yet."""
        return self.engine.write(text.encode())

    async def reply(self) -> str:
        """One reply, its lines joined by spaces."""
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            while b"\n" not in self.text:
                if piece := self.engine.read(1_000_000):  # it may have come together with the end of the handshake
                    self.text += piece
                    continue
                data = await self.reader.read(65_536)
                assert data, (lines, self.text)
                self.engine.receive(data)
            line, _, self.text = self.text.partition(b"\n")
            lines.append(line.rstrip(b"\r"))
        return b" ".join(lines).decode()

    async def say(self, command: str) -> str:
        """A command, and its reply."""
        self.writer.write(self.encrypted(command + "\r\n"))
        return await self.reply()

    async def rest(self) -> tuple[bytes, bytes]:
        """What still comes until the server ends the channel: the plaintext, and what is behind it in clear.

        A record begins with its type (20 to 23), its version and its length; everything else was sent in clear.
        """
        wire = b""
        try:
            while data := await self.reader.read(65_536):
                wire += data
        except ConnectionError:
            pass
        plain, text = wire, self.text
        while len(plain) >= 5 and plain[0] in (20, 21, 22, 23) and plain[1] == 3:
            plain = plain[5 + int.from_bytes(plain[3:5], "big") :]
        try:
            self.engine.receive(wire)
            while piece := self.engine.read(1_000_000):
                text += piece
        except TlsFailed:
            pass
        return text, plain

    async def close(self) -> None:
        """End the channel, whatever state it is in."""
        self.writer.transport.abort()
