"""Certificates in sending sessions: the name that is asked for, what this side shows, and what is accepted, the same on
every Python version."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from posthouse.client import TlsPolicy
from posthouse.core import CertificateRefused, PosthouseError, Result, TimedOut

from .secured_peers import LIMITS, NAME, Connection, Pair, certificate_files, deliver, pair, serving, transaction

KINDS = pytest.mark.parametrize("kind", ["asyncio", "blocking"])


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("right"))


def inside(context: ssl.SSLContext, serve: Any = transaction) -> Any:
    """A script with implicit TLS."""

    def script(connection: Connection) -> None:
        connection.handshake(context)
        connection.say(b"220 hello\r\n")
        connection.expect(b"EHLO")
        connection.say(b"250 there\r\n")
        serve(connection)

    return script


# Rude ends (RFC 8446 §6.1)


@KINDS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
@pytest.mark.parametrize("after", [b"content", b"QUIT"])
@pytest.mark.parametrize("reset", [False, True])
def test_an_end_without_close_notify_after_the_reply_is_no_fault(
    kind: str, version: ssl.TLSVersion, after: bytes, reset: bool, right: Pair
) -> None:
    """T13: what counts is the reply, and not how the channel ends."""

    def serve(connection: Connection) -> None:
        while True:
            line = connection.line()
            if line == b"DATA":
                connection.say(b"354 go\r\n")
                while connection.line() != b".":
                    pass
                connection.say(b"250 2.0.0 kept\r\n")
                if after == b"content":
                    break
            elif line == b"QUIT":
                connection.say(b"221 bye\r\n")
                break
            else:
                connection.say(b"250 ok\r\n")
        if reset:
            connection.sock.recv(1)  # the QUIT or the end of the client: its octets are not lost by the reset
            connection.reset()

    tls = TlsPolicy("implicit", ca=right.ca)
    tls.context().maximum_version = version
    with serving(inside(right.server, serve)) as server:
        (outcome,) = deliver(kind, server.port, tls=tls)
    assert outcome.result is Result.DELIVERED


# The name


@KINDS
@pytest.mark.parametrize("name", ["mx.example.net.", "MX.example.net", "mx.example.net"])
def test_a_host_name_is_asked_for_without_its_final_dot(kind: str, name: str, tmp_path: Path) -> None:
    """T22 (RFC 6066 §3), and T23: the certificate must have the name of the host, given or with a wildcard."""
    asked: list[str | None] = []
    found = pair(tmp_path, "*.example.net")
    found.server.sni_callback = lambda tls, asked_for, context: asked.append(asked_for)
    with serving(inside(found.server)) as server:
        deliver(kind, server.port, name=name, tls=TlsPolicy("implicit", ca=found.ca))
    assert [each and each.lower() for each in asked] == [NAME]


@KINDS
def test_another_name_may_be_verified(kind: str, tmp_path: Path) -> None:
    found = pair(tmp_path, "other.example")
    with serving(inside(found.server)) as server:
        policy = TlsPolicy("implicit", ca=found.ca, name="other.example")
        assert deliver(kind, server.port, lambda session: session.tls.verified, tls=policy)


@KINDS
def test_an_ip_address_is_verified_as_one(kind: str, tmp_path: Path, right: Pair) -> None:
    found = pair(tmp_path, "127.0.0.1")
    with serving(inside(found.server)) as server:
        assert deliver(kind, server.port, lambda session: session.tls.verified, name="", tls=policy_of(found))
    with (
        serving(inside(right.server)) as server,
        pytest.raises(CertificateRefused, match=r"is for mx\.example\.net, not for 127\.0\.0\.1"),
    ):
        deliver(kind, server.port, name="", tls=policy_of(right))


def policy_of(found: Pair) -> TlsPolicy:
    return TlsPolicy("implicit", ca=found.ca)


@KINDS
def test_without_the_check_it_is_still_tls(kind: str, tmp_path: Path) -> None:
    """T24."""
    found = pair(tmp_path, "other.example")
    with serving(inside(found.server)) as server:
        (outcome,) = deliver(kind, server.port, tls=TlsPolicy("implicit", verify=False))
    assert outcome.result is Result.DELIVERED
    assert server.clear == b""


# What this side shows


@KINDS
@pytest.mark.parametrize("configured", [False, True])
def test_a_client_certificate_is_shown_only_if_it_is_configured(kind: str, configured: bool, tmp_path: Path) -> None:
    """T25."""
    authority = trustme.CA()
    found = pair(tmp_path, NAME, authority=authority)
    found.server.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(found.server)
    shown: list[Any] = []

    def serve(connection: Connection) -> None:
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown.append(connection.sock.getpeercert())
        transaction(connection)

    _, certificate, key = certificate_files(tmp_path, "client.example", authority=authority)
    own = {"certificate": certificate, "key": key} if configured else {}
    with serving(inside(found.server, serve)) as server:
        deliver(kind, server.port, tls=TlsPolicy("implicit", ca=found.ca, **own))
    assert bool(shown[0]) is configured


@KINDS
def test_a_server_that_insists_on_a_client_certificate_is_named(kind: str, tmp_path: Path) -> None:
    found = pair(tmp_path, NAME)
    found.server.verify_mode = ssl.CERT_REQUIRED
    with (
        serving(inside(found.server)) as server,
        pytest.raises(PosthouseError, match="asks for a client certificate, and none is configured"),
    ):
        deliver(kind, server.port, tls=policy_of(found))


# The same verdict on every Python version


def issued(folder: Path, *, critical: bool, key_ids: bool, ca: bool = True) -> Pair:
    """A chain whose authority lacks what strict checks ask for."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("an authority", NAME)]
    now = datetime.now(UTC)

    def builder(number: int) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        made = made.public_key(keys[number].public_key()).serial_number(number + 1)
        return made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))

    root = builder(0).add_extension(x509.BasicConstraints(ca, None), critical=critical)
    leaf = builder(1).add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    if key_ids:
        root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key()), critical=False)
        leaf = leaf.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
        )
    pem = [each.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.PEM) for each in (root, leaf)]
    (folder / "root.pem").write_bytes(pem[0])
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "leaf.pem").write_bytes(pem[1] + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return Pair(context, str(folder / "root.pem"))


@KINDS
@pytest.mark.parametrize(("critical", "key_ids"), [(False, True), (True, False), (False, False)])
def test_a_chain_that_only_strict_checks_refuse_is_accepted(
    kind: str, critical: bool, key_ids: bool, tmp_path: Path
) -> None:
    """T32: Python 3.13 made VERIFY_X509_STRICT its default; here the flags are those of this project."""
    found = issued(tmp_path, critical=critical, key_ids=key_ids)
    policy = policy_of(found)
    assert not policy.context().verify_flags & ssl.VERIFY_X509_STRICT
    with serving(inside(found.server)) as server:
        assert deliver(kind, server.port, lambda session: session.tls.verified, tls=policy)
    policy.context().verify_flags |= ssl.VERIFY_X509_STRICT
    with serving(inside(found.server)) as server, pytest.raises(CertificateRefused, match="breaks a rule"):
        deliver(kind, server.port, tls=policy)


@KINDS
def test_a_flaw_that_is_refused_is_named(kind: str, tmp_path: Path) -> None:
    found = issued(tmp_path, critical=True, key_ids=True, ca=False)
    with (
        serving(inside(found.server)) as server,
        pytest.raises(CertificateRefused, match=r"\(invalid CA certificate\)"),
    ):
        deliver(kind, server.port, tls=policy_of(found))


# Out of step


@KINDS
def test_a_reply_that_comes_too_late_is_never_read_as_another(kind: str) -> None:
    """C11: the session ends at the time limit, and its connection with it."""

    def script(connection: Connection) -> None:
        connection.say(b"220 hello\r\n")
        connection.expect(b"EHLO")
        connection.rest()  # the client goes
        connection.say(b"250 there\r\n")

    with serving(script) as server, pytest.raises(TimedOut, match="no answer to EHLO within"):
        deliver(kind, server.port, timeouts=LIMITS._replace(command=0.2))
    assert server.clear == b"EHLO client.example\r\n"
