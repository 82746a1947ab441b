"""Revocation lists (RFC 5280 §5) beside the certificates that a client trusts."""

from __future__ import annotations

import datetime
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from posthouse.core import CertificateRefused
from posthouse.net.tls_context import client_context
from posthouse.net.tls_engine import TlsEngine, TlsState

from .test_tls import NAME, shake


def revocations(authority: trustme.CA, *numbers: int, days: tuple[int, int] = (-1, 30)) -> bytes:
    """A revocation list of ``authority`` with these serial numbers, in force between two days from now."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    first, last = (now + datetime.timedelta(days=each) for each in days)
    made = x509.CertificateRevocationListBuilder(issuer.subject, first, last)
    for number in numbers:
        revoked = x509.RevokedCertificateBuilder(number, now - datetime.timedelta(hours=1)).build()
        made = made.add_revoked_certificate(revoked)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Chain(NamedTuple):
    """A root, an authority that it has issued, and the server's certificate."""

    root: trustme.CA
    middle: trustme.CA
    leaf: trustme.LeafCert

    @property
    def number(self) -> int:
        return x509.load_pem_x509_certificate(self.leaf.cert_chain_pems[0].bytes()).serial_number

    @property
    def middle_number(self) -> int:
        return x509.load_pem_x509_certificate(self.middle.cert_pem.bytes()).serial_number


@pytest.fixture
def chain() -> Chain:
    root = trustme.CA()
    middle = root.create_child_ca()
    return Chain(root, middle, middle.issue_cert(NAME))


LISTS: dict[str, tuple[Callable[[Chain], bytes], str]] = {
    "of others": (lambda it: revocations(it.root, 1) + revocations(it.middle, 2), ""),
    "its own": (
        lambda it: revocations(it.root) + revocations(it.middle, it.number),
        "of .* or one that issued it has been revoked",
    ),
    "its issuer's": (
        lambda it: revocations(it.root, it.middle_number) + revocations(it.middle),
        "or one that issued it has been revoked",
    ),
    "missing": (lambda it: revocations(it.root), "the revocation list of an issuer is missing"),
    "old": (
        lambda it: revocations(it.root) + revocations(it.middle, days=(-9, -2)),
        "the revocation list of an issuer is out of date; .*put the newest list",
    ),
    "of tomorrow": (
        lambda it: revocations(it.root) + revocations(it.middle, days=(1, 9)),
        "the revocation list of an issuer is not in force yet",
    ),
}


def hashed(folder: Path, blob: bytes) -> Path:
    """A folder in which OpenSSL finds each certificate and list under the hash of its subject or issuer."""
    folder.mkdir()
    for each in re.findall(rb"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----\n", blob, re.DOTALL):
        command, letter = ("crl", "r") if b"CRL" in each else ("x509", "")
        asked = ["openssl", command, "-hash", "-noout"]
        name = subprocess.run(asked, input=each, capture_output=True, check=True, timeout=60).stdout.decode()
        (folder / f"{name.strip()}.{letter}0").write_bytes(each)
    return folder


FOLDER = pytest.param(True, marks=pytest.mark.system("openssl", "openssl"), id="folder")


@pytest.mark.parametrize("which", LISTS)
@pytest.mark.parametrize("in_folder", [pytest.param(False, id="file"), FOLDER])
def test_revocation_lists_beside_the_trusted_certificates_are_kept(
    which: str, in_folder: bool, chain: Chain, tmp_path: Path
) -> None:
    lists, words = LISTS[which]
    trusted = chain.root.cert_pem.bytes() + lists(chain)
    ca = hashed(tmp_path / "trusted", trusted) if in_folder else tmp_path / "ca.pem"
    if not in_folder:
        ca.write_bytes(trusted)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain.leaf.configure_cert(server)
    near = TlsEngine(client_context(ca=str(ca)), server_side=False, peer="h", server_name=NAME)
    far = TlsEngine(server, server_side=True, peer="c")
    if not words:
        shake(near, far)
        assert near.state is TlsState.OPEN
        return
    with pytest.raises(CertificateRefused, match=words):
        shake(near, far)


def test_without_a_list_nothing_is_asked_of_one(chain: Chain, tmp_path: Path) -> None:
    chain.root.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert not client_context(ca=str(tmp_path / "ca.pem")).verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN
    assert client_context().verify_flags == client_context(ca=str(tmp_path / "ca.pem")).verify_flags
