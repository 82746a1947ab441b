"""Scripted servers for TLS and AUTH: each connection is served by a function, and every octet that came is kept."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from posthouse.client import Session, Timeouts, connect, open_blocking
from posthouse.core import Address, Bytes, Content, Envelope, Outcome, Recipient
from posthouse.net import Endpoint, SocketNetwork, SystemClock

NAME = "mx.example.net"
SECRET = "correct horse"
#: Words that must never be seen in clear where TLS is required.
CONTENT = b"the content of the message"
MESSAGE = Bytes(b"Subject: s\r\n\r\n" + CONTENT + b"\r\n")
ENVELOPE = Envelope(Address("ann", "example.org"), (Recipient(Address("joe", "example.net")),))
LIMITS = Timeouts(30, 30, 30, 30, 30, 30, 1, 30)


class Pair(NamedTuple):
    """A server's settings of TLS, and the file of the authority to trust."""

    server: ssl.SSLContext
    ca: str


def pair(folder: Path, *names: str, authority: trustme.CA | None = None, **options: Any) -> Pair:
    """A certificate for ``names``."""
    authority = authority or trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or (NAME,)), **options).configure_cert(context)
    path = folder / f"ca{len(list(folder.iterdir()))}.pem"
    authority.cert_pem.write_to_path(str(path))
    return Pair(context, str(path))


def certificate_files(folder: Path, *names: str, authority: trustme.CA | None = None) -> tuple[str, str, str]:
    """The files of an authority's certificate, and of a certificate with its key for ``names``."""
    authority = authority or trustme.CA()
    found = authority.issue_cert(*names)
    paths = (str(folder / "ca.pem"), str(folder / "certificate.pem"), str(folder / "key.pem"))
    authority.cert_pem.write_to_path(paths[0])
    for number, blob in enumerate(found.cert_chain_pems):
        blob.write_to_path(paths[1], append=number > 0)
    found.private_key_pem.write_to_path(paths[2])
    return paths


class Connection:
    """The server's end of one connection.  ``clear`` and ``inside`` are the octets that came before and inside TLS."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket = sock
        self.clear = b""
        self.inside = b""
        self.failure: Exception | None = None

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _keep(self, data: bytes) -> None:
        if isinstance(self.sock, ssl.SSLSocket):
            self.inside += data
        else:
            self.clear += data

    def line(self) -> bytes:
        """The next line without its end; raises EOFError."""
        found = b""
        while not found.endswith(b"\n"):
            octet = self.sock.recv(1)
            self._keep(octet)
            if not octet:
                raise EOFError
            found += octet
        return found.rstrip(b"\r\n")

    def expect(self, start: bytes) -> bytes:
        found = self.line()
        assert found.upper().startswith(start), (start, found)
        return found

    def handshake(self, context: ssl.SSLContext) -> None:
        """TLS, from here on.  If it fails, what follows in clear is read to its end."""
        below = self.sock.dup()
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=True)
        except OSError:
            with contextlib.suppress(OSError):
                while data := below.recv(65_536):
                    self.clear += data
            raise
        finally:
            below.close()

    def rest(self) -> None:
        """Read to the end of the connection."""
        with contextlib.suppress(OSError):
            while data := self.sock.recv(65_536):
                self._keep(data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Connection], None]


class Server:
    """A listening server whose connections follow a script, each in a thread."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections: list[Connection] = []
        self.closing = False
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.closing:
                sock.close()
                return
            sock.settimeout(30)
            connection = Connection(sock)
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            self._script(connection)
        except (OSError, EOFError):
            pass
        except Exception as error:
            connection.failure = error
        finally:
            connection.sock.close()

    def __enter__(self) -> Server:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()  # wakes accept
        self._accepting.join(30)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)
        for connection in self.connections:
            if connection.failure is not None:
                raise connection.failure

    @property
    def clear(self) -> bytes:
        """What came in clear on all connections."""
        return b"".join(each.clear for each in self.connections)

    @property
    def inside(self) -> bytes:
        return b"".join(each.inside for each in self.connections)


def b64(text: str | bytes) -> bytes:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode())


def transaction(connection: Connection) -> None:
    """Serve commands until QUIT; content by DATA."""
    while True:
        line = connection.line().upper()
        if line == b"DATA":
            connection.say(b"354 go\r\n")
            while connection.line() != b".":
                pass
            connection.say(b"250 2.0.0 kept\r\n")
        elif line == b"QUIT":
            connection.say(b"221 bye\r\n")
            return
        else:
            connection.say(b"250 ok\r\n")


def deliver(
    kind: str, port: int, use: Callable[[Any], Any] | None = None, content: Content = MESSAGE, **settings: Any
) -> Any:
    """Open a session, send one message (or let ``use`` look at the session), and quit; over asyncio or blocking."""
    settings = {"hostname": "client.example", "name": NAME, "timeouts": LIMITS, **settings}
    there = [Endpoint("127.0.0.1", port)]
    if kind == "blocking":
        session = open_blocking(there, **settings)
        with session:
            return use(session) if use is not None else session.deliver(ENVELOPE, content)
    return asyncio.run(_deliver(there, use, content, settings))


async def _deliver(
    there: list[Endpoint], use: Callable[[Any], Any] | None, content: Content, settings: dict[str, Any]
) -> Any:
    async with asyncio.timeout(60):
        session: Session = await connect(there, network=SocketNetwork(), clock=SystemClock(), **settings)
        try:
            if use is not None:
                return use(session)
            outcomes: tuple[Outcome, ...] = await session.deliver(ENVELOPE, content)
            return outcomes
        finally:
            await session.quit()


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Server]:
    with Server(script) as server:
        yield server
