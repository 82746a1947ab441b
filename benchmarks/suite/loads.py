"""The loads: a fixed number of messages, timed from the first connection to the last reply or arrival."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from suite.peers import Absent, Side, smtp_sink
from suite.running import Loaded

__all__ = [
    "CountingSink",
    "aiosmtplib_client",
    "many",
    "posthouse_client",
    "smtp_source",
    "smtp_source_command",
    "smtplib_client",
]


def smtp_source(
    port: int,
    messages: int,
    *,
    sessions: int = 20,
    size: int = 4096,
    to: str = "someone@hold.test",
    keep: bool = True,
    recipients: int = 1,
    limit: float = 90.0,
) -> float:
    """The seconds of smtp-source; with ``keep`` the sessions are reused, else each message has its own connection."""
    if shutil.which("smtp-source") is None:
        raise Absent("smtp-source is not installed: apt-get install postfix")
    command = smtp_source_command(port, messages, sessions=sessions, size=size, to=to, keep=keep, recipients=recipients)
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    taken = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"smtp-source failed: {done.stderr.strip()[-500:]}")
    return taken


def smtp_source_command(
    port: int,
    messages: int,
    *,
    sessions: int,
    size: int = 4096,
    to: str = "someone@hold.test",
    keep: bool = True,
    recipients: int = 1,
) -> list[str]:
    """The command that ``smtp_source`` times."""
    command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size), "-r", str(recipients)]
    return [*command, "-f", "load@src.test", "-t", to, *(["-d"] if keep else []), f"127.0.0.1:{port}"]


# -- a sink that counts ------------------------------------------------------------------------------------------------


class _Clock:
    seconds = 0.0


class CountingSink:
    """A receiver in this process that counts the recipients of the messages it takes; offers PIPELINING.

    It has one thread and makes no checks, so that it does not limit the measured side.
    """

    def __init__(self) -> None:
        self.port = 0
        self.taken = 0  # messages × their recipients
        self.last = 0.0  # when the last message had arrived, by time.perf_counter
        self._goal = 0
        self._reached = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._bound = threading.Event()

    def __enter__(self) -> CountingSink:
        self._thread.start()
        self._bound.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Sinking(self), "127.0.0.1", 0, backlog=1024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._bound.set()
        self._loop.run_forever()
        server.close()

    def took(self, recipients: int) -> None:
        """Count one message."""
        self.last = time.perf_counter()
        self.taken += recipients
        if self.taken >= self._goal:
            self._reached.set()

    @contextlib.contextmanager
    def expecting(self, amount: int, limit: float = 90.0) -> Iterator[_Clock]:
        """Time until ``amount`` more recipients have arrived; the end of the block waits for them."""
        clock = _Clock()
        self._reached.clear()
        self._goal = self.taken + amount
        begun = time.perf_counter()
        yield clock
        if not self._reached.wait(limit):
            raise RuntimeError(f"only {self.taken - self._goal + amount} of {amount} arrived within {limit:g} seconds")
        clock.seconds = time.perf_counter() - begun


_RECIPIENTS = re.compile(rb"(?:RCPT [^\r\n]*\r\n)+", re.IGNORECASE)


class _Sinking(asyncio.Protocol):
    def __init__(self, sink: CountingSink) -> None:
        self._sink = sink
        self._rest = b""
        self._content = False
        self._recipients = 0
        self._skip = 0
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        out = []
        while at < len(data):
            if self._content:
                end = data.find(b"\r\n.\r\n", at)
                if end < 0:
                    at = max(at, len(data) - 4)
                    break
                at = end + 5
                self._content = False
                out.append(self._done())
                continue
            recipients = _RECIPIENTS.match(data, at)
            if recipients is not None:
                count = data.count(b"\r\n", at, recipients.end())
                at = recipients.end()
                self._recipients += count
                out.append(b"250 ok\r\n" * count)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            verb = data[at : at + 4].upper()
            at = end + 2
            if verb == b"DATA":
                self._content = True
                at = end  # the CRLF that ends DATA also precedes the first line of the content
                out.append(b"354 go\r\n")
            elif verb == b"EHLO":
                out.append(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"QUIT":
                out.append(b"221 bye\r\n")
            else:
                out.append(b"250 ok\r\n")
        self._rest = data[at:]
        if out:
            self._transport.write(b"".join(out))

    def _done(self) -> bytes:
        recipients, self._recipients = self._recipients, 0
        self._sink.took(recipients)
        return b"250 ok\r\n"


def many(
    start: Callable[..., contextlib.AbstractContextManager[Side]],
) -> Callable[[Path], contextlib.AbstractContextManager[Loaded]]:
    """Messages with 1,000 recipients of 10 domains, until the sink has all of them."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with CountingSink() as sink, start(home, sink=sink.port) as running:

            def run(amount: int) -> float:
                with sink.expecting(1000 * amount) as clock, smtplib.SMTP("127.0.0.1", running.port, timeout=60) as c:
                    c.ehlo("load.test")
                    group = b"".join(b"RCPT TO:<u%d@d%d.sink.test>\r\n" % (n, n % 10) for n in range(1000))
                    for _ in range(amount):
                        assert c.sock is not None
                        c.sock.sendall(b"MAIL FROM:<load@src.test>\r\n" + group + b"DATA\r\n")
                        _take(c.sock, b"250 ", 1001, b"354 ")
                        c.sock.sendall(b"Subject: many\r\n\r\n" + (b"x" * 78 + b"\r\n") * 50 + b".\r\n")
                        _take(c.sock, b"", 0, b"250 ")
                return clock.seconds

            yield Loaded(run)

    return side


def _take(channel: socket.socket, start: bytes, times: int, last: bytes) -> None:
    """Read ``times`` replies that begin with ``start``, and one that begins with ``last``; each has one line."""
    data = b""
    while data.count(b"\r\n") <= times:
        piece = channel.recv(262_144)
        assert piece, data[-200:]
        data += piece
    lines = data.splitlines()
    assert len(lines) == times + 1, lines[-5:]
    wrong = [line for line in lines[:-1] if not line.startswith(start)]
    assert not wrong, wrong[:5]
    assert lines[-1].startswith(last), lines[-1]


# -- clients -----------------------------------------------------------------------------------------------------------

_MESSAGE = b"Subject: load\r\n\r\n" + (b"x" * 78 + b"\r\n") * 50


def posthouse_client(
    sessions: int,
) -> Callable[[Path], contextlib.AbstractContextManager[Loaded]]:
    """Our client on uvloop, or on asyncio's loop if uvloop is not installed."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        from posthouse.client import connect
        from posthouse.core import Address, Bytes, Envelope, Recipient, Result
        from posthouse.net import Endpoint, SocketNetwork, SystemClock

        with smtp_sink(home) as sink:

            async def run(amount: int) -> float:
                envelope = Envelope(Address("load", "src.test"), (Recipient(Address("someone", "hold.test")),))
                messages = itertools.repeat((envelope, Bytes(_MESSAGE)), amount)
                place = [Endpoint("127.0.0.1", sink.port)]
                network, clock = SocketNetwork(), SystemClock()

                async def one() -> None:
                    session = await connect(place, network=network, clock=clock, hostname="load.test")
                    async for _, (outcome,) in session.deliver_each(messages):
                        assert outcome.result is Result.DELIVERED, outcome
                    await session.quit()

                begun = time.perf_counter()
                await asyncio.gather(*(one() for _ in range(sessions)))
                return time.perf_counter() - begun

            yield Loaded(lambda amount: _on_a_loop(run(amount)))

    return side


def _on_a_loop(main: object) -> float:
    try:
        import uvloop

        return float(uvloop.run(main))  # type: ignore[arg-type]
    except ImportError:
        return float(asyncio.run(main))  # type: ignore[arg-type]


def aiosmtplib_client(
    sessions: int,
) -> Callable[[Path], contextlib.AbstractContextManager[Loaded]]:
    """aiosmtplib on uvloop."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        try:
            import aiosmtplib
        except ImportError:
            raise Absent("aiosmtplib is not installed: pip install aiosmtplib") from None
        with smtp_sink(home) as sink:

            async def run(amount: int) -> float:
                left = amount

                async def one() -> None:
                    nonlocal left
                    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
                    await client.connect()
                    while left > 0:
                        left -= 1
                        await client.sendmail("load@src.test", ["someone@hold.test"], _MESSAGE)
                    await client.quit()

                begun = time.perf_counter()
                await asyncio.gather(*(one() for _ in range(sessions)))
                return time.perf_counter() - begun

            yield Loaded(lambda amount: _on_a_loop(run(amount)))

    return side


def smtplib_client() -> Callable[[Path], contextlib.AbstractContextManager[Loaded]]:
    """smtplib."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with smtp_sink(home) as sink:

            def run(amount: int) -> float:
                begun = time.perf_counter()
                with smtplib.SMTP("127.0.0.1", sink.port) as client:
                    assert client.sock is not None
                    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for _ in range(amount):
                        client.sendmail("load@src.test", ["someone@hold.test"], _MESSAGE)
                return time.perf_counter() - begun

            yield Loaded(run)

    return side
