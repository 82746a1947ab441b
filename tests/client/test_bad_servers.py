"""The sending session against servers that do everything wrong: each reply at each stage, an end at each octet.

Whatever the server does, the session ends with one of the project's exceptions or with outcomes, in bounded time.  In
``require`` and ``verify`` no MAIL, AUTH or content leaves in clear: the octets that the server got are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.client import LoginSettings, TlsPolicy
from posthouse.core import PosthouseError, Result
from posthouse.net.tls_context import server_context
from posthouse.net.tls_engine import TlsEngine
from posthouse.protocol.sasl import Credentials

from .secured_peers import CONTENT, NAME, SECRET, Connection, Server, b64, certificate_files, deliver, serving

KINDS = pytest.mark.parametrize("kind", ["asyncio", "blocking"])
LOGIN = LoginSettings(Credentials("joe", SECRET))

#: The stages of a session, each with the right reply.
STAGES = {
    "greeting": b"220 hello\r\n",
    "EHLO": b"250-there\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
    "STARTTLS": b"220 go\r\n",
    "EHLO inside": b"250-there\r\n250 AUTH LOGIN\r\n",
    "AUTH": b"334 VXNlcm5hbWU6\r\n",
    "name": b"334 UGFzc3dvcmQ6\r\n",
    "password": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    "content": b"250 kept\r\n",
}
CODES = (220, 221, 235, 250, 252, 334, 354, 421, 432, 450, 454, 500, 501, 502, 503, 504, 530, 534, 535, 538, 550, 554)
REPLIES = [
    *[b"%d something\r\n" % code for code in CODES],
    *[b"%d-one\r\n%d two\r\n" % (code, code) for code in (220, 250, 334, 535)],
    b"",
    b"\r\n",
    b"2",
    b"250-never ends\r\n",
    b"250-one\r\n550 two\r\n",
    b"99 what\r\n",
    b"600 what\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x16\x03\x03\x00\x02\x02\x28",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"250 " + b"x" * 100_000 + b"\r\n",
    b"\xff\xfe\x00\r\n",
]


class Scripted:
    """A server without I/O: the octets of the client in, its own out, the stage that is answered wrongly in between."""

    def __init__(self, engine: TlsEngine, wrong: str = "", reply: bytes = b"") -> None:
        self._engine = engine
        self._wrong, self._reply = wrong, reply
        self._stages = iter(STAGES)
        self._buffer = b""
        self._in_tls = False
        self._content = False
        self.over = False

    def begin(self) -> bytes:
        return self._answer()

    def _answer(self) -> bytes:
        stage = next(self._stages, "")
        if stage == self._wrong or not stage:
            self.over = True
            return self._reply if stage else b"221 bye\r\n"
        if stage == "DATA":
            self._content = True
        return STAGES[stage]

    def receive(self, data: bytes) -> bytes:
        if not self._in_tls:
            return self._lines(data)
        self._engine.receive(data)
        out = self._engine.pending()
        while plain := self._engine.read(65_536):
            out += self._engine.write(self._lines(plain))
        return out

    def _lines(self, data: bytes) -> bytes:
        out = b""
        self._buffer += data
        while (not self.over and not self._in_tls) or (self._in_tls and not self.over):
            end = b"\r\n.\r\n" if self._content else b"\r\n"
            line, found, rest = self._buffer.partition(end)
            if not found:
                break
            self._buffer, self._content = rest, False
            out += self._answer()
            if line == b"STARTTLS" and not self.over:
                self._in_tls = True
                self._engine.start()
                break
        return out


class Cut(Exception):
    """The server has sent as many octets as it may."""


def serve(scripted: Scripted, at_most: int = 1 << 30, *, reset: bool = False) -> Any:
    """A script that sends at most so many octets, and then ends or resets the connection."""

    def script(connection: Connection) -> None:
        left = at_most

        def send(data: bytes) -> None:
            nonlocal left
            connection.say(data[:left])
            left -= len(data)
            if left <= 0:
                raise Cut

        try:
            send(scripted.begin())
            while not scripted.over:
                data = connection.sock.recv(65_536)
                if not data:
                    return
                connection.clear += data  # the octets on the wire
                if out := scripted.receive(data):
                    send(out)
        except Cut:
            if reset:
                connection.reset()
        except PosthouseError:
            pass

    return script


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    return certificate_files(tmp_path_factory.mktemp("files"), NAME)


def engine(files: tuple[str, str, str]) -> TlsEngine:
    _, certificate, key = files
    return TlsEngine(server_context(certificate, key), server_side=True, peer="client")


def check(kind: str, server: Server, mode: str, ca: str) -> bool:
    """Send; returns whether the message was taken.  Nothing may have leaked."""
    outcomes, text = (), ""
    try:
        outcomes = deliver(kind, server.port, tls=TlsPolicy(mode, ca=ca), login=LOGIN)
    except PosthouseError as error:
        text = f"{error} {error!r}"
    assert SECRET not in text
    assert b64(SECRET).decode() not in text
    return bool(outcomes) and all(outcome.result is Result.DELIVERED for outcome in outcomes)


def nothing_leaked(wire: bytes) -> None:
    for word in (b"MAIL", b"RCPT", b"DATA", b"AUTH", CONTENT, SECRET.encode(), b64(SECRET)):
        assert word not in wire, word


@KINDS
def test_the_script_itself_is_right(kind: str, files: tuple[str, str, str]) -> None:
    with serving(serve(Scripted(engine(files)))) as server:
        assert check(kind, server, "verify", files[0])
    nothing_leaked(server.clear)


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_every_reply_at_every_stage(kind: str, mode: str, stage: str, files: tuple[str, str, str]) -> None:
    for reply in REPLIES:
        if reply[:3] == STAGES[stage][:3] or (stage == "content" and reply[:1] == b"2"):
            continue  # it may be right
        with serving(serve(Scripted(engine(files), stage, reply))) as server:
            assert not check(kind, server, mode, files[0]), reply
        nothing_leaked(server.clear)  # opportunistic too: a login is never shown, and here one is asked for


def octets(files: tuple[str, str, str]) -> Iterator[int]:
    """How many octets the server sends before it ends: each number in clear, and many inside the handshake."""
    clear = sum(map(len, list(STAGES.values())[:3]))
    yield from range(1, clear + 1)
    yield from range(clear + 1, clear + 2_000, 5)


@KINDS
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("mode", ["opportunistic", "verify"])
def test_an_end_at_every_octet(kind: str, reset: bool, mode: str, files: tuple[str, str, str], tmp_path: Path) -> None:
    for number in octets(files):
        with serving(serve(Scripted(engine(files)), number, reset=reset)) as server:
            check(kind, server, mode, files[0])
        nothing_leaked(server.clear)
