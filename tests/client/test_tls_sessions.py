"""TLS sessions that are resumed: with whom, how often, for how long, and what a failure of it means."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.client import TlsPolicy
from posthouse.client import tls_policy as module
from posthouse.core import CertificateRefused
from posthouse.net.tls_engine import Resumable

from .secured_peers import NAME, Connection, Pair, deliver, pair, serving, transaction

KINDS = pytest.mark.parametrize("kind", ["asyncio", "blocking"])
VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name
)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("right"), NAME, "other.example")


def host(own: Pair, reused: list[bool], *, implicit: bool = False) -> Callable[[Connection], None]:
    """A server that notes of each connection whether its TLS session was resumed."""

    def script(connection: Connection) -> None:
        if not implicit:
            connection.say(b"220 hello\r\n")
            connection.expect(b"EHLO")
            connection.say(b"250-there\r\n250 STARTTLS\r\n")
            connection.expect(b"STARTTLS")
            connection.say(b"220 go\r\n")
        connection.handshake(own.server)
        assert isinstance(connection.sock, ssl.SSLSocket)
        reused.append(bool(connection.sock.session_reused))
        if implicit:
            connection.say(b"220 hello\r\n")
        connection.expect(b"EHLO")
        connection.say(b"250 there\r\n")
        transaction(connection)

    return script


def seen(session: Any) -> Any:
    info = session.tls
    return info.version, info.verified, info.peer, info.certificate


@KINDS
@VERSIONS
@pytest.mark.parametrize("mode", ["opportunistic", "require", "verify", "implicit"])
def test_the_next_connection_with_a_host_resumes_and_knows_the_same(
    kind: str, version: ssl.TLSVersion, mode: str, right: Pair
) -> None:
    reused: list[bool] = []
    policy = TlsPolicy(mode, ca=right.ca)
    policy.context().maximum_version = version
    with serving(host(right, reused, implicit=mode == "implicit")) as server:
        found = [deliver(kind, server.port, seen, tls=policy) for _ in range(3)]
    assert reused == [False, True, True]
    assert found[0] == found[1] == found[2]
    assert found[0][2].names == (NAME, "other.example")


@KINDS
@VERSIONS
@pytest.mark.parametrize("other", ["name", "policy", "port"])
def test_another_name_policy_or_port_shares_none(kind: str, version: ssl.TLSVersion, other: str, right: Pair) -> None:
    """A resumed handshake checks no name and no chain."""
    reused: list[bool] = []
    policies = [TlsPolicy("verify", ca=right.ca) for _ in range(2)]
    for policy in policies:
        policy.context().maximum_version = version
    names = [NAME, "other.example" if other == "name" else NAME]
    with serving(host(right, reused)) as server, serving(host(right, reused)) as second:
        ports = [server.port, second.port if other == "port" else server.port]
        for turn in (0, 1):
            policy = policies[turn if other == "policy" else 0]
            deliver(kind, ports[turn], name=names[turn], tls=policy)
    assert reused == [False, False]


@KINDS
def test_a_name_that_the_certificate_does_not_have_is_refused_although_there_is_a_session(
    kind: str, right: Pair
) -> None:
    policy = TlsPolicy("verify", ca=right.ca)
    with serving(host(right, [])) as server:
        deliver(kind, server.port, tls=policy)
        with pytest.raises(CertificateRefused, match=r"not for third\.example"):
            deliver(kind, server.port, name="third.example", tls=policy)


def test_a_session_is_given_once_and_not_for_long() -> None:
    policy = TlsPolicy("require")
    kept = Resumable(None, None)  # type: ignore[arg-type]
    policy.keep_session("MX.test.", 25, 0.0, kept)
    assert policy.has_session("mx.test", 25)
    assert policy.take_session("mx.test", 25, 1.0) is kept
    assert policy.take_session("mx.test", 25, 1.0) is None
    policy.keep_session("mx.test", 25, 0.0, kept)
    assert policy.take_session("mx.test", 25, module._SESSION_SECONDS) is None
    assert not policy.has_session("mx.test", 25)


def test_as_many_sessions_are_kept_as_a_policy_may_have() -> None:
    policy = TlsPolicy("require")
    kept = Resumable(None, None)  # type: ignore[arg-type]
    for number in range(2 * module._MOST_SESSIONS):
        policy.keep_session(f"mx{number}.test", 25, 0.0, kept)
    held = [number for number in range(2 * module._MOST_SESSIONS) if policy.has_session(f"mx{number}.test", 25)]
    assert held == list(range(module._MOST_SESSIONS, 2 * module._MOST_SESSIONS))


@KINDS
def test_a_host_that_forgets_its_keys_gets_a_whole_handshake(kind: str, tmp_path: Path) -> None:
    own = [pair(tmp_path), pair(tmp_path)]
    reused: list[bool] = []
    policy = TlsPolicy("require")
    with serving(lambda connection: host(own[len(reused)], reused)(connection)) as server:
        for _ in range(2):
            version, *_ = deliver(kind, server.port, seen, tls=policy)
    assert reused == [False, False]
    assert version == "TLSv1.3"
