"""A state machine that is a client of a submission listener with STARTTLS and AUTH, the latter required and the former
perhaps: right steps in any order, garbage between them, octets cut anywhere.

It knows what a client may know, and checks: one reply for each command and none out of turn; nothing accepted before
TLS and a login; nothing that was said in clear counts inside TLS; nothing in clear behind a handshake, failed or not;
no password in the log or the transcript; bounded memory; a message stored for each 250, and for nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.service.policy_harness import PolicyHarness

from posthouse.core import Reply, TlsFailed
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine, TlsState
from posthouse.protocol import Limits
from posthouse.protocol.readers import ReplyReader
from posthouse.protocol.sasl import (
    MECHANISMS,
    Credentials,
    DeriveKey,
    Say,
    ScramKeys,
    client_exchange,
    derive_keys,
)
from posthouse.server import Server
from posthouse.server.settings import Protection
from posthouse.service.accounts import AccountStore
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.testing import ManualClock, MemoryNetwork

from .session_harness import CountingStream

USER, PASSWORD = "ann@sohu.com", "correct horse battery"
WRONG = "wrong horse battery"
TEXT = """
hostname = "mx.test"
[[listener]]
bind = "127.0.0.1:0"
kind = "submission"
tls = "starttls"
tls_required = true
[[domain]]
name = "sina.com"
mailboxes = ["renping"]
"""
KEYS = derive_keys(PASSWORD, b"0123456789abcdef", 4096)


class Store(AccountStore):
    """One account."""

    mechanisms = ("SCRAM-SHA-256", "PLAIN", "LOGIN")

    async def check_password(self, user: str, password: str) -> bool:
        return (user, password) == (USER, PASSWORD)

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        return KEYS if user == USER else None

    async def identities(self, user: str) -> Sequence[str] | None:
        return (USER,)


class Wire(CountingStream):
    """The server's end of the channel: whatever handler is set, and whether it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.handler: Any = None
        self.ended = False

    def set_handler(self, handler: Any) -> None:
        self.handler = handler

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def close_gently(self, seconds: float = 5.0, octets: int = 0) -> None:
        self.ended = True


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    with tempfile.TemporaryDirectory() as folder:
        authority, own = Path(folder) / "ca.pem", Path(folder) / "own.pem"
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        ca.issue_cert("mx.test").private_key_and_cert_chain_pem.write_to_path(str(own))
        return client_context(ca=str(authority)), server_context(str(own))


CLIENT, SERVER = contexts()
OWN_RULES = (b"BDAT", b"QUIT", b"DATA")
GROUPED = [b"NOOP", b"RSET", b"MAIL FROM:<>", b"RCPT TO:<renping@sina.com>"]
ANSWERS = [USER.encode(), PASSWORD.encode(), WRONG.encode(), None]
LINES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b" ", b"MAIL", b"RCPT TO:", b"DATA x", b"AUTH", b"AUTH  PLAIN x", b"EHLO", b"STARTTLS now", b"\0", b"FOO"]
    ),
    st.binary(max_size=20).map(lambda tail: b"AUTH PLAIN " + tail),
).filter(
    lambda line: not any(octet in line for octet in b"\r\n") and line[:4].upper() not in (b"BDAT", b"QUIT", b"DATA")
)


class Client(RuleBasedStateMachine):
    """The client and what it knows of the session."""

    engine: TlsEngine | None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.clock = ManualClock()
        self.transcript: list[str] = []
        self.faults: list[BaseException] = []
        self.accepted = 0

    @initialize(
        errors=st.sampled_from([4, 20, 1_000]),
        cut=st.sampled_from([1, 7, 1_000]),
        inside=st.booleans(),
        required=st.booleans(),
    )
    def connect(self, errors: int, cut: int, inside: bool, required: bool) -> None:
        self.cut, self.required = cut, required
        text = TEXT.replace("tls_required = true", f"tls_required = {str(required).lower()}")
        self.harness = PolicyHarness(text, accounts=Store(), clock=self.clock)
        policy = self.harness.policy
        self.server = Server(
            partial(SessionPolicy, policy),
            network=MemoryNetwork(self.clock),
            clock=self.clock,
            hostname="mx.test",
            limits=Limits(errors=errors),
            transcript=lambda: lambda who, line: self.transcript.append(line),
            on_error=self.faults.append,
            protection=Protection(lambda: SERVER, login=policy.logins, tls_required=required),
        )
        self.open()
        if inside:
            self.all_right_steps()

    def open(self) -> None:
        """A new session, of which nothing is known."""
        self.stream, self.replies, self.engine, self.read = Wire(), ReplyReader(2_048, 256), None, 0
        self.greeted = self.tls = self.user = self.over = False
        self.forget()
        session: Any = self.server.session()
        self.session = self.stream.handler = session
        self.run(session.connected, self.stream)
        (greeting,) = self.heard()
        assert greeting.code == 220

    @precondition(lambda self: self.over)
    @rule()
    def another(self) -> None:
        self.run(self.stream.handler.disconnected, None)
        self.open()

    # -- octets ------------------------------------------------------------------------------------------------------

    def run(self, call: Any, *arguments: Any) -> None:
        """Call the server, and let its loop and its clock go on until nothing more happens."""

        async def go() -> None:
            call(*arguments)
            for _ in range(6):
                await asyncio.sleep(0)

        self.loop.run_until_complete(go())

    def give(self, octets: bytes) -> None:
        """Octets for the server, as the wire has them, in pieces; until the session neither waits nor rests."""

        async def go() -> None:
            for place in range(0, len(octets), self.cut):
                if not self.stream.ended:
                    self.stream.handler.data_received(octets[place : place + self.cut])
                    await asyncio.sleep(0)
            for _ in range(1_000):
                for _ in range(4):
                    await asyncio.sleep(0)
                if self.stream.ended or not (self.session._waiting or self.session._resting):
                    break
                await self.clock.advance(1.0)

        self.loop.run_until_complete(go())

    def heard(self) -> list[Reply]:
        """The replies since the last call; there is nothing else."""
        wire, self.read = self.stream.written[self.read :], len(self.stream.written)
        if self.engine is not None:
            self.engine.receive(wire)
            wire = self.engine.read(1_000_000)
        self.replies.feed(wire)
        found = []
        while (reply := self.replies.reply()) is not None:
            found.append(reply)
        assert not len(self.replies), "half a reply"
        if any(reply.code == 421 for reply in found) or self.stream.ended:
            self.over = True
        return found

    def say(self, *commands: bytes) -> list[Reply]:
        """Commands in one segment: one reply for each, or fewer that end with 421."""
        text = b"".join(command + b"\r\n" for command in commands)
        self.give(self.engine.write(text) if self.engine is not None else text)
        found = self.heard()
        if self.over:
            assert len(found) <= len(commands) + 1
        else:
            assert len(found) == len(commands), (commands, found)
        return found

    def one(self, command: bytes) -> Reply:
        """One command; 421 if the session is over."""
        found = self.say(command)
        return found[0] if found else Reply(421, "", "")

    @property
    def safe(self) -> bool:
        """Whether the listener takes mail and logins on this channel."""
        return self.tls or not self.required

    # -- right steps, in any order -----------------------------------------------------------------------------------

    def forget(self) -> None:
        self.mail, self.recipients = False, 0

    @precondition(lambda self: not self.over)
    @rule(verb=st.sampled_from([b"EHLO", b"HELO"]))
    def hello(self, verb: bytes) -> None:
        reply = self.one(verb + b" client.example")
        if reply.code == 250:
            self.greeted = True
            self.forget()
            if verb == b"EHLO":
                words = reply.text.split()
                assert ("STARTTLS" in words) == (not self.tls)
                assert ("AUTH" in words) == self.safe
        else:
            assert self.over

    @precondition(lambda self: not self.over)
    @rule(sender=st.sampled_from([USER, "boss@sohu.com", ""]))
    def begin(self, sender: str) -> None:
        reply = self.one(b"MAIL FROM:<%s>" % sender.encode())
        if reply.code == 250:
            assert self.safe
            assert self.user
            assert self.greeted
            assert not self.mail
            assert sender in (USER, "")
            self.mail = True
        elif not self.over:
            allowed = self.greeted and self.safe and self.user and not self.mail and sender in (USER, "")
            assert not allowed, reply
            if self.greeted and not self.mail and not (self.safe and self.user):
                assert reply.code == 530

    @precondition(lambda self: not self.over)
    @rule(recipient=st.sampled_from(["renping@sina.com", "nobody@sina.com"]))
    def recipient(self, recipient: str) -> None:
        reply = self.one(b"RCPT TO:<%s>" % recipient.encode())
        if reply.code == 250:
            assert self.mail
            assert recipient.startswith("renping")
            self.recipients += 1

    @precondition(lambda self: not self.over)
    @rule(end=st.sampled_from([b".", b".", b"QUIT\r\n."]), bare=st.booleans())
    def content(self, end: bytes, bare: bool) -> None:
        reply = self.one(b"DATA")
        if reply.code != 354:
            assert self.over or not self.recipients
            return
        assert self.recipients
        body = b"From: <ann@sohu.com>\r\n\r\nRSET\r\n..\r\n" + (b"a\nb\r\n" if bare else b"")
        last = self.one(body + end)
        self.forget()
        self.accepted += last.code == 250

    @precondition(lambda self: not self.over)
    @rule(size=st.integers(0, 200))
    def chunk(self, size: int) -> None:
        octets = b"BDAT %d LAST\r\n" % size + b"NOOP\r\n" * (size // 6) + b"x" * (size % 6)
        self.give(self.engine.write(octets) if self.engine is not None else octets)
        found = self.heard()
        assert len(found) == 1 or self.over
        if found and found[0].code == 250:
            assert self.recipients
            self.accepted += 1
            self.forget()
        elif self.recipients:
            self.forget()

    @precondition(lambda self: not self.over)
    @rule()
    def start_again(self) -> None:
        if self.one(b"RSET").code == 250:
            self.forget()

    @precondition(lambda self: not self.over)
    @rule(command=st.sampled_from([b"NOOP", b"HELP", b"VRFY renping@sina.com", b"EXPN x"]))
    def idle(self, command: bytes) -> None:
        assert self.one(command).code != 354

    @precondition(lambda self: not self.over)
    @rule(
        commands=st.lists(
            st.sampled_from([b"NOOP", b"RSET", b"MAIL FROM:<>", b"RCPT TO:<renping@sina.com>"]), max_size=6
        )
    )
    def group(self, commands: list[bytes]) -> None:
        for command, reply in zip(commands, self.say(*commands), strict=False):
            if reply.code != 250:
                continue
            if command == b"RSET":
                self.forget()
            elif command.startswith(b"MAIL"):
                assert self.safe
                assert self.user
                self.mail = True
            elif command.startswith(b"RCPT"):
                assert self.mail
                self.recipients += 1

    @precondition(lambda self: not self.over and not self.tls and not self.greeted)
    @rule()
    def all_right_steps(self) -> None:
        """What a mail program does before its first message."""
        self.hello(b"EHLO")
        self.starttls("handshake")
        if not self.over:
            self.hello(b"EHLO")
        if not self.over:
            self.plain(PASSWORD, True)

    @precondition(lambda self: not self.over and not self.tls and not self.required)
    @rule(mail=st.booleans())
    def login_in_clear_and_tls_behind_it(self, mail: bool) -> None:
        """Neither the login nor anything else crosses over (RFC 3207 section 4.2)."""
        steps: list[Any] = [partial(self.hello, b"EHLO"), partial(self.scram, PASSWORD, False)]
        steps += [partial(self.begin, USER), self.start_again] if mail else []
        steps += [partial(self.starttls, "handshake"), partial(self.begin, USER), partial(self.hello, b"EHLO")]
        for step in (*steps, partial(self.begin, USER)):
            if not self.over:
                step()

    @precondition(lambda self: not self.over and self.user)
    @rule(rest=st.booleans())
    def message(self, rest: bool) -> None:
        """A transaction up to its recipient, or up to its end."""
        self.begin(USER)
        if not self.over:
            self.recipient("renping@sina.com")
        if rest and not self.over:
            self.content(b".", False)

    # -- logging in --------------------------------------------------------------------------------------------------

    def login_ended(self, reply: Reply, right: bool, offered: bool) -> None:
        if reply.code == 235:
            assert offered
            assert self.greeted
            assert right
            assert not self.user
            self.user = True
        elif not self.over and right:
            assert not (offered and self.greeted and not self.user and not self.mail), reply

    @precondition(lambda self: not self.over)
    @rule(password=st.sampled_from([PASSWORD, PASSWORD, WRONG]), initial=st.booleans())
    def plain(self, password: str, initial: bool) -> None:
        message = base64.b64encode(f"\0{USER}\0{password}".encode())
        if initial:
            self.login_ended(self.one(b"AUTH PLAIN " + message), password == PASSWORD, self.tls)
            return
        reply = self.one(b"AUTH PLAIN")
        if reply.code == 334:
            assert self.tls
            self.login_ended(self.one(message), password == PASSWORD, self.tls)

    @precondition(lambda self: not self.over)
    @rule(
        answers=st.lists(
            st.sampled_from([USER.encode(), PASSWORD.encode(), WRONG.encode(), None]), min_size=2, max_size=2
        )
    )
    def login(self, answers: list[bytes | None]) -> None:
        reply = self.one(b"AUTH LOGIN")
        for answer in answers:
            if reply.code != 334:
                break
            assert self.tls
            reply = self.one(b"*" if answer is None else base64.b64encode(answer))
            assert answer is not None or reply.code == 501 or self.over
        self.login_ended(reply, answers == [USER.encode(), PASSWORD.encode()], self.tls)
        assert reply.code != 334

    @precondition(lambda self: not self.over)
    @rule(password=st.sampled_from([PASSWORD, WRONG]), garbage=st.booleans())
    def scram(self, password: str, garbage: bool) -> None:
        exchange = client_exchange(MECHANISMS["SCRAM-SHA-256"], Credentials(USER, password), nonce="abcdefgh")
        step: Any = next(exchange)
        assert isinstance(step, Say)
        reply = self.one(b"AUTH SCRAM-SHA-256 " + base64.b64encode(step.data or b""))
        while reply.code == 334:
            assert self.safe
            if garbage:
                reply = self.one(base64.b64encode(b"c=biws,r=other,p=AAAA"))
                assert reply.code != 235
                break
            try:
                step = exchange.send(base64.b64decode(reply.text))
                while isinstance(step, DeriveKey):
                    step = exchange.send(step.compute())
                assert isinstance(step, Say)
                answer = base64.b64encode(step.data or b"")
            except StopIteration:
                answer = b""
            reply = self.one(answer)
        self.login_ended(reply, password == PASSWORD and not garbage, self.safe)

    # -- TLS ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.over)
    @rule(then=st.sampled_from(["handshake", "handshake", "handshake", "garbage", "early"]))
    def starttls(self, then: str) -> None:
        if then == "early" and self.greeted and not self.tls and not self.mail:
            self.give(b"STARTTLS\r\nMAIL FROM:<>\r\n")
            if self.cut == 1:  # the reply was there before the octets behind it
                self.check_switched(self.heard_clear())
                return
            found = self.heard()
            assert all(reply.code >= 500 or reply.code == 421 for reply in found)
            assert self.over
            return
        reply = self.one(b"STARTTLS")
        if reply.code != 220:
            assert self.over or self.tls or not self.greeted or (self.mail and reply.code == 503)
            return
        assert not self.tls
        assert not self.mail
        if then == "garbage":
            self.give(b"EHLO in.clear\r\n" + b"\x16\x03\x01garbage" * 3)
            self.check_switched(self.heard_clear())
            return
        self.shake()

    def heard_clear(self) -> bytes:
        """The octets since the last call; the session is over if the channel is."""
        wire, self.read = self.stream.written[self.read :], len(self.stream.written)
        self.over = self.over or self.stream.ended
        return wire

    def check_switched(self, wire: bytes) -> None:
        """What the server says to garbage in place of a handshake: an alert, behind replies that came before."""
        before, ready, rest = wire.partition(b"220 2.0.0 Ready to start TLS\r\n")
        alert = rest if ready else before
        assert not alert or alert[0] == 21, alert
        self.over = True  # whether it has ended or waits for the rest of a record: nothing is said in clear

    def shake(self) -> None:
        self.engine = engine = TlsEngine(CLIENT, server_side=False, peer="mx.test", server_name="mx.test")
        out = engine.start()
        while engine.state is TlsState.HANDSHAKE:
            self.give(out)
            wire, self.read = self.stream.written[self.read :], len(self.stream.written)
            engine.receive(wire)
            out = engine.pending()
        self.give(out)
        self.tls = True
        self.greeted = self.user = False
        self.forget()
        assert not self.heard(), "nothing is said before EHLO"

    @precondition(lambda self: not self.over and self.tls)
    @rule(place=st.integers(5, 200), flip=st.integers(1, 255))
    def alter_a_record(self, place: int, flip: int) -> None:
        assert self.engine is not None
        record = bytearray(self.engine.write(b"NOOP\r\n"))
        record[min(place, len(record) - 1)] ^= flip
        self.give(bytes(record))
        wire = self.heard_clear()
        with_error = False
        try:
            self.engine.receive(wire)
            assert not self.engine.read(1_000), "no reply to what was altered"
        except TlsFailed:
            with_error = True
        assert self.stream.ended or with_error
        self.over = True

    # -- garbage -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.over)
    @rule(line=LINES)
    def garbage(self, line: bytes) -> None:
        reply = self.one(line)
        assert reply.code != 235
        if reply.code == 334:
            reply = self.one(b"*")
            assert reply.code == 501 or self.over
        if reply.code == 220:  # STARTTLS in disguise
            self.shake()

    # -- always ------------------------------------------------------------------------------------------------------

    @invariant()
    def promises_hold(self) -> None:
        assert not self.faults
        if hasattr(self, "session"):
            assert len(self.harness.spool.stored) == self.accepted
            assert self.session._receiver.buffered <= 65_536

    def teardown(self) -> None:
        try:
            if hasattr(self, "session"):
                self.check_the_end()
        finally:
            self.loop.close()
            asyncio.set_event_loop(None)

    def check_the_end(self) -> None:
        said = repr(self.harness.events) + repr(self.transcript)
        for secret in (PASSWORD, WRONG):
            assert secret not in said
            for spelled in (secret.encode(), f"\0{USER}\0{secret}".encode()):
                assert base64.b64encode(spelled).decode() not in said
        self.run(self.stream.handler.disconnected, None)
        assert not self.faults


Client.TestCase.settings = settings(stateful_step_count=25, max_examples=min(settings().max_examples, 50))
TestClient = Client.TestCase
