"""Certificates of a server: chosen by the name that the client asks for, and read again when their files change.

A renewal tool replaces two files, certificate and key, and not in one instant.  So a pair is loaded into a new context,
which fails if the two do not belong together; then the pair before it keeps serving, and the next look tries again.
Sessions that are open keep what they have.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from posthouse.core import SettingError
from posthouse.net.tls_context import BoundContext, server_context
from posthouse.net.tls_engine import end_point_of

__all__ = [
    "CertificateFacts",
    "Certificates",
    "KeyPair",
    "LOOK_AGAIN",
    "SELF_SIGNED",
    "WARN_DAYS",
    "make_self_signed",
    "read_facts",
]

#: Seconds between two looks at the files.
LOOK_AGAIN: Final = 10.0
#: The name of the file that ``make_self_signed`` makes.
SELF_SIGNED: Final = "self-signed.pem"
#: Days before its end from which a certificate is warned about.
WARN_DAYS: Final = 21


class KeyPair(NamedTuple):
    """The files of a certificate, with its chain, and of its key."""

    certificate: str
    key: str = ""


class CertificateFacts(NamedTuple):
    """What a person wants to know of a certificate: the names it is for, its issuer, its first and last second (Unix
    time), how many certificates stand in the file, and whether it signed itself."""

    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    chain: int
    self_signed: bool

    def expires_within(self, days: float, now: float) -> bool:
        """Whether it ends within ``days`` from ``now``, or has ended."""
        return self.not_after - now < days * 86_400


class _Loaded(NamedTuple):
    pair: KeyPair
    context: BoundContext
    facts: CertificateFacts
    stamp: tuple[tuple[int, int, int], ...]


class Certificates:
    """The certificates of one or several listeners; the first pair serves every name that no other has.

    ``on_problem`` is called with a sentence when a changed pair cannot be used, once for each change.  Raises
    SettingError if a pair cannot be used at the start.
    """

    def __init__(
        self,
        pairs: Sequence[KeyPair],
        *,
        client_ca: str = "",
        on_problem: Callable[[str], object] | None = None,
    ) -> None:
        if not pairs:
            raise SettingError("TLS needs a certificate", remedy="write tls_cert and tls_key")
        self._client_ca = client_ca
        self._on_problem = on_problem
        self._complained: tuple[tuple[int, int, int], ...] | None = None
        self._looked = float("-inf")
        self._loaded = [self._load(pair) for pair in pairs]

    def context(self, now: float) -> ssl.SSLContext:
        """The context for a new connection; ``now`` is monotonic.  Looks at the files at most every 10 seconds."""
        if now - self._looked >= LOOK_AGAIN:
            self._looked = now
            self.reload()
        return self._loaded[0].context

    def facts(self) -> list[tuple[KeyPair, CertificateFacts]]:
        """What is served now."""
        return [(each.pair, each.facts) for each in self._loaded]

    def reload(self) -> bool:
        """Load the pairs whose files have changed; True if one is new."""
        changed = False
        for index, each in enumerate(self._loaded):
            stamp = _stamp(each.pair)
            if stamp in (each.stamp, self._complained):
                continue
            try:
                self._loaded[index] = self._load(each.pair)
                changed = True
            except SettingError as error:
                self._complained = stamp
                if self._on_problem is not None:
                    self._on_problem(
                        f"{error}; the certificate before it stays in use, and the files are looked at again"
                    )
        return changed

    def _load(self, pair: KeyPair) -> _Loaded:
        stamp = _stamp(pair)
        context = server_context(pair.certificate, pair.key, client_ca=self._client_ca)
        facts = read_facts(pair.certificate)
        if stamp != _stamp(pair):  # replaced while it was read
            raise SettingError("the file changed while it was read", where=pair.certificate, remedy="try again")
        # For channel binding.
        context.end_point = end_point_of(_first_certificate(pair.certificate))
        context.sni_callback = self._choose
        return _Loaded(pair, context, facts, stamp)

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL asks for the context of ``name``."""
        if name:
            connection.posthouse_server_name = name  # type: ignore[attr-defined]
            wanted = name.lower().rstrip(".")
            for each in self._loaded:
                if any(_covers(pattern, wanted) for pattern in each.facts.names):
                    if each.context is not context:
                        connection.context = each.context
                    return


def _first_certificate(path: str) -> bytes:
    """The first certificate of a PEM file, in DER."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.index(begin)
    return ssl.PEM_cert_to_DER_cert(text[start : text.index(end, start) + len(end)])


def _covers(pattern: str, name: str) -> bool:
    """RFC 9525 §6.3: a wildcard stands for one whole label, the first."""
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def _stamp(pair: KeyPair) -> tuple[tuple[int, int, int], ...]:
    """What changes when a file, or a link to it, is replaced."""
    stamps = []
    for path in (pair.certificate, pair.key or pair.certificate):
        try:
            found = os.stat(path)
            stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
        except OSError:
            stamps.append((0, 0, 0))
    return tuple(stamps)


def read_facts(path: str) -> CertificateFacts:
    """The facts of the first certificate in a PEM file.  Raises SettingError."""
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise SettingError("it holds no certificate", where=path, remedy="write the path of a PEM file") from error
    first = chain[0]
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [each.lower() for each in names.get_values_for_type(x509.DNSName)]
        found += [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    except (x509.ExtensionNotFound, ValueError):
        found = []
    return CertificateFacts(
        names=tuple(found),
        issuer=first.issuer.rfc4514_string(),
        not_before=first.not_valid_before_utc.timestamp(),
        not_after=first.not_valid_after_utc.timestamp(),
        chain=len(chain),
        self_signed=first.issuer == first.subject,
    )


def make_self_signed(names: Sequence[str], folder: Path, now: float, *, days: int = 3_650) -> tuple[KeyPair, bool]:
    """A certificate for ``names`` (host names and addresses) that signs itself, and whether it was made now.

    It stands in one file in ``folder``, together with its key, so that no reader can meet half of a pair; one that is
    there already is taken, whoever made it.  It passes strict checks (RFC 5280): names, a critical mark as authority,
    key usage, both key identifiers.  The file is readable by its owner alone.  ``now``: Unix time.
    """
    pair = KeyPair(str(folder / SELF_SIGNED))
    if os.path.exists(pair.certificate):
        return pair, False
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    begin = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pair, _write_new(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM) + private)


def _write_new(path: str, data: bytes) -> bool:
    """Write a file whole; False, and nothing, if another process was first."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    partial = f"{path}.{os.getpid()}"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(partial)
    return True
