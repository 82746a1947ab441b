"""TLS over real connections: memory of idle sessions and of large content, and what a person types into openssl.

The bounds of memory are far above what is measured; docs/operations.md states the measured figure of an idle session.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.daemon import running

from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import TlsEngine, TlsState

from .corpus import HEAD, LARGE, large
from .doors import with_doors
from .peers import behind_trace, opened, run
from .test_memory import MEBI, peak

#: KiB of an idle session over TLS; 256 KiB of buffer for each would be far above.
IDLE_AT_MOST = 64
IDLE = """
workers = 1
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:0"
tls = "implicit"
max_connections_per_host = 1000
[[domain]]
name = "*"
mailboxes = "any"
"""
DAEMON = """
workers = 1
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:0"
tls = "{tls}"
[[domain]]
name = "box.test"
deliver = "maildir:{root}/mail/{{local}}"
maildir_line_ends = "crlf"
mailboxes = "any"
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc: run it on Linux")


class Raw:
    """A TLS client without any buffer of asyncio's TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader, self.writer = reader, writer
        self.engine = TlsEngine(context, server_side=False, peer="h", server_name="localhost")

    @classmethod
    async def to(cls, port: int, context: ssl.SSLContext, *, starttls: bool = False) -> Raw:
        client = cls(*await asyncio.open_connection("127.0.0.1", port), context)
        for command in ("", "EHLO client.example\r\n", "STARTTLS\r\n") if starttls else ():
            client.writer.write(command.encode())
            while (await client.reader.readline())[3:4] == b"-":
                pass
        client.writer.write(client.engine.start())
        while client.engine.state is TlsState.HANDSHAKE:
            client.engine.receive(await client.reader.read(65_536))
            client.writer.write(client.engine.pending())
        return client

    async def until(self, ending: bytes) -> bytes:
        """What comes, up to a line that begins with ``ending``."""
        text = b""
        while b"\r\n" + ending not in b"\r\n" + text or not text.endswith(b"\r\n"):
            if piece := self.engine.read(MEBI):
                text += piece
                continue
            data = await self.reader.read(65_536)
            assert data, text
            self.engine.receive(data)
        return text

    async def say(self, octets: bytes, ending: bytes) -> bytes:
        """Send octets, wait for that reply."""
        for place in range(0, len(octets), MEBI):
            self.writer.write(self.engine.write(octets[place : place + MEBI]))
            await self.writer.drain()
        return await self.until(ending)


def resident(pid: int) -> int:
    """Memory of a process in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s*(\d+) kB", status)[0]) * 1024


@ON_LINUX
def test_an_idle_tls_session_has_no_buffer_of_its_own(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    context = client_context(verify=False)

    async def scenario() -> None:
        async with running(tmp_path, IDLE) as daemon:
            port = (await daemon.endpoint()).port
            clients = []
            for number in range(450):
                client = await Raw.to(port, context)
                await client.until(b"220 ")
                await client.say(b"EHLO client.example\r\n", b"250 ")
                clients.append(client)
                if number == 49:  # what the first ones cost: modules, OpenSSL's tables
                    before = resident(daemon.pid)
            each = (resident(daemon.pid) - before) / 400 / 1024
            for client in clients:
                client.writer.transport.abort()
        record_property("note", f"memory: an idle TLS session took {each:.0f} KiB")
        assert each < IDLE_AT_MOST

    run(scenario)


@ON_LINUX
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_memory_does_not_grow_with_a_message_over_tls(
    tmp_path: Path, tls: str, record_property: Callable[[str, object], None]
) -> None:
    """Four messages of 30 MiB at once over TLS, by BDAT and by DATA: the bound of the same test in clear."""
    message = large()
    context = client_context(verify=False)
    chunks = b"BDAT %d LAST\r\n" % len(message) + message
    dotted = message.replace(b"\r\n.", b"\r\n..") + b".\r\n"

    async def scenario() -> None:
        async with running(tmp_path / "host", DAEMON.format(root=tmp_path, tls=tls)) as daemon:
            port = (await daemon.endpoint()).port

            async def send(octets: bytes, data: bool) -> None:
                client = await Raw.to(port, context, starttls=tls == "starttls")
                if tls == "implicit":
                    await client.until(b"220 ")
                await client.say(b"EHLO client.example\r\n", b"250 ")
                await client.say(b"MAIL FROM:<a@b.test>\r\n", b"250 ")
                await client.say(b"RCPT TO:<a@box.test>\r\n", b"250 ")
                if data:
                    await client.say(b"DATA\r\n", b"354 ")
                await client.say(octets, b"250 2.0.0 Ok: queued")
                client.writer.transport.abort()

            small = HEAD + b"\r\n" + b"x\r\n" * 100_000
            for _ in range(4):
                await send(small + b".\r\n", True)
            await daemon.until("delivered", 4)
            before = peak(daemon)
            await asyncio.gather(*(send(octets, octets is dotted) for octets in (chunks, dotted) * 2))
            await daemon.until("delivered", 8)
            grown = peak(daemon) - before
        record_property("note", f"memory: four messages of 30 MiB over {tls} took {grown / MEBI:.0f} MiB more")
        assert grown < 64 * MEBI
        arrived = [path.read_bytes() for path in (tmp_path / "mail/a/new").iterdir()]
        whole = [each for each in arrived if len(each) >= LARGE]
        assert [behind_trace(each) == message for each in whole] == [True] * 4

    run(scenario, 110)


# -- openssl s_client, interactive: R at the start of a line renegotiates, K and k change keys


async def typed(port: int, lines: list[str], *flags: str) -> str:
    """What s_client shows while a person types a line after each reply; it ends by itself or with QUIT."""
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-crlf", *flags),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    try:
        for wanted, line in zip((b"220 ", *(b"\n250 ",) * len(lines)), lines, strict=False):
            while wanted not in said[said.rfind(b"> ") + 1 :]:
                data = await process.stdout.read(65_536)
                if not data:
                    break
                said += data
            said += f"\n> {line}\n".encode()
            process.stdin.write(f"{line}\n".encode())
            await asyncio.wait_for(process.stdin.drain(), 30)
            if line.startswith(("R", "k", "K")):
                break
        rest = asyncio.create_task(process.stdout.read())
        process.stdin.write(b"QUIT\n")
        process.stdin.close()
        said += await rest
        await process.wait()
    except (BrokenPipeError, ConnectionResetError):
        said += await process.stdout.read()
        await process.wait()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return said.decode("utf-8", "replace")


@pytest.mark.system("openssl", "openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("last", ["RCPT TO:<renping@sina.com>", "RSET", "k", "K"])
def test_a_line_that_openssl_takes_for_a_command_of_its_own_hangs_nothing(
    tmp_path: Path, version: str, last: str
) -> None:
    """It asks for a renegotiation, which is refused, or changes keys: the session goes on or ends."""

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            said = await typed(doors["implicit"].port, ["EHLO by.hand.example", last], version)
            assert "\n250 HELP" in said.replace("\r", "")
            assert "Sender OK" not in said
            while doors.host.daemon.sessions:
                await asyncio.sleep(0)
            assert not doors.host.logged("fault")

    run(scenario)


def test_a_session_ticket_resumes_a_session(tmp_path: Path) -> None:
    """The second connection says that it was resumed, on both versions."""

    def twice(port: int, version: ssl.TLSVersion) -> bool:
        import socket

        context = client_context(verify=False)
        context.minimum_version = context.maximum_version = version
        ticket = None
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port), 30) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=ticket) as channel,
            ):
                assert channel.recv(100).startswith(b"220 ")
                ticket = channel.session
                resumed = channel.session_reused
        return bool(resumed)

    async def scenario() -> None:
        text = IDLE.replace("max_connections_per_host = 1000\n", "")
        async with opened(text, tmp_path) as host:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                assert await asyncio.to_thread(twice, host.endpoint.port, version)

    run(scenario)
