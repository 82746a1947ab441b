"""TLS and logins of routes: what each policy does with hosts of every kind, on real sockets with real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import trustme
from tests.client.secured_peers import CONTENT, ENVELOPE, MESSAGE, NAME, SECRET, Connection, Pair, Server, pair
from tests.client.secured_peers import transaction as commands

from posthouse.client import Timeouts
from posthouse.client.auth import LoginSettings
from posthouse.client.tls_policy import TlsMode, TlsPolicy
from posthouse.core import Envelope, NetworkError, Outcome, Reply, Result
from posthouse.delivery import SmtpDeliverer
from posthouse.delivery.model import Delivery
from posthouse.delivery.security import IN_CLEAR_SECONDS, InClear, RouteSecurity
from posthouse.delivery.tracer import AttemptTracer, ConnectionTracer
from posthouse.net import SocketNetwork, SystemClock
from posthouse.protocol.sasl import Credentials
from posthouse.testing import ManualClock, StaticResolver

#: The domain's exchanger is another host than the domain, and only it is in the certificate.
ZONE = {"example.net": {"MX": [f"10 {NAME}."]}, NAME: {"A": ["127.0.0.1"]}}
LIMITS = Timeouts(30, 30, 30, 30, 30, 30, 5, 30)
STRICT = [TlsMode.REQUIRE, TlsMode.VERIFY]


class Sent(NamedTuple):
    """What came of messages: the outcomes, and the connections of each."""

    outcomes: list[Outcome]
    connections: list[list[ConnectionTracer]]

    @property
    def outcome(self) -> Outcome:
        (only,) = self.outcomes
        return only

    @property
    def last(self) -> ConnectionTracer:
        return self.connections[-1][-1]


def send(
    server: Server,
    security: RouteSecurity,
    *,
    messages: int = 1,
    chosen: str = "",
    envelope: Envelope = ENVELOPE,
    timeouts: Timeouts = LIMITS,
    **more: Any,
) -> Sent:
    """Deliver messages, one after the other, to example.net by its MX, or to the ``chosen`` host."""

    async def scenario() -> Sent:
        clock = SystemClock()
        deliverer = SmtpDeliverer(
            StaticResolver(ZONE),
            network=SocketNetwork(),
            clock=clock,
            random=Random(1),
            hostname="client.example",
            port=server.port,
            loopback=True,
            timeouts=timeouts,
            security=security,
            **more,
        )
        outcomes: list[Outcome] = []
        connections = []
        async with asyncio.timeout(60):
            for _ in range(messages):
                tracer = AttemptTracer(clock)
                target = f"{chosen}:{server.port}" if chosen else "example.net"
                outcomes += await deliverer.deliver(Delivery(envelope, MESSAGE, tracer=tracer), target)
                connections.append(tracer.connections)
            await deliverer.close()
        return Sent(outcomes, connections)

    return asyncio.run(scenario())


def with_tls(mode: TlsMode, **settings: Any) -> RouteSecurity:
    return RouteSecurity(TlsPolicy(mode, **settings))


def greeted(connection: Connection, *offers: str) -> None:
    """Greet, and answer EHLO."""
    connection.say(b"220 mx\r\n")
    connection.expect(b"EHLO")
    lines = ["mx", *offers]
    connection.say("".join(f"250-{each}\r\n" for each in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode())


def in_tls(own: Pair, *inside: str) -> Callable[[Connection], None]:
    """A host with STARTTLS."""

    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.handshake(own.server)
        connection.expect(b"EHLO")
        lines = ["mx", *inside]
        connection.say("".join(f"250-{each}\r\n" for each in lines[:-1]).encode() + f"250 {lines[-1]}\r\n".encode())
        commands(connection)

    return script


def in_clear(connection: Connection) -> None:
    greeted(connection, "SIZE")
    commands(connection)


def kept_in(server: Server) -> bytes:
    """Octets that no one may read along."""
    return b"".join(each for each in (b"MAIL", b"RCPT", b"AUTH", CONTENT) if each in server.clear)


# Opportunistic ----------------------------------------------------------------------------------------------------


def test_opportunistic_uses_what_is_offered_and_records_what_was_seen(tmp_path: Path) -> None:
    with Server(in_tls(pair(tmp_path, "other.example"))) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC))
    assert sent.outcome.result is Result.DELIVERED
    assert CONTENT in server.inside
    assert not kept_in(server)
    assert sent.last.tls.startswith("TLSv1.3 TLS_")
    said = "certificate of other.example, not verified; it is for other.example, not for mx.example.net"
    assert sent.last.security == said


def test_opportunistic_in_clear_says_why() -> None:
    with Server(in_clear) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC))
    assert sent.outcome.result is Result.DELIVERED
    assert (sent.last.tls, CONTENT in server.clear) == ("", True)
    assert sent.last.security.startswith(f"in clear: {NAME}[127.0.0.1]:")
    assert sent.last.security.endswith(" does not offer STARTTLS")


def _reset(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.reset()


def _garbage(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.say(b"500 what is that?\r\n" * 3)
    connection.rest()


def _end(connection: Connection) -> None:
    connection.sock.recv(1)


def _silence(connection: Connection) -> None:
    connection.rest()


def _asks_for_a_certificate(tmp_path: Path) -> Callable[[Connection], None]:
    """A handshake that fails behind our end of it (RFC 8446 §4.4.2.4): the server wants a certificate of ours."""
    own = pair(tmp_path)
    own.server.verify_mode = ssl.CERT_REQUIRED
    own.server.load_verify_locations(own.ca)
    return lambda connection: connection.handshake(own.server)


def _unknown_version(tmp_path: Path) -> Callable[[Connection], None]:
    own = pair(tmp_path)
    own.server.set_ciphers("ECDHE-RSA-AES128-SHA")
    own.server.maximum_version = ssl.TLSVersion.TLSv1_2

    def script(connection: Connection) -> None:
        connection.sock.recv(1)
        connection.say(bytes.fromhex("15030100020246"))  # alert: protocol_version
        connection.rest()

    return script


FAILURES: dict[str, Callable[[Path], Callable[[Connection], None]]] = {
    "reset": lambda _: _reset,
    "no TLS": lambda _: _garbage,
    "end": lambda _: _end,
    "silence": lambda _: _silence,
    "version": _unknown_version,
    "client certificate": _asks_for_a_certificate,
}
SHORT = LIMITS._replace(tls=0.3)  # the stall is meant to run out


def failing(how: Callable[[Connection], None]) -> Callable[[Connection], None]:
    """A host that offers STARTTLS, whose handshake fails, and that takes mail in clear."""

    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS")
        line = connection.line().upper()
        if line == b"STARTTLS":
            connection.say(b"220 go\r\n")
            with contextlib.suppress(OSError, EOFError):
                how(connection)
            return
        assert line.startswith(b"MAIL")
        connection.say(b"250 ok\r\n")
        commands(connection)

    return script


@pytest.mark.parametrize("how", FAILURES)
def test_a_handshake_that_fails_or_stalls_leads_to_one_new_connection_in_clear(tmp_path: Path, how: str) -> None:
    told: list[str] = []
    with Server(failing(FAILURES[how](tmp_path))) as server:
        memory = InClear(SystemClock(), told.append)
        timeouts = SHORT if how == "silence" else LIMITS
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC), messages=3, in_clear=memory, timeouts=timeouts, idle=0.0)
    assert [each.result for each in sent.outcomes] == [Result.DELIVERED] * 3
    # The first message tried TLS once; those behind it did not wait for the same failure.
    assert [len(each) for each in sent.connections] == [2, 1, 1]
    assert len(server.connections) == 4
    for connection in (each[-1] for each in sent.connections):
        assert connection.security.startswith("in clear: TLS failed: ")
    (line,) = told
    assert line.startswith(f"TLS with {NAME} failed, so mail goes there in clear for 60 minutes: ")


@pytest.mark.parametrize("mode", STRICT)
@pytest.mark.parametrize("how", FAILURES)
def test_nothing_goes_in_clear_where_tls_is_required(tmp_path: Path, how: str, mode: TlsMode) -> None:
    with Server(failing(FAILURES[how](tmp_path))) as server:
        ca = str(tmp_path / "ca0.pem") if (tmp_path / "ca0.pem").exists() else ""
        sent = send(server, with_tls(mode, ca=ca), timeouts=SHORT if how == "silence" else LIMITS)
    assert sent.outcome.result is Result.DEFERRED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "4.7.5"
    assert len(server.connections) == 1
    assert not kept_in(server)


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "554 5.7.0 never", "250 ok"])
@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, *STRICT])
def test_a_refusal_of_starttls_is_no_success(mode: TlsMode, reply: str) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(reply.encode() + b"\r\n")
        commands(connection)

    with Server(script) as server:
        sent = send(server, with_tls(mode))
    if mode is TlsMode.OPPORTUNISTIC:
        assert sent.outcome.result is Result.DELIVERED
        assert f"refused STARTTLS: {reply}" in sent.last.security
    else:
        assert sent.outcome.result is Result.DEFERRED
        assert sent.outcome.reply is not None
        assert sent.outcome.reply.enhanced == "4.7.4"
        assert reply in sent.outcome.reason
        assert server.clear.upper().endswith(b"STARTTLS\r\nQUIT\r\n")


def test_a_host_that_closes_instead_of_beginning_tls_is_tried_later() -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"421 4.3.2 closing\r\n")

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC))
    assert sent.outcome.result is Result.DEFERRED
    assert str(sent.outcome.reply) == "421 4.3.2 closing"
    assert not kept_in(server)


@pytest.mark.parametrize("mode", STRICT)
def test_an_offer_that_is_missing_defers(mode: TlsMode) -> None:
    with Server(in_clear) as server:
        sent = send(server, with_tls(mode))
    assert sent.outcome.result is Result.DEFERRED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "4.7.4"
    assert "does not offer STARTTLS" in sent.outcome.reason
    assert not kept_in(server)


def test_an_attempt_in_a_handshake_is_one_that_waits_for_the_host() -> None:
    """So that a host that never answers ClientHello loses its slot to others after 2 s, like one that never greets."""
    tracer = AttemptTracer(ManualClock())
    steps = tracer.connection("mx.test").steps
    found = []
    for step in (Reply(220), b"EHLO x\r\n", Reply(250), b"STARTTLS\r\n", Reply(220), b"EHLO x\r\n", Reply(250)):
        steps.append((0.0, step))
        found.append(tracer.unanswered)
    assert found == [False, False, False, False, True, True, False]
    tracer.connection("mx.test")  # in clear, after the failure
    assert tracer.unanswered


def test_hosts_in_clear_are_forgotten_in_time_and_bounded() -> None:
    clock = ManualClock()
    memory = InClear(clock)
    for number in range(2_000):
        memory.add(f"mx{number}.test", 25, NetworkError("it broke"))
    assert [memory.why(f"mx{number}.test", 25) for number in (0, 1_999)] == ["", "TLS failed: it broke"]
    assert len(memory._hosts) == 1_024
    assert memory.why("mx1999.test", 587) == ""
    asyncio.run(clock.advance(IN_CLEAR_SECONDS))
    assert memory.why("mx1999.test", 25) == ""


# Certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["", NAME, f"{NAME}."], ids=["by MX", "a chosen host", "with a final dot"])
def test_verify_wants_the_name_of_the_host_that_mail_goes_to(tmp_path: Path, chosen: str) -> None:
    own = pair(tmp_path)
    with Server(in_tls(own)) as server:
        sent = send(server, with_tls(TlsMode.VERIFY, ca=own.ca), chosen=chosen)
    assert sent.outcome.result is Result.DELIVERED
    assert sent.last.security == f"certificate of {NAME}, verified"
    assert not kept_in(server)


@pytest.mark.parametrize("fault", ["domain", "expired", "unknown"])
def test_verify_defers_with_every_reason_and_sends_nothing(tmp_path: Path, fault: str) -> None:
    authority = trustme.CA()
    if fault == "domain":  # of the recipients: not the name of the host
        own = pair(tmp_path, "example.net", authority=authority)
    elif fault == "expired":
        own = pair(tmp_path, authority=authority, not_after=datetime(2026, 1, 2, tzinfo=UTC))
    else:
        own = pair(tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    with Server(in_tls(own)) as server:
        sent = send(server, with_tls(TlsMode.VERIFY, ca=str(tmp_path / "trusted.pem")))
    reason = {
        "domain": "is for example.net, not for mx.example.net",
        "expired": "expired on 2026-01-02",
        "unknown": "leads to no issuer that is trusted here",
    }[fault]
    assert sent.outcome.result is Result.DEFERRED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "4.7.5"
    assert reason in sent.outcome.reason
    assert not kept_in(server)
    assert CONTENT not in server.inside


def test_without_verification_it_is_still_tls_and_still_required(tmp_path: Path) -> None:
    with Server(in_tls(pair(tmp_path, "other.example"))) as server:
        sent = send(server, with_tls(TlsMode.REQUIRE))
    assert sent.outcome.result is Result.DELIVERED
    assert CONTENT in server.inside
    assert not kept_in(server)


@pytest.mark.parametrize("configured", [False, True])
def test_a_certificate_of_ours_is_shown_only_where_it_is_configured(tmp_path: Path, configured: bool) -> None:
    own = pair(tmp_path)
    own.server.verify_mode = ssl.CERT_OPTIONAL
    own.server.load_verify_locations(own.ca)
    authority = trustme.CA()
    mine = authority.issue_cert("client.example")
    own.server.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    file = tmp_path / "mine.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(str(file))
    shown: list[object] = []
    below = in_tls(own)

    def script(connection: Connection) -> None:
        try:
            below(connection)
        finally:
            assert isinstance(connection.sock, ssl.SSLSocket)
            shown.append(connection.sock.getpeercert())

    with Server(script) as server:
        settings = {"certificate": str(file)} if configured else {}
        sent = send(server, with_tls(TlsMode.REQUIRE, **settings))
    assert sent.outcome.result is Result.DELIVERED
    assert [bool(each) for each in shown] == [configured]


def test_a_kept_session_keeps_its_tls_and_says_so(tmp_path: Path) -> None:
    with Server(in_tls(pair(tmp_path))) as server:
        sent = send(server, with_tls(TlsMode.REQUIRE), messages=3)
    assert len(server.connections) == 1
    assert [each[-1].reused for each in sent.connections] == [0, 1, 2]
    assert len({(each[-1].tls, each[-1].security) for each in sent.connections}) == 1
    assert sent.last.tls


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, *STRICT])
def test_a_session_that_cannot_be_resumed_is_no_reason_to_go_in_clear_or_to_wait(tmp_path: Path, mode: TlsMode) -> None:
    """The connection after the first breaks in its handshake; the one behind it has another, without a session."""
    own = pair(tmp_path)
    reused = []

    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        if len(server.connections) == 2:
            connection.sock.recv(65_536)
            connection.reset()
            return
        connection.handshake(own.server)
        assert isinstance(connection.sock, ssl.SSLSocket)
        reused.append(bool(connection.sock.session_reused))
        connection.expect(b"EHLO")
        connection.say(b"250-mx\r\n250 LIMITS MAILMAX=1\r\n")
        commands(connection)

    with Server(script) as server:
        sent = send(server, with_tls(mode, ca=own.ca), messages=3)
    assert [each.result for each in sent.outcomes] == [Result.DELIVERED] * 3
    assert [len(each) for each in sent.connections] == [1, 2, 1]
    assert reused == [False, False, True]
    assert not kept_in(server)
    assert all(each[-1].tls for each in sent.connections)


@pytest.mark.parametrize("reply", ["530 5.7.0 Must issue a STARTTLS command first", "523 5.7.10 Encryption needed"])
@pytest.mark.parametrize("how", ["a broken handshake", "454"])
def test_a_host_that_wants_tls_fails_no_message_because_tls_failed_once(tmp_path: Path, reply: str, how: str) -> None:
    """The message goes in clear on a new connection, is refused there, waits, and the next attempt has TLS again."""
    own = pair(tmp_path)

    def script(connection: Connection) -> None:
        number = len(server.connections)
        greeted(connection, "STARTTLS")
        line = connection.line()
        if line == b"STARTTLS" and number == 1 and how == "454":
            connection.say(b"454 4.7.0 not now\r\n")
            line = connection.line()
        elif line == b"STARTTLS":
            connection.say(b"220 go\r\n")
            if number == 1:
                connection.reset()
                return
            connection.handshake(own.server)
            connection.expect(b"EHLO")
            connection.say(b"250 mx\r\n")
            commands(connection)
            return
        assert line.startswith(b"MAIL")
        connection.say(f"{reply}\r\n".encode())
        connection.expect(b"QUIT")
        connection.say(b"221 bye\r\n")

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC), messages=2)
    assert [each.result for each in sent.outcomes] == [Result.DEFERRED, Result.DELIVERED]
    assert "takes no mail in clear" in sent.outcomes[0].reason
    assert reply[:3] in sent.outcomes[0].reason
    assert sent.last.tls


def test_a_host_that_wants_tls_and_offers_none_fails_the_message() -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "SIZE")
        connection.expect(b"MAIL")
        connection.say(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
        while connection.line() != b"QUIT":
            connection.say(b"503 5.5.1 STARTTLS first\r\n")

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC))
    assert sent.outcome.result is Result.FAILED


def test_tls_from_the_first_octet(tmp_path: Path) -> None:
    own = pair(tmp_path)

    def script(connection: Connection) -> None:
        connection.handshake(own.server)
        in_clear(connection)  # its words, inside

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.IMPLICIT, ca=own.ca), chosen=NAME)
    assert sent.outcome.result is Result.DELIVERED
    assert server.clear == b""


# Logins -----------------------------------------------------------------------------------------------------------


def logging_in(mode: TlsMode, **settings: Any) -> RouteSecurity:
    return RouteSecurity(TlsPolicy(mode, **settings), lambda: LoginSettings(Credentials("ann", SECRET)))


def login_host(own: Pair, reply: str) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        greeted(connection, "STARTTLS", "AUTH PLAIN")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.handshake(own.server)
        connection.expect(b"EHLO")
        connection.say(b"250-mx\r\n250 AUTH PLAIN\r\n")
        connection.expect(b"AUTH PLAIN ")
        connection.say(reply.encode() + b"\r\n")
        commands(connection)

    return script


def test_a_smarthost_is_logged_in_to(tmp_path: Path) -> None:
    own = pair(tmp_path)
    with Server(login_host(own, "235 2.7.0 welcome")) as server:
        sent = send(server, logging_in(TlsMode.VERIFY, ca=own.ca), chosen=NAME)
    assert sent.outcome.result is Result.DELIVERED
    assert not kept_in(server)
    assert SECRET not in repr(sent)
    assert SECRET not in repr(sent.last.trace(None))


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN", "AUTH GSSAPI", "SIZE"])
def test_where_no_login_is_tried_nobody_is_said_to_have_refused_it(offer: str) -> None:
    """In clear a password is shown to nobody; and a host may offer no mechanism that is known, or none at all."""

    def script(connection: Connection) -> None:
        greeted(connection, offer)
        commands(connection)

    with Server(script) as server:
        sent = send(server, RouteSecurity(None, lambda: LoginSettings(Credentials("ann", SECRET))))
    assert sent.outcome.result is Result.DEFERRED
    assert str(sent.outcome.reply) == "451 4.7.4 the host offers no way to log in that this route may use"
    assert "offers" in sent.outcome.reason
    assert b"AUTH" not in server.clear
    assert b"MAIL" not in server.clear


@pytest.mark.parametrize("reply", ["535 5.7.8 no", "454 4.7.0 later", "534 5.7.9 too weak", "550 5.7.1 go away"])
def test_mail_waits_loudly_where_a_login_is_refused(tmp_path: Path, reply: str) -> None:
    own = pair(tmp_path)
    told: list[str] = []
    with Server(login_host(own, reply)) as server:
        sent = send(server, logging_in(TlsMode.VERIFY, ca=own.ca), chosen=NAME, tell=told.append)
    assert sent.outcome.result is Result.DEFERRED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "4.7.8"
    assert reply in sent.outcome.reason
    (line,) = told
    assert reply in line
    assert SECRET not in line + sent.outcome.reason
    assert b"MAIL" not in server.inside


@pytest.mark.parametrize(
    "reply", ["530 5.7.0 Authentication required", "530 5.7.0 Must issue a STARTTLS command first"]
)
@pytest.mark.parametrize("chosen", ["", NAME])
def test_a_configured_host_that_wants_a_login_fails_no_message(reply: str, chosen: str) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "SIZE")
        connection.expect(b"MAIL")
        connection.say(reply.encode() + b"\r\n")
        commands(connection)

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC), chosen=chosen)
    assert sent.outcome.result is (Result.DEFERRED if chosen else Result.FAILED)
    assert sent.outcome.reply is not None
    assert str(sent.outcome.reply) == reply
    if chosen:
        assert "set user, password_file and tls of its [[route]]" in sent.outcome.reason


def test_a_password_is_not_sent_in_clear(tmp_path: Path) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "AUTH PLAIN LOGIN")
        commands(connection)

    with Server(script) as server:
        login = LoginSettings(Credentials("ann", SECRET))
        sent = send(server, RouteSecurity(None, lambda: login), chosen=NAME)
    assert sent.outcome.result is Result.DEFERRED
    assert not kept_in(server)


# REQUIRETLS (RFC 8689) --------------------------------------------------------------------------------------------

REQUIRED = ENVELOPE._replace(require_tls=True)


def test_requiretls_is_sent_verified_and_passed_on(tmp_path: Path) -> None:
    own = pair(tmp_path)
    with Server(in_tls(own, "REQUIRETLS")) as server:
        sent = send(server, with_tls(TlsMode.VERIFY, ca=own.ca), chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.DELIVERED
    assert b" REQUIRETLS\r\n" in server.inside
    assert sent.last.security == f"certificate of {NAME}, verified"
    assert not kept_in(server)


@pytest.mark.parametrize("mode", [None, TlsMode.OPPORTUNISTIC, TlsMode.REQUIRE])
def test_requiretls_is_verified_whatever_the_route_asks_for(tmp_path: Path, mode: TlsMode | None) -> None:
    with Server(in_tls(pair(tmp_path), "REQUIRETLS")) as server:  # an unknown authority
        security = RouteSecurity() if mode is None else with_tls(mode)
        sent = send(server, security, chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.FAILED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "5.7.10"
    assert not kept_in(server)
    assert CONTENT not in server.inside


@pytest.mark.parametrize("mode", [TlsMode.OPPORTUNISTIC, TlsMode.REQUIRE, TlsMode.VERIFY])
def test_requiretls_is_verified_by_the_authority_that_the_route_names(tmp_path: Path, mode: TlsMode) -> None:
    own = pair(tmp_path)
    with Server(in_tls(own, "REQUIRETLS")) as server:
        sent = send(server, with_tls(mode, ca=own.ca), chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.DELIVERED
    assert sent.last.security == f"certificate of {NAME}, verified"
    assert not kept_in(server)


def test_requiretls_keeps_tls_from_the_first_octet_and_what_the_route_shows() -> None:
    route = TlsPolicy(TlsMode.IMPLICIT, verify=False, ca="ca.pem", certificate="own.pem", key="own.key", name=NAME)
    tls = RouteSecurity(route).requiring().tls
    assert tls is not None
    assert (tls.mode, tls.verify, tls.name) == (TlsMode.IMPLICIT, True, NAME)
    assert (tls._ca, tls._certificate, tls._key) == ("ca.pem", "own.pem", "own.key")


def test_requiretls_needs_the_offer_inside_tls(tmp_path: Path) -> None:
    own = pair(tmp_path)

    def script(connection: Connection) -> None:  # it is offered in clear, where anybody could have written it
        greeted(connection, "STARTTLS", "REQUIRETLS")
        connection.expect(b"STARTTLS")
        connection.say(b"220 go\r\n")
        connection.handshake(own.server)
        connection.expect(b"EHLO")
        connection.say(b"250 mx\r\n")
        commands(connection)

    with Server(script) as server:
        sent = send(server, with_tls(TlsMode.VERIFY, ca=own.ca), chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.FAILED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "5.7.30"
    assert b"MAIL" not in server.inside


@pytest.mark.parametrize("offers", [(), ("REQUIRETLS",)])
def test_requiretls_never_goes_in_clear(offers: tuple[str, ...]) -> None:
    def script(connection: Connection) -> None:
        greeted(connection, "SIZE", *offers)
        commands(connection)

    with Server(script) as server:
        sent = send(server, RouteSecurity(), chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.FAILED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "5.7.10"
    assert not kept_in(server)


def test_requiretls_to_a_host_that_is_down_waits() -> None:
    with Server(Connection.reset) as server:
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC), chosen=NAME, envelope=REQUIRED)
    assert sent.outcome.result is Result.DEFERRED


def test_requiretls_to_mail_exchangers_that_nothing_proves_fails(tmp_path: Path) -> None:
    own = pair(tmp_path)
    with Server(in_tls(own, "REQUIRETLS")) as server:
        sent = send(server, with_tls(TlsMode.VERIFY, ca=own.ca), envelope=REQUIRED)
    assert sent.outcome.result is Result.FAILED
    assert sent.outcome.reply is not None
    assert sent.outcome.reply.enhanced == "5.7.10"
    assert not server.connections


def test_a_report_about_such_a_message_is_not_lost(tmp_path: Path) -> None:
    with Server(in_clear) as server:
        report = REQUIRED._replace(sender=None)
        sent = send(server, with_tls(TlsMode.OPPORTUNISTIC), envelope=report)
    assert sent.outcome.result is Result.DELIVERED
