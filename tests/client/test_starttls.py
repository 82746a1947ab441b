"""TLS of the sending session over both channels: what begins it, what ends it, and what never leaves in clear."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from posthouse.client import (
    SessionRefused,
    TlsNotOffered,
    TlsPolicy,
    TlsRefused,
    WrongDoor,
)
from posthouse.core import CertificateRefused, NetworkError, RemoteError, Result, TlsFailed
from posthouse.net import tls_port
from posthouse.net.certificates import make_self_signed

from .secured_peers import CONTENT, LIMITS, NAME, Connection, Pair, deliver, pair, serving, transaction

KINDS = pytest.mark.parametrize("kind", ["asyncio", "blocking"])
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
STRICT = pytest.mark.parametrize("mode", ["require", "verify"])


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("right"))


def greeted(connection: Connection, *offers: bytes) -> None:
    """Greet, and answer EHLO with these extensions."""
    connection.say(b"220 hello\r\n")
    connection.expect(b"EHLO")
    connection.say(b"".join([b"250-there\r\n", *[b"250-%b\r\n" % each for each in offers], b"250 HELP\r\n"]))


def policy(mode: str, ca: str = "", **more: Any) -> TlsPolicy:
    return TlsPolicy(mode, ca=ca, **more)


def nothing_leaked(clear: bytes) -> None:
    """No MAIL, AUTH or content was sent in clear."""
    for word in (b"MAIL", b"AUTH", b"RCPT", b"DATA", b"BDAT", CONTENT):
        assert word not in clear.upper() if word is not CONTENT else word not in clear


# It works


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
def test_a_message_goes_inside_starttls(kind: str, mode: str, version: ssl.TLSVersion, right: Pair) -> None:
    """RFC 3207 §4.2: EHLO again, and only its answer counts."""
    tls = policy(mode, right.ca)
    tls.context().maximum_version = version

    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS", b"SIZE 10", b"PIPELINING", b"CHUNKING")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.handshake(right.server)
        connection.expect(b"EHLO")
        connection.say(b"250 there\r\n")
        transaction(connection)

    with serving(script) as server:
        (outcome,) = deliver(kind, server.port, tls=tls)
    assert outcome.result is Result.DELIVERED
    assert server.clear == b"EHLO client.example\r\nSTARTTLS\r\n"
    assert b"\r\nDATA\r\n" in server.inside


@KINDS
def test_a_message_goes_inside_implicit_tls(kind: str, right: Pair) -> None:
    def script(connection: Connection) -> None:
        connection.handshake(right.server)
        greeted(connection, b"STARTTLS")
        transaction(connection)

    with serving(script) as server:
        (outcome,) = deliver(kind, server.port, tls=policy("implicit", right.ca))
    assert outcome.result is Result.DELIVERED
    assert server.clear == b""
    assert b"STARTTLS" not in server.inside


@KINDS
def test_a_session_says_what_was_agreed(kind: str, right: Pair) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS", b"AUTH LOGIN")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.handshake(right.server)
        connection.expect(b"EHLO")
        connection.say(b"250 there\r\n")
        transaction(connection)

    def use(session: Any) -> Any:
        return session.tls, session.tls_remark, session.greeted, session.capabilities.auth

    with serving(script) as server:
        tls, remark, greeted_by, auth = deliver(kind, server.port, use, tls=policy("verify", right.ca))
        unverified, why, *_ = deliver(kind, server.port, use, tls=policy("require"), name="other.example")
    assert (tls.version, tls.verified, remark) == ("TLSv1.3", True, "")
    assert tls.peer.names == (NAME,)
    assert "trustme" in tls.peer.issuer
    assert "STARTTLS" in greeted_by.in_clear.text
    assert greeted_by.hello.text == "there"
    assert auth == frozenset()
    assert not unverified.verified
    assert why == f"the certificate was not verified; it is for {NAME}, not for other.example"


# It does not come about


@KINDS
@STRICT
def test_no_offer_of_starttls_ends_the_session(kind: str, mode: str) -> None:
    """C8: the offer may have been stripped; nothing but QUIT follows."""

    def script(connection: Connection) -> None:
        greeted(connection, b"AUTH PLAIN")
        transaction(connection)

    with serving(script) as server, pytest.raises(TlsNotOffered, match="does not offer STARTTLS"):
        deliver(kind, server.port, tls=policy(mode))
    assert server.clear == b"EHLO client.example\r\nQUIT\r\n"


@KINDS
@STRICT
@pytest.mark.parametrize("reply", [b"454 4.7.0 not now", b"502 5.5.1 no", b"250 2.0.0 ok", b"554 5.7.0 never"])
def test_a_refusal_of_starttls_is_no_success(kind: str, mode: str, reply: bytes) -> None:
    """T3: only 220 agrees (RFC 3207 §4); the error names the reply."""

    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS", b"AUTH PLAIN")
        connection.expect(b"STARTTLS")
        connection.say(reply + b"\r\n")
        transaction(connection)

    with serving(script) as server, pytest.raises(TlsRefused) as caught:
        deliver(kind, server.port, tls=policy(mode))
    assert reply.decode() in str(caught.value)
    assert caught.value.reply is not None
    assert caught.value.reply.code == int(reply[:3])
    assert server.clear == b"EHLO client.example\r\nSTARTTLS\r\nQUIT\r\n"


@KINDS
@pytest.mark.parametrize("reply", [b"454 4.7.0 not now", b"502 5.5.1 no", b"250 2.0.0 ok", None])
def test_opportunistic_goes_on_in_clear_and_says_so(kind: str, reply: bytes | None) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, *([b"STARTTLS"] if reply else []))
        if reply:
            connection.expect(b"STARTTLS")
            connection.say(reply + b"\r\n")
        transaction(connection)

    with serving(script) as server:
        remark = deliver(kind, server.port, lambda session: session.tls_remark, tls=policy("opportunistic"))
    assert (reply.decode() if reply else "does not offer STARTTLS") in remark


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require"])
def test_a_goodbye_for_starttls_is_a_refusal(kind: str, mode: str) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"421 4.3.2 closing\r\n")

    with serving(script) as server, pytest.raises(TlsRefused, match="421"):
        deliver(kind, server.port, tls=policy(mode))
    assert server.clear == b"EHLO client.example\r\nSTARTTLS\r\n"


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize(
    "behind",
    [
        b"250-evil\r\n250 AUTH LOGIN\r\n",
        b"250 evil\r\n",
        b"250-evil\r\n",
        b"2",
        b"\r\n",
        b"220 go\r\n",
        b"\x16\x03\x01",
        b"421 bye\r\n",
        b"garbage\r\n",
    ],
)
def test_octets_behind_the_reply_to_starttls_end_the_session(kind: str, mode: str, behind: bytes, right: Pair) -> None:
    """T2: parsed replies and raw octets are both looked at; nothing is said inside a TLS that begins so."""

    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n" + behind)
        connection.rest()

    with serving(script) as server, pytest.raises((RemoteError, NetworkError)):
        deliver(kind, server.port, tls=policy(mode, right.ca))
    assert server.clear == b"EHLO client.example\r\nSTARTTLS\r\n"  # not even a ClientHello


@KINDS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify"])
@pytest.mark.parametrize("answer", [b"", b"500 what\r\n", b"\x15\x03\x03\x00\x02\x02\x28", None])
def test_a_failed_handshake_never_goes_on_in_clear(kind: str, mode: str, answer: bytes | None) -> None:
    """T7: an end, text, an alert, a reset in place of the handshake."""

    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.sock.recv(3)
        if answer is None:
            connection.reset()
            return
        connection.say(answer)
        if answer:
            connection.rest()

    with serving(script) as server, pytest.raises(TlsFailed):
        deliver(kind, server.port, tls=policy(mode))
    assert b"EHLO client.example\r\nSTARTTLS\r\n" in server.clear
    after = server.clear.removeprefix(b"EHLO client.example\r\nSTARTTLS\r\n")
    nothing_leaked(after)
    assert b"HELO" not in after
    assert b"QUIT" not in after


@KINDS
def test_a_handshake_that_stalls_is_one_that_fails(kind: str) -> None:
    """T9: it has a time limit of its own."""

    def script(connection: Connection) -> None:
        greeted(connection, b"STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.rest()

    with serving(script) as server, pytest.raises(TlsFailed, match=r"did not end the TLS handshake within 0\.2 s"):
        deliver(kind, server.port, tls=policy("opportunistic"), timeouts=LIMITS._replace(tls=0.2))


@KINDS
def test_a_refusal_inside_tls_is_named(kind: str, right: Pair) -> None:
    def script(connection: Connection) -> None:
        connection.handshake(right.server)
        connection.say(b"554 5.7.1 go away\r\n")
        connection.rest()

    with serving(script) as server, pytest.raises(SessionRefused, match="go away"):
        deliver(kind, server.port, tls=policy("implicit", right.ca))
    assert server.inside == b"QUIT\r\n"


# Wrong doors


@KINDS
@pytest.mark.parametrize("early", [True, False])
def test_implicit_tls_at_a_port_that_begins_in_clear(kind: str, early: bool) -> None:
    """T21: a sentence with the right URL, not "wrong version number"."""

    def script(connection: Connection) -> None:
        if not early:
            connection.sock.recv(1)
        connection.say(b"220 hello\r\n")
        connection.rest()

    with serving(script) as server, pytest.raises(WrongDoor) as caught:
        deliver(kind, server.port, tls=policy("implicit"))
    assert f"smtp+starttls://{NAME}:" in str(caught.value)
    nothing_leaked(server.clear)


@KINDS
@pytest.mark.parametrize("mode", ["off", "verify"])
def test_a_session_in_clear_at_a_port_that_speaks_tls(kind: str, mode: str, right: Pair) -> None:
    """T21, the reverse: both would wait for the other; another connection asks which protocol it is."""

    def script(connection: Connection) -> None:
        connection.handshake(right.server)
        connection.say(b"220 hello\r\n")
        connection.rest()

    with serving(script) as server, pytest.raises(WrongDoor, match=f"the URL is smtps://{NAME}:"):
        deliver(kind, server.port, tls=policy(mode), timeouts=LIMITS._replace(patience=0.2))
    nothing_leaked(server.clear)


@KINDS
def test_a_slow_greeting_is_no_wrong_door(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_port, "_SECONDS", 0.2)
    second: list[Connection] = []

    def script(connection: Connection) -> None:
        if second:  # the connection that asks for TLS
            connection.rest()
            return
        second.append(connection)
        while len(server.connections) < 2 and not server.closing:
            time.sleep(0)
        greeted(connection)
        transaction(connection)

    with serving(script) as server:
        (outcome,) = deliver(kind, server.port, timeouts=LIMITS._replace(patience=0.05))
    assert outcome.result is Result.DELIVERED


# Certificates


@KINDS
@pytest.mark.parametrize("mode", ["verify", "implicit"])
@pytest.mark.parametrize(
    "flaw",
    ["name", "not for an address", "expired", "not yet", "untrusted", "self-signed", "root taken away", "no issuer"],
)
def test_nothing_leaves_for_a_certificate_that_is_not_right(
    kind: str, mode: str, flaw: str, tmp_path: Path, right: Pair
) -> None:
    found = {
        "name": lambda: pair(tmp_path, "other.example"),
        "not for an address": lambda: pair(tmp_path, "127.0.0.1"),
        "expired": lambda: pair(tmp_path, NAME, not_after=PAST),
        "not yet": lambda: pair(tmp_path, NAME, not_before=FUTURE),
        "root taken away": lambda: whole_chain(tmp_path, right),
        "no issuer": lambda: pair(tmp_path, NAME, authority=trustme.CA().create_child_ca())._replace(ca=right.ca),
        "untrusted": lambda: pair(tmp_path, NAME)._replace(ca=right.ca),
        "self-signed": lambda: self_signed(tmp_path, right),
    }[flaw]()

    def script(connection: Connection) -> None:
        if mode == "verify":
            greeted(connection, b"STARTTLS")
            connection.expect(b"STARTTLS")
            connection.say(b"220 go\r\n")
        connection.handshake(found.server)
        connection.rest()

    words = {
        "name": "is for other.example, not for",
        "not for an address": f"is for 127.0.0.1, not for {NAME}",
        "expired": "expired on 2020-01-01",
        "not yet": "is not valid before 2100-01-01",
        "self-signed": "self-signed",
    }
    with serving(script) as server, pytest.raises(CertificateRefused) as caught:
        deliver(kind, server.port, tls=policy(mode, found.ca))
    assert words.get(flaw, "trusted here") in str(caught.value)
    nothing_leaked(server.clear + server.inside)
    assert server.inside == b""


def whole_chain(folder: Path, right: Pair) -> Pair:
    """A server that shows its chain with the root, which is trusted here no more."""
    root = trustme.CA()
    middle = root.create_child_ca()
    leaf = middle.issue_cert(NAME)
    path = folder / "chain.pem"
    path.write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + root.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Pair(context, right.ca)


def self_signed(folder: Path, right: Pair) -> Pair:
    """A certificate that signed itself, and an authority that has nothing to do with it."""
    files, _ = make_self_signed([NAME], folder, time.time())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key or None)
    return Pair(context, right.ca)


# Memory


class Counted:
    """Content of 64 MB that counts the octets that were taken of it."""

    size = 64_000_000

    def __init__(self) -> None:
        self.taken = 0

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        chunk = (b"x" * 998 + b"\r\n") * (at_most // 1000)
        while self.taken + len(chunk) <= self.size:
            self.taken += len(chunk)
            yield chunk


@KINDS
def test_large_content_waits_for_a_peer_that_does_not_read(kind: str, right: Pair) -> None:
    """Inside TLS as in clear, what is queued is bounded: the content is read as the peer takes it."""

    def script(connection: Connection) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.handshake(right.server)
        greeted(connection)
        while connection.line() != b"DATA":
            connection.say(b"250 ok\r\n")
        connection.say(b"354 go\r\n")
        stuck.wait(60)

    stuck = threading.Event()
    content = Counted()

    with serving(script) as server:
        try:
            (outcome,) = deliver(
                kind,
                server.port,
                tls=policy("implicit", right.ca),
                timeouts=LIMITS._replace(block=0.3),
                content=content,
            )
        finally:
            stuck.set()
    assert outcome.result is Result.DEFERRED
    assert 0 < content.taken < content.size // 4
