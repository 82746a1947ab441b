"""Reasons why a certificate is refused: every one that holds, in words, with the way out."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from posthouse.core import CertificateRefused
from posthouse.net.peer_certificate import PeerCertificate, faults_of
from posthouse.net.tls_context import client_context, server_context
from posthouse.net.tls_engine import TlsEngine

NAME = "mx.example.net"
EARLY, LATE = datetime(2026, 1, 2, tzinfo=UTC), datetime(2036, 1, 2, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def certificate(*names: str, start: datetime = EARLY, end: datetime = LATE) -> PeerCertificate:
    return PeerCertificate("subject", names, "An Issuer", start, end, "00" * 32)


@pytest.mark.parametrize(
    ("names", "host", "right"),
    [
        ((NAME,), NAME, True),
        ((NAME.upper(),), NAME, True),
        ((NAME,), f"{NAME}.", True),
        (("*.example.net",), NAME, True),
        (("*.EXAMPLE.net",), NAME, True),
        (("*.example.net",), "a.mx.example.net", False),
        (("*.example.net",), "example.net", False),
        (("*.net",), "example.net", False),
        (("m*.example.net",), NAME, False),
        (("*",), NAME, False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("0:0:0:0:0:0:0:1",), "::1", True),
        (("*.0.2.1",), "192.0.2.1", False),
        ((), NAME, False),
    ],
)
def test_the_names_of_a_certificate(names: tuple[str, ...], host: str, right: bool) -> None:
    assert certificate(*names).is_for(host) is right


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        (certificate(NAME), []),
        (certificate("other.example"), ["is for other.example, not for mx.example.net"]),
        (certificate(), ["is for no name at all, not for mx.example.net"]),
        (
            certificate(*"abcdefg", end=EARLY),
            ["is for a, b, c, d, e and 2 more, not for mx.example.net", "expired on 2026-01-02"],
        ),
        (certificate(NAME, start=LATE), ["is not valid before 2036-01-02"]),
    ],
)
def test_what_the_text_of_a_certificate_shows(found: PeerCertificate, reasons: list[str]) -> None:
    assert faults_of(found, NAME, NOW) == reasons
    assert faults_of(certificate("x"), "", NOW) == []


def refused(folder: Path, authority: trustme.CA, ca: str, *names: str, **options: object) -> CertificateRefused:
    """The error of a client that verifies ``NAME``."""
    made = authority.issue_cert(*names, **options)  # type: ignore[arg-type]
    made.private_key_and_cert_chain_pem.write_to_path(str(folder / "pair.pem"))
    server = TlsEngine(server_context(str(folder / "pair.pem")), server_side=True, peer="client")
    client = TlsEngine(client_context(ca=ca), server_side=False, peer=NAME, server_name=NAME)
    server.start()
    server.receive(client.start())
    with pytest.raises(CertificateRefused) as caught:
        client.receive(server.pending())
    return caught.value


def test_every_reason_that_holds_is_told_with_the_way_out(tmp_path: Path) -> None:
    """OpenSSL stops at the first: an operator would mend one a day."""
    authority, other = trustme.CA(organization_name="An Issuer"), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    trusted, untrusted = str(tmp_path / "ca.pem"), str(tmp_path / "other.pem")
    error = refused(tmp_path, authority, untrusted, "other.example", not_after=EARLY)
    assert error.reasons[:2] == ("is for other.example, not for mx.example.net", "expired on 2026-01-02")
    assert error.reasons[2].endswith("which leads to no issuer that is trusted here")
    for way_out in ("name the host as its certificate does", "its operator must renew it", "trust its issuer with ca="):
        assert way_out in str(error)
    error = refused(tmp_path, authority, trusted, "other.example", not_after=EARLY)
    assert len(error.reasons) == 2
    assert "; issued by " in str(error)
    assert "An Issuer" in str(error)
    assert refused(tmp_path, authority, trusted, NAME, not_after=EARLY).reasons == ("expired on 2026-01-02",)
    assert refused(tmp_path, authority, trusted, "other.example").reasons == (
        "is for other.example, not for mx.example.net",
    )


def test_a_certificate_cannot_control_a_terminal(tmp_path: Path) -> None:
    authority = trustme.CA(organization_name="An\x1b[2JIssuer" + "x" * 40)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    error = refused(tmp_path, authority, str(tmp_path / "ca.pem"), "other.example")
    assert "\x1b" not in str(error)
    assert "An?[2JIssuer" in str(error)


def test_the_settings_of_a_client_are_the_same_on_every_python() -> None:
    """Python 3.13 changed its defaults."""
    context = client_context()
    assert context.verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
