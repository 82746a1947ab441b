"""The sending session against servers that do everything wrong: each reply at each stage, an end at each octet.

Peers are in memory (``memory_peers``), so that every octet of a session can be the last: of the dialogue in clear, of
whole and resumed handshakes, and of the dialogue inside TLS.

Whatever the server does, the session ends with one of the project's exceptions or with outcomes, in bounded time.  In
``require`` and ``verify`` no MAIL, AUTH or content leaves in clear: the octets that the server got are looked at.
"""

from __future__ import annotations

import ssl

import pytest

from posthouse.client import LoginSettings, TlsPolicy
from posthouse.core import PosthouseError, Result
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine
from posthouse.protocol.sasl import Credentials

from .memory_peers import Wire, deliver_in_memory
from .secured_peers import CONTENT, NAME, SECRET, b64, certificate_files

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
        self._in_tls = self._content = False
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
        while not self.over:
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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    return certificate_files(tmp_path_factory.mktemp("files"), NAME)


@pytest.fixture(scope="module")
def settings(files: tuple[str, str, str]) -> ssl.SSLContext:
    """The server's."""
    return server_context(files[1], files[2])


def check(kind: str, wire: Wire, policy: TlsPolicy) -> bool:
    """Send; returns whether the message was taken.  Nothing may have leaked."""
    outcomes, text = (), ""
    try:
        outcomes = deliver_in_memory(kind, wire, name=NAME, tls=policy, login=LOGIN)
    except PosthouseError as error:
        text = f"{error} {error!r}"
    for word in (SECRET, b64(SECRET).decode()):
        assert word not in text
    # In opportunistic sessions too: a login is never shown in clear, and here one is asked for.
    for octets in (b"MAIL", b"RCPT", b"DATA", b"AUTH", CONTENT, SECRET.encode(), b64(SECRET)):
        assert octets not in wire.seen, octets
    return bool(outcomes) and all(outcome.result is Result.DELIVERED for outcome in outcomes)


def scripted(settings: ssl.SSLContext, wrong: str = "", reply: bytes = b"") -> Scripted:
    return Scripted(TlsEngine(settings, server_side=True, peer="client"), wrong, reply)


@KINDS
def test_the_script_itself_is_right(kind: str, settings: ssl.SSLContext, files: tuple[str, str, str]) -> None:
    wire = Wire(scripted(settings))
    assert check(kind, wire, TlsPolicy("verify", ca=files[0]))
    assert wire.seen.startswith(b"EHLO client.example\r\nSTARTTLS\r\n")


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize("stage", list(STAGES))
def test_every_reply_at_every_stage(
    kind: str, mode: str, stage: str, settings: ssl.SSLContext, files: tuple[str, str, str]
) -> None:
    context = client_context(verify=mode == "verify", ca=files[0] if mode == "verify" else "")
    for reply in REPLIES:
        if reply[:3] == STAGES[stage][:3] or (stage == "content" and reply[:1] == b"2"):
            continue  # it may be right
        policy = TlsPolicy(mode, context=context)
        assert not check(kind, Wire(scripted(settings, stage, reply)), policy), reply


@KINDS
@pytest.mark.parametrize(
    ("mode", "resumed"), [("opportunistic", False), ("require", False), ("verify", False), ("verify", True)]
)
def test_an_end_at_every_octet(
    kind: str, mode: str, resumed: bool, settings: ssl.SSLContext, files: tuple[str, str, str]
) -> None:
    """The server ends or resets the connection behind each octet of its own, until a session succeeds.

    Inside TLS the modes differ in what they verify only, so that a cut behind every 5th octet is enough for the others.
    """
    clear = sum(len(STAGES[stage]) for stage in ("greeting", "EHLO", "STARTTLS"))
    policy = TlsPolicy(mode, context=client_context(verify=mode == "verify", ca=files[0] if mode == "verify" else ""))
    whole = Wire(scripted(settings))
    assert check(kind, whole, policy)
    kept = policy._sessions.copy()
    number = 0
    while True:
        number += 1 if number <= clear or mode == "verify" else 5
        policy._sessions.clear()
        if resumed:
            policy._sessions.update(kept)
        wire = Wire(scripted(settings), number, reset=number % 2 == 0)
        if check(kind, wire, policy) and not wire.cut:
            break
        assert number <= whole.said + 5, "a session that is not cut off succeeds"
    assert number > (700 if resumed else 1_100)
