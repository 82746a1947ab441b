"""TLS settings of both roles: the same versions, options and checks on every Python version.

TLS 1.2 and 1.3; no compression, no renegotiation (RFC 9325 §3); session tickets work; ALPN is ignored.  Chains are
verified with the same flags everywhere: Python 3.13 made ``VERIFY_X509_STRICT`` its default, and chains of some
providers lack a *critical* mark that it asks for, so the verdict would depend on the version of Python.  A certificate
that ``ca`` names is trusted itself, also if it is no authority.

Where ``ca`` holds revocation lists too (RFC 5280 §5), each certificate of a chain must have its issuer's list there, be
absent from it, and the list must be in force.
"""

from __future__ import annotations

import ssl
from typing import Final

from posthouse.core import SettingError

__all__ = ["BoundContext", "client_context", "load_pair", "server_context"]

_OPTIONS: Final = (
    ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_CIPHER_SERVER_PREFERENCE
    | getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
)
_FLAGS: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LIST: Final = b"-----BEGIN X509 CRL-----"


def client_context(*, verify: bool = True, ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """The settings of a client.

    ``verify``: the server's certificate must be valid and have the server's name; else it is only recorded.  ``ca``: a
    file (PEM) or folder of certificates to trust in place of the system's, and of their revocation lists, if any.
    ``certificate``, ``key``: what this client shows of itself, if the server asks (PEM); nothing is shown unasked.
    Raises SettingError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _configure(context)
    if verify:
        context.verify_flags = _FLAGS
        _trust(context, ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        load_pair(context, certificate, key)
    return context


class BoundContext(ssl.SSLContext):
    """Settings of a server that know the channel binding data of its certificate."""

    end_point = b""


def server_context(certificate: str, key: str = "", *, client_ca: str = "") -> BoundContext:
    """The settings of a server that shows ``certificate`` (PEM, with its chain) with ``key`` (in the same file if left
    out).  With ``client_ca`` a client may show a certificate, and one that these issued is verified.  Raises
    SettingError."""
    context = BoundContext(ssl.PROTOCOL_TLS_SERVER)
    _configure(context)
    # One in place of OpenSSL's two: a mail client opens one connection at a time, and a ticket costs 20 µs.
    context.num_tickets = 1
    load_pair(context, certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags = _FLAGS
        _trust(context, client_ca)
    return context


def _configure(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= _OPTIONS


def _trust(context: ssl.SSLContext, ca: str) -> None:
    if not ca:
        context.load_default_certs(
            ssl.Purpose.SERVER_AUTH if context.protocol is ssl.PROTOCOL_TLS_CLIENT else ssl.Purpose.CLIENT_AUTH
        )
        return
    import os

    try:
        if os.path.isdir(ca):
            context.load_verify_locations(capath=ca)
            has_list = any(_is_list(name) for name in os.listdir(ca))
        else:
            context.load_verify_locations(cafile=ca)
            with open(ca, "rb") as file:
                has_list = any(line.startswith(_LIST) for line in file)
    except OSError as error:  # ssl.SSLError is one
        raise _unreadable(ca, error, "certificates to trust") from error
    if has_list:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _is_list(name: str) -> bool:
    """Whether OpenSSL finds a revocation list under this name in a folder: the issuer's hash, ``.r`` and a number."""
    issuer, _, rest = name.partition(".")
    return len(issuer) == 8 and rest[:1] == "r" and rest[1:].isdigit()


def load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and its key.  Raises SettingError, which names the file and the remedy."""
    try:
        context.load_cert_chain(certificate, key or None, password=_no_password)
    except _EncryptedKey as error:
        remedy = "store it without a password, readable by the daemon alone"
        raise SettingError("the key is encrypted", where=key or certificate, remedy=remedy) from error
    except ssl.SSLError as error:
        reason = (error.reason or "").upper()
        if fault := _fault_in(certificate, key, mismatch=reason == "KEY_VALUES_MISMATCH"):
            raise fault from error
        if reason == "EE_KEY_TOO_SMALL":
            raise SettingError(
                "the certificate's key is too short",
                where=certificate,
                remedy="use RSA of 2,048 bits or more, or P-256",
            ) from error
        raise _unreadable(certificate, error, "a certificate and its key") from error
    except OSError as error:
        raise _unreadable(certificate if _missing(certificate) else key or certificate, error, "a file") from error


class _EncryptedKey(Exception):
    """OpenSSL asks for the password of a key."""


def _no_password() -> str:
    raise _EncryptedKey


def _fault_in(certificate: str, key: str, *, mismatch: bool) -> SettingError | None:
    """What is wrong with the files of a pair that OpenSSL refused; None if it is not seen."""
    try:
        held = {path: _octets_of(path) for path in (certificate, key or certificate)}
    except OSError:
        return None
    if mismatch:
        return _fault_in_order(certificate, held[certificate], key or certificate, held[key or certificate])
    kinds = ((certificate, _CERTIFICATE, _KEY, "certificate"), (key or certificate, _KEY, _CERTIFICATE, "key"))
    for path, wanted, other, what in kinds:
        if wanted in held[path]:
            continue
        if held[path][:2] == b"\x30\x82":
            return SettingError(
                f"this file is in DER, and the {what} is needed in PEM",
                where=path,
                remedy=f"convert it: openssl {'x509' if what == 'certificate' else 'pkey'} -inform der -in … -out …",
            )
        if key and other in held[path]:
            return SettingError(
                f"this file holds a {'key' if what == 'certificate' else 'certificate'} and no {what}",
                where=path,
                remedy="see whether the two files are exchanged",
            )
        more = "name the key's file as well" if not key and what == "key" else "write the path of a PEM file"
        return SettingError(f"this file holds no {what}", where=path, remedy=more)
    return None


def _octets_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _fault_in_order(certificate: str, chain: bytes, key: str, held: bytes) -> SettingError:
    """What is wrong with a pair whose key is not that of the first certificate: most often the chain's order."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        public = load_pem_private_key(held, None).public_key()
        in_chain = any(each.public_key() == public for each in x509.load_pem_x509_certificates(chain)[1:])
    except (ValueError, TypeError):
        in_chain = False
    if in_chain:
        return SettingError(
            "the certificate that belongs to the key is not the first in this file",
            where=certificate,
            remedy="put it first, and each certificate behind the one that it has issued",
        )
    return SettingError(
        f"the key does not belong to the certificate {certificate}",
        where=key,
        remedy="name the two files that were made together",
    )


def _missing(path: str) -> bool:
    try:
        with open(path, "rb"):
            return False
    except OSError:
        return True


def _unreadable(path: str, error: OSError, what: str) -> SettingError:
    if isinstance(error, ssl.SSLError):
        return SettingError(f"this file does not hold {what}", where=path, remedy="write the path of a PEM file")
    remedy = "write the path of a PEM file"
    if isinstance(error, PermissionError):
        remedy = _who_may_not(path)
    return SettingError(f"it cannot be read ({error.strerror or error})", where=path, remedy=remedy)


def _who_may_not(path: str) -> str:
    """Which folder, or the file itself, keeps this user out."""
    import os

    user = _user_name()
    parts = os.path.abspath(path).split("/")
    for end in range(2, len(parts)):
        folder = "/".join(parts[:end])
        if not os.access(folder, os.X_OK):
            return f"let {user} enter the folder {folder} (chmod or setfacl; it lacks x for that user)"
    return f"let {user} read it (chgrp and chmod g+r, or setfacl)"


def _user_name() -> str:
    """This process's user, for a sentence: ``user posthouse (uid 995)``."""
    import os

    if not hasattr(os, "getuid"):
        return "this user"
    import pwd

    try:
        return f"user {pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
    except KeyError:
        return f"the user with uid {os.getuid()}"
