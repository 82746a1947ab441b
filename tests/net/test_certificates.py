"""Certificates of a server: the choice by name, a renewal under a running server, and a self-made one."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

import pytest
import trustme

from posthouse.core import SettingError, TlsFailed
from posthouse.net.certificates import LOOK_AGAIN, Certificates, KeyPair, make_self_signed, open_to_all, read_facts
from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import Resumable, TlsEngine, TlsInfo, TlsState

from .test_tls import issue, shake

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def made(authority: trustme.CA, folder: Path, *names: str) -> KeyPair:
    folder.mkdir()
    files = issue(authority, folder, *names)
    return KeyPair(files.certificate, files.key)


def shown(certificates: Certificates, ca: str, name: str, now: float = 0.0) -> bytes:
    """The certificate that a client gets that asks for ``name``, verified."""
    client = TlsEngine(client_context(ca=ca), server_side=False, peer="h", server_name=name)
    server = TlsEngine(certificates.context(now), server_side=True, peer="c")
    shake(client, server)
    assert client.state is TlsState.OPEN
    assert client.info is not None
    assert server.info is not None
    assert server.info.server_name == name
    assert client.info.certificate is not None
    return client.info.certificate


def test_each_name_has_its_certificate_and_the_first_is_for_the_rest(authority: trustme.CA, tmp_path: Path) -> None:
    first = made(authority, tmp_path / "a", "mx.example.net")
    second = made(authority, tmp_path / "b", "mail.example.org", "*.shop.example.org")
    certificates = Certificates([first, second])
    ca = str(tmp_path / "a" / "ca.pem")
    ours = shown(certificates, ca, "mx.example.net")
    theirs = shown(certificates, ca, "mail.example.org")
    assert ours != theirs
    assert shown(certificates, ca, "x.shop.example.org") == theirs
    # Any other name gets the first, which such a client then refuses.
    for name in ("a.x.shop.example.org", "other.test"):
        client = TlsEngine(client_context(verify=False), server_side=False, peer="h", server_name=name)
        shake(client, TlsEngine(certificates.context(0), server_side=True, peer="c"))
        assert client.info is not None
        assert client.info.certificate == ours


def test_renewed_files_serve_new_handshakes(authority: trustme.CA, tmp_path: Path) -> None:
    """As renewal tools do it: the names are links to links, which are moved to a new folder."""
    for folder in ("1", "2"):
        made(authority, tmp_path / folder, "mx.example.net")
    (tmp_path / "live").symlink_to("1")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).symlink_to(f"live/{name}")
    certificates = Certificates([KeyPair(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))])
    ca = str(tmp_path / "1" / "ca.pem")
    before = shown(certificates, ca, "mx.example.net")
    (tmp_path / "new").symlink_to("2")
    os.replace(tmp_path / "new", tmp_path / "live")
    assert shown(certificates, ca, "mx.example.net", LOOK_AGAIN / 2) == before, "it looks every 10 s, not every time"
    assert shown(certificates, ca, "mx.example.net", LOOK_AGAIN) != before


def test_half_a_renewal_changes_nothing_and_is_tried_again(authority: trustme.CA, tmp_path: Path) -> None:
    pair = made(authority, tmp_path / "now", "mx.example.net")
    made(authority, tmp_path / "next", "mx.example.net")
    problems: list[str] = []
    certificates = Certificates([pair], on_problem=problems.append)
    ca = str(tmp_path / "now" / "ca.pem")
    before = shown(certificates, ca, "mx.example.net")
    shutil.copy(tmp_path / "next" / "cert.pem", tmp_path / "now" / "cert.pem")
    for look in (1, 2):
        assert shown(certificates, ca, "mx.example.net", look * LOOK_AGAIN) == before
    assert len(problems) == 1, "one warning for one change"
    assert "does not belong" in problems[0]
    shutil.copy(tmp_path / "next" / "key.pem", tmp_path / "now" / "key.pem")
    assert shown(certificates, ca, "mx.example.net", 3 * LOOK_AGAIN) != before


def test_a_pair_that_does_not_fit_at_the_start_is_an_error(authority: trustme.CA, tmp_path: Path) -> None:
    first = made(authority, tmp_path / "a", "mx.example.net")
    second = made(authority, tmp_path / "b", "mx.example.net")
    with pytest.raises(SettingError, match="does not belong"):
        Certificates([KeyPair(first.certificate, second.key)])
    with pytest.raises(SettingError, match="needs a certificate"):
        Certificates([])


def test_a_self_made_certificate_passes_strict_checks(tmp_path: Path) -> None:
    import time

    names = ["mx.example.net", "127.0.0.1"]
    pair, made = make_self_signed(names, tmp_path / "tls", time.time())
    assert made
    assert make_self_signed(names, tmp_path / "tls", time.time()) == (pair, False)
    assert os.stat(pair.certificate).st_mode & 0o777 == 0o600
    facts = read_facts(pair.certificate)
    assert facts.names == ("mx.example.net", "127.0.0.1")
    assert facts.self_signed
    assert facts.chain == 1
    assert not facts.expires_within(21, time.time())
    assert facts.expires_within(4_000, time.time())
    strict = client_context(ca=pair.certificate)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    client = TlsEngine(strict, server_side=False, peer="h", server_name="mx.example.net")
    shake(client, TlsEngine(Certificates([pair]).context(0), server_side=True, peer="c"))
    assert client.info is not None
    assert client.info.verified


def test_of_several_broken_pairs_each_is_warned_about_once(authority: trustme.CA, tmp_path: Path) -> None:
    pairs = [made(authority, tmp_path / name, f"{name}.example.net") for name in ("a", "b")]
    problems: list[str] = []
    certificates = Certificates(pairs, on_problem=problems.append)
    for pair in pairs:
        Path(pair.certificate).write_text("not a certificate")
    for _ in range(4):
        assert not certificates.reload()
    assert len(problems) == 2


def test_a_name_of_its_own_comes_before_a_wildcard_of_an_earlier_pair(authority: trustme.CA, tmp_path: Path) -> None:
    wildcard = made(authority, tmp_path / "a", "*.example.net", "xn--bcher-kva.example")
    exact = made(authority, tmp_path / "b", "mx.example.net")
    certificates = Certificates([wildcard, exact])
    ca = str(tmp_path / "a" / "ca.pem")
    (ours, _), (_, theirs) = [(each, each) for _, each in certificates.facts()]
    assert ours.names_host("MX.example.net.")
    assert ours.names_host("xn--bcher-kva.example")
    assert theirs.names == ("mx.example.net",)
    assert shown(certificates, ca, "mx.example.net") != shown(certificates, ca, "other.example.net")
    assert shown(certificates, ca, "xn--bcher-kva.example") == shown(certificates, ca, "other.example.net")


def test_a_client_without_sni_gets_the_first(authority: trustme.CA, tmp_path: Path) -> None:
    first = made(authority, tmp_path / "a", "mx.example.net")
    second = made(authority, tmp_path / "b", "mail.example.org")
    certificates = Certificates([first, second])
    client = TlsEngine(client_context(verify=False), server_side=False, peer="h")
    shake(client, TlsEngine(certificates.context(0), server_side=True, peer="c"))
    assert client.info is not None
    assert client.info.certificate == shown(certificates, str(tmp_path / "a" / "ca.pem"), "mx.example.net")


def test_rights_that_are_granted_later_are_noticed(authority: trustme.CA, tmp_path: Path) -> None:
    """chmod changes neither the time of the content nor its size."""
    pair = made(authority, tmp_path / "a", "mx.example.net")
    certificates = Certificates([pair])
    os.chmod(pair.key, 0o640)
    assert certificates.reload()
    assert not certificates.reload()


def weak_pair(folder: Path, bits: int) -> KeyPair:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65_537, bits)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.example.net")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "weak.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return KeyPair(str(folder / "weak.pem"))


def test_a_short_key_is_refused_whatever_openssl_would_allow(tmp_path: Path) -> None:
    pair = weak_pair(tmp_path, 1_024)
    assert read_facts(pair.certificate).weakness == "the certificate's key is too short (1024 bits)"
    with pytest.raises(SettingError, match=r"key is too short.*; use RSA of 2,048 bits or more, or P-256"):
        Certificates([pair])


def test_a_key_that_every_user_may_read_is_named(authority: trustme.CA, tmp_path: Path) -> None:
    pair = made(authority, tmp_path / "a", "mx.example.net")
    os.chmod(pair.key, 0o600)
    assert open_to_all(pair.key) == ""
    os.chmod(pair.key, 0o644)
    closed = any(not os.stat(each).st_mode & 0o001 for each in Path(pair.key).parents)
    said = open_to_all(pair.key)  # within a closed folder nobody else gets at it
    assert said == ("" if closed else f"every user of this machine may read the key {pair.key}; {said.split('; ')[1]}")


@pytest.mark.system("openssl", "openssl")
def test_openssl_itself_finds_nothing_wrong_with_a_self_made_certificate(tmp_path: Path) -> None:
    import subprocess
    import time

    names = ["mx.example.net", "::1"]
    pair, _ = make_self_signed(names, tmp_path / "tls", time.time())
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-verify_hostname", names[0], "-CAfile", *([pair.certificate] * 2)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith(": OK\n"), done.stdout + done.stderr
    assert done.returncode == 0


def test_an_issuer_that_is_taken_out_of_the_file_counts_no_more(authority: trustme.CA, tmp_path: Path) -> None:
    """Neither in a new handshake, nor in one that would resume a session from before."""
    other = trustme.CA()
    pair = made(authority, tmp_path / "a", "h")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.cert_pem.bytes() + other.cert_pem.bytes())
    certificates = Certificates([pair], client_ca=str(trusted))
    settings = client_context(ca=str(tmp_path / "a" / "ca.pem"))
    other.issue_cert("ann@example.org").configure_cert(settings)

    def verified(now: float, resumed: Resumable | None = None) -> tuple[bool, Resumable | None]:
        client = TlsEngine(settings, server_side=False, peer="h", server_name="h", resumed=resumed)
        server = TlsEngine(certificates.context(now), server_side=True, peer="c")
        try:
            shake(client, server)
            client.read(1)  # the tickets
        except TlsFailed:
            return False, None
        return server.info is not None and server.info.verified, client.resumable()

    known, session = verified(0.0)
    assert known
    assert session is not None
    assert verified(1.0, session)[0]
    trusted.write_bytes(authority.cert_pem.bytes())
    assert verified(LOOK_AGAIN, session) == (False, None)
    assert verified(LOOK_AGAIN) == (False, None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_bound_to_the_certificate_that_the_client_has_seen(
    authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Resumed under its own name, a session has that name's certificate, whichever is the listener's first.  Under
    another name OpenSSL resumes it too; with TLS 1.2 (against RFC 6066 §3) it is the session of its own name then."""
    pairs = [made(authority, tmp_path / name, name) for name in ("a.test", "b.test")]
    certificates = Certificates(pairs)
    settings = client_context(ca=str(tmp_path / "a.test" / "ca.pem"))
    settings.check_hostname = False
    settings.maximum_version = version

    def talk(name: str, resumed: Resumable | None = None) -> tuple[TlsInfo, Resumable | None]:
        client = TlsEngine(settings, server_side=False, peer="h", server_name=name, resumed=resumed)
        server = TlsEngine(certificates.context(0.0), server_side=True, peer="c")
        shake(client, server)
        client.read(1)  # the tickets
        assert client._tls.session_reused is (resumed is not None)
        assert server.info is not None
        return server.info, client.resumable()

    for own, other in (("a.test", "b.test"), ("b.test", "a.test")):
        first, session = talk(own)
        again, _ = talk(own, session)
        assert (again.server_name, again.end_point) == (own, first.end_point)
        crossed, _ = talk(other, session)
        assert (crossed.end_point == first.end_point) is (version is ssl.TLSVersion.TLSv1_2)
        assert not crossed.verified


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_at_no_listener_with_another_policy(
    authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A client that one listener has verified is unknown to another, which trusts other issuers or none."""
    pair = made(authority, tmp_path / "a", "h")
    ours, theirs = trustme.CA(), trustme.CA()
    for name, each in (("ours", ours), ("theirs", theirs)):
        each.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    settings = client_context(ca=str(tmp_path / "a" / "ca.pem"))
    settings.maximum_version = version
    ours.issue_cert("ann@example.org").configure_cert(settings)

    def verified(certificates: Certificates, resumed: Resumable | None = None) -> tuple[bool, bool, Resumable | None]:
        client = TlsEngine(settings, server_side=False, peer="h", server_name="h", resumed=resumed)
        server = TlsEngine(certificates.context(0.0), server_side=True, peer="c")
        try:
            shake(client, server)
            client.read(1)  # the tickets
        except TlsFailed:
            return False, False, None
        assert server.info is not None
        return server.info.verified, bool(client._tls.session_reused), client.resumable()

    is_known, _, session = verified(Certificates([pair], client_ca=str(tmp_path / "ours.pem")))
    assert is_known
    assert session is not None
    for other in (Certificates([pair]), Certificates([pair], client_ca=str(tmp_path / "theirs.pem"))):
        assert verified(other, session)[:2] == (False, False)
