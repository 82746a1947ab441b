"""Clients of the public library beside those of others: smtplib, aiosmtplib, nodemailer.

Each sends the same 4 KiB of octets with an envelope of its own to a receiver that drops: smtp-sink, or over TLS our
server library, because smtp-sink has no TLS.  Connections are kept.  A client is warm when it is timed: its modules are
imported, and it has sent some messages.  Raw sockets (``ceiling``) show what the receiver takes at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from suite import ceiling
from suite.peers import Absent, end_process, free_port, smtp_sink, wait_for
from suite.running import Found, Loaded, Run, Start, Throughput
from suite.secured import write_certificate

__all__ = ["library"]

_MESSAGE = b"From: load@src.test\r\nTo: someone@hold.test\r\nSubject: load\r\n\r\n" + (b"x" * 78 + b"\r\n") * 50
_ENVELOPE = ("load@src.test", ["someone@hold.test"])
_COMMANDS = b"MAIL FROM:<load@src.test>\r\nRCPT TO:<someone@hold.test>\r\nDATA\r\n"
_TLS_SINK = """
import asyncio, ssl, sys
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.net.tls_port import TlsNetwork
from posthouse.sandbox import Sink
async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2])
    network = TlsNetwork(SocketNetwork(), clock=SystemClock(), server=lambda: context)
    sink = Sink(network=network, clock=SystemClock(), hostname="localhost")
    await sink.listen(Endpoint("127.0.0.1", int(sys.argv[1])))
    await asyncio.Event().wait()
asyncio.run(main())
"""
_NODEMAILER = """
const [port, ca, connections, amount] = process.argv.slice(1);
const nodemailer = require("/usr/share/nodejs/nodemailer");
const secure = ca !== "";
const transport = nodemailer.createTransport({host: "localhost", port: Number(port), pool: true, secure,
    maxConnections: Number(connections), maxMessages: Infinity, ignoreTLS: !secure,
    tls: secure ? {ca: require("fs").readFileSync(ca)} : undefined});
const message = {envelope: {from: "load@src.test", to: ["someone@hold.test"]},
    raw: "From: load@src.test\\r\\nTo: someone@hold.test\\r\\nSubject: load\\r\\n\\r\\n" +
        ("x".repeat(78) + "\\r\\n").repeat(50)};
async function send(amount) {
    let left = amount;
    const one = async () => { while (left-- > 0) await transport.sendMail(message); };
    const begun = process.hrtime.bigint();
    await Promise.all(Array.from({length: Number(connections)}, one));
    return Number(process.hrtime.bigint() - begun) / 1e9;
}
send(50).then(() => send(Number(amount))).then(seconds => { console.log(seconds); transport.close(); });
"""


class _Receiver(NamedTuple):
    """A receiver that drops; ``ca`` is the file of its certificate, or "" in clear."""

    port: int
    ca: str = ""

    @property
    def url(self) -> str:
        return f"smtps://localhost:{self.port}?ca={self.ca}" if self.ca else f"smtp://127.0.0.1:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca) if self.ca else None


_Send = Callable[[_Receiver, int], float]


def _side(send: _Send, tls: bool) -> Start[Loaded]:
    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with _tls_sink(home) if tls else _plain_sink(home) as receiver:
            send(receiver, 20)
            yield Loaded(lambda amount: send(receiver, amount))

    return side


@contextlib.contextmanager
def _plain_sink(home: Path) -> Iterator[_Receiver]:
    with smtp_sink(home) as sink:
        yield _Receiver(sink.port)


@contextlib.contextmanager
def _tls_sink(home: Path) -> Iterator[_Receiver]:
    port = free_port()
    home.mkdir(parents=True)
    write_certificate(home)
    pem = str(home / "cert.pem")
    process = subprocess.Popen([sys.executable, "-c", _TLS_SINK, str(port), pem])
    try:
        wait_for("the receiver over TLS", lambda: _accepts(port))
        yield _Receiver(port, pem)
    finally:
        process.terminate()
        end_process(process)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


# -- ours --------------------------------------------------------------------------------------------------------------


def _blocking_client(receiver: _Receiver, amount: int) -> float:
    from posthouse import Client

    with Client(receiver.url) as client:
        client.send(_MESSAGE, envelope=_ENVELOPE).raise_for_failures()
        begun = time.perf_counter()
        for _ in range(amount):
            client.send(_MESSAGE, envelope=_ENVELOPE).raise_for_failures()
        return time.perf_counter() - begun


def _blocking_pool(connections: int) -> _Send:
    def send(receiver: _Receiver, amount: int) -> float:
        from posthouse import Pool

        with Pool(receiver.url, size=connections, messages=None) as pool:
            pool.send(_MESSAGE, envelope=_ENVELOPE).raise_for_failures()
            begun = time.perf_counter()
            for result in pool.send_many([(_MESSAGE, _ENVELOPE)] * amount):
                result.raise_for_failures()
            return time.perf_counter() - begun

    return send


def _async_pool(connections: int) -> _Send:
    async def send(receiver: _Receiver, amount: int) -> float:
        from posthouse import AsyncPool

        async with AsyncPool(receiver.url, size=connections, messages=None) as pool:
            (await pool.send(_MESSAGE, envelope=_ENVELOPE)).raise_for_failures()
            begun = time.perf_counter()
            async for result in pool.send_many([(_MESSAGE, _ENVELOPE)] * amount):
                result.raise_for_failures()
            return time.perf_counter() - begun

    return lambda receiver, amount: _on_a_loop(send(receiver, amount))


def _on_a_loop(main: Any) -> float:
    try:
        import uvloop

        return float(uvloop.run(main))
    except ImportError:
        return float(asyncio.run(main))


# -- others ------------------------------------------------------------------------------------------------------------


def _smtplib(receiver: _Receiver, amount: int) -> float:
    made: smtplib.SMTP
    if receiver.ca:
        made = smtplib.SMTP_SSL("localhost", receiver.port, context=receiver.context())
    else:
        made = smtplib.SMTP("127.0.0.1", receiver.port)
    with made as client:
        assert client.sock is not None
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendmail(*_ENVELOPE, _MESSAGE)
        begun = time.perf_counter()
        for _ in range(amount):
            client.sendmail(*_ENVELOPE, _MESSAGE)
        return time.perf_counter() - begun


def _aiosmtplib(connections: int) -> _Send:
    async def send(receiver: _Receiver, amount: int) -> float:
        import aiosmtplib

        left = amount
        clients = [
            aiosmtplib.SMTP(
                hostname="localhost" if receiver.ca else "127.0.0.1",
                port=receiver.port,
                use_tls=bool(receiver.ca),
                start_tls=False,
                tls_context=receiver.context(),
            )
            for _ in range(connections)
        ]
        for client in clients:
            await client.connect()

        async def one(client: Any) -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await client.sendmail(*_ENVELOPE, _MESSAGE)

        begun = time.perf_counter()
        await asyncio.gather(*map(one, clients))
        taken = time.perf_counter() - begun
        for client in clients:
            await client.quit()
        return taken

    try:
        import aiosmtplib  # noqa: F401 (is it there?)
    except ImportError:
        return _absent("aiosmtplib is not installed: pip install aiosmtplib")
    return lambda receiver, amount: _on_a_loop(send(receiver, amount))


def _nodemailer(connections: int) -> _Send:
    if shutil.which("node") is None or not Path("/usr/share/nodejs/nodemailer").exists():
        return _absent("nodemailer is not installed: apt-get install node-nodemailer")

    def send(receiver: _Receiver, amount: int) -> float:
        command = ["node", "-e", _NODEMAILER, str(receiver.port), receiver.ca, str(connections), str(amount)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"nodemailer failed: {done.stderr.strip()[-500:]}")
        return float(json.loads(done.stdout))

    return send


def _raw(connections: int, tls: bool) -> dict[str, _Send]:
    """Raw sockets, in clear only; with 0 connections, one message at a time on one."""

    def send(receiver: _Receiver, amount: int) -> float:
        content = _MESSAGE + b".\r\n"
        if not connections:
            return ceiling.one_at_a_time(receiver.port, _COMMANDS, content, amount)
        return ceiling.in_line(receiver.port, _COMMANDS, content, amount, connections)

    return {} if tls else {"raw sockets": send}


def _absent(why: str) -> _Send:
    def send(receiver: _Receiver, amount: int) -> float:
        raise Absent(why)

    return send


# -- the scenario ------------------------------------------------------------------------------------------------------


_NOTE = (
    "nodemailer writes the content and the final dot apart and without TCP_NODELAY, so that each message on a "
    "connection waits 40 ms for a delayed acknowledgement of its receiver"
)


def library(run: Run, found: Found) -> None:
    """``Client``, ``Pool`` and ``AsyncPool`` beside the clients of others: 1 connection and 20, in clear and over
    TLS."""
    found.notes.append(_NOTE)
    for tls in (False, True):
        over = " over TLS" if tls else ""
        sides: Mapping[str, _Send]
        for what, sides, aims in (
            (
                "1 connection, Client",
                {"posthouse": _blocking_client, "smtplib": _smtplib, **_raw(0, tls)},
                {"smtplib": 1.5},
            ),
            (
                "1 connection, AsyncPool",
                {
                    "posthouse": _async_pool(1),
                    "aiosmtplib": _aiosmtplib(1),
                    "nodemailer": _nodemailer(1),
                    **_raw(1, tls),
                },
                {"aiosmtplib": 2.0},
            ),
            (
                "20 connections, Pool",
                {"posthouse": _blocking_pool(20), "smtplib (1)": _smtplib, **_raw(20, tls)},
                {"smtplib (1)": 1.5},
            ),
            (
                "20 connections, AsyncPool",
                {
                    "posthouse": _async_pool(20),
                    "aiosmtplib": _aiosmtplib(20),
                    "nodemailer": _nodemailer(20),
                    **_raw(20, tls),
                },
                {"aiosmtplib": 5.0},
            ),
        ):
            started = {name: _side(send, tls) for name, send in sides.items()}
            Throughput(started, aims, what=f"{what}{over}", first=100, most=50_000).measure(run, found)
