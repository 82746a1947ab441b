"""Certificates of a server: chosen by the name that the client asks for, and read again when their files change.

A renewal tool replaces two files, certificate and key, and not in one instant.  So a pair is loaded into a new context,
which fails if the two do not belong together; then the pair before it keeps serving, and the next look tries again.
Sessions that are open keep what they have.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

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
    "kind_of_issuer",
    "make_self_signed",
    "open_to_all",
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
    time), how many certificates stand in the file, whether it signed itself, what is weak about it ("" if nothing), and
    whether each certificate in the file is followed by the one that issued it."""

    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    chain: int
    self_signed: bool
    weakness: str = ""
    in_order: bool = True

    def expires_within(self, days: float, now: float) -> bool:
        """Whether it ends within ``days`` from ``now``, or has ended."""
        return self.not_after - now < days * 86_400

    def names_host(self, host: str) -> bool:
        """Whether it is for a host: its name, or one that a wildcard covers."""
        return any(_covers(pattern, host.lower().rstrip(".")) for pattern in self.names)


#: What changes when a file, its rights, or a link to it is replaced; None if this user may not look.
_Stamp = tuple[tuple[int, int, int, int], ...] | None


class _Loaded(NamedTuple):
    pair: KeyPair
    context: BoundContext
    facts: CertificateFacts
    stamp: _Stamp


class Certificates:
    """The certificates of one or several listeners; the first pair serves every name that no other has.

    ``client_ca``: a file (PEM) or folder of the certificates that issue those of clients, looked at like the pairs.
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
        self.on_problem = on_problem
        self._complained: dict[int, _Stamp] = {}  # by the index of the pair
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
            stamp = self._stamp(each.pair)
            if stamp == each.stamp or (index in self._complained and self._complained[index] == stamp):
                continue
            if stamp is None:
                self._complain(index, stamp, _not_looked_at(each.pair))
                continue
            try:
                self._loaded[index] = self._load(each.pair)
                self._complained.pop(index, None)
                changed = True
            except SettingError as error:
                why = f"{error}; the certificate before it stays in use, and the files are looked at again"
                self._complain(index, stamp, why)
        return changed

    def _stamp(self, pair: KeyPair) -> _Stamp:
        """The stamp of all files that make a context: a client's certificate counts as long as its issuer is named."""
        return _stamp(pair.certificate, pair.key or pair.certificate, *filter(None, (self._client_ca,)))

    def _complain(self, index: int, stamp: _Stamp, sentence: str) -> None:
        self._complained[index] = stamp
        if self.on_problem is not None:
            self.on_problem(sentence)

    def _load(self, pair: KeyPair) -> _Loaded:
        stamp = self._stamp(pair)
        context = server_context(pair.certificate, pair.key, client_ca=self._client_ca)
        facts = read_facts(pair.certificate)
        if facts.weakness:
            raise SettingError(facts.weakness, where=pair.certificate, remedy="use RSA of 2,048 bits or more, or P-256")
        # For channel binding.
        context.end_point = end_point_of(_first_certificate(pair.certificate))
        if stamp != self._stamp(pair):  # replaced while it was read
            raise SettingError("the file changed while it was read", where=pair.certificate, remedy="try again")
        context.sni_callback = self._choose
        return _Loaded(pair, context, facts, stamp)

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL asks for the context of ``name``."""
        if name:
            connection.posthouse_server_name = name  # type: ignore[attr-defined]
            wanted = name.lower().rstrip(".")
            found = next((each for each in self._loaded if wanted in each.facts.names), None) or next(
                (each for each in self._loaded if each.facts.names_host(wanted)), None
            )
            if found is not None and found.context is not context:
                connection.context = found.context


def _first_certificate(path: str) -> bytes:
    """The first certificate of a PEM file, in DER."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = text.index(begin)
    return ssl.PEM_cert_to_DER_cert(text[start : text.index(end, start) + len(end)])


def kind_of_issuer(path: str) -> Literal["root", "intermediate", "unknown"]:
    """What issued the first certificate of a PEM file: a root that this system trusts; else an intermediate, if the
    certificate names a place where its issuer's is published (RFC 5280 §4.2.2.1), as those of public authorities do;
    or what nobody knows here."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.x509.oid import AuthorityInformationAccessOID

    leaf = x509.load_der_x509_certificate(_first_certificate(path))
    issuer = leaf.issuer.public_bytes()
    for each in ssl.create_default_context().get_ca_certs(binary_form=True):
        if issuer in each:
            with contextlib.suppress(ValueError, TypeError, InvalidSignature):
                leaf.verify_directly_issued_by(x509.load_der_x509_certificate(each))
                return "root"
    try:
        places = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return "unknown"
    published = any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in places)
    return "intermediate" if published else "unknown"


def _covers(pattern: str, name: str) -> bool:
    """RFC 9525 §6.3: a wildcard stands for one whole label, the first."""
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def _stamp(*paths: str) -> _Stamp:
    stamps = []
    for path in paths:
        try:
            found = os.stat(path)
            stamps.append((found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size))
        except PermissionError:
            return None
        except OSError:
            stamps.append((0, 0, 0, 0))
    return tuple(stamps)


def _not_looked_at(pair: KeyPair) -> str:
    """The sentence about files that were read as root and cannot be looked at any more."""
    return (
        f"{pair.certificate}: this user may not look at the files, so the certificate that was read at the start "
        "serves until a restart; let the user enter the folder and read the files, or restart after each renewal"
    )


def open_to_all(path: str) -> str:
    """The sentence about a key that every user may read, or ""."""
    try:
        closed = any(not os.stat(each).st_mode & stat.S_IXOTH for each in _folders(path))
        if closed or not os.stat(path).st_mode & stat.S_IROTH:
            return ""
    except OSError:
        return ""
    return f"every user of this machine may read the key {path}; take that right away (chmod o-r {path})"


def _folders(path: str) -> list[str]:
    parts = os.path.realpath(path).split("/")[1:-1]
    return ["/" + "/".join(parts[:end]) for end in range(1, len(parts) + 1)]


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
        weakness=_weakness(first.public_key()),
        in_order=all(each.issuer == issuer.subject for each, issuer in pairwise(chain)),
    )


def _weakness(key: object) -> str:
    """Why a key is too short to be used: the same verdict whatever OpenSSL's own limit is here."""
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    bits = key.key_size if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey) else 0
    if bits and bits < (224 if isinstance(key, ec.EllipticCurvePublicKey) else 2_048):
        return f"the certificate's key is too short ({bits} bits)"
    return ""


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
