"""TLS without I/O: ciphertext in, plaintext out; plaintext in, ciphertext out (RFC 8446, RFC 5246).

One engine serves both roles, and both kinds of channel: ``net.tls`` puts it between an asynchronous stream and its
handler, and a blocking client puts it between a socket and its session.  OpenSSL works on two memory buffers here, so
that no octet can be lost when a plain channel becomes a TLS channel (STARTTLS).

An end of the channel without close_notify counts as an end like any other: in SMTP it is the dot, the size of a chunk
or QUIT that says whether something is complete, never the end of the channel.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
from typing import Any, Final, NamedTuple

from posthouse.core import CertificateRefused, NetworkError, NotTls, TlsFailed
from posthouse.net.peer_certificate import PeerCertificate, peer_certificate, refusal

__all__ = ["Resumable", "TlsEngine", "TlsInfo", "TlsState", "end_point_of", "handshake_failed", "tls_text"]

# ``core`` must not import ``ssl``, and every ``TLSFailed`` is raised behind the import of this module.
TlsFailed.__bases__ = (NetworkError, ssl.SSLError)

_READ: Final = 65_536
# A peer that sends a close_notify, an alert or tickets needs a few hundred octets; a handshake at most some 100 KiB.
_MOST_HANDSHAKE: Final = 262_144
#: Octets of a ClientHello up to the highest version that it offers, but for TLS 1.3 (RFC 5246 §6.2.1, §7.4.1.2).
_HELLO: Final = 11


class TlsState(enum.Enum):
    """The states of one TLS connection."""

    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    PEER_DONE = enum.auto()  # the peer has sent close_notify, or ended the channel: nothing more comes
    CLOSED = enum.auto()  # our close_notify is sent, or the connection has failed


class TlsInfo(NamedTuple):
    """What was agreed on: the version (``TLSv1.3``), the cipher suite by its OpenSSL name and its key's bits, the name
    that the client asked for (SNI, empty without one), whether the peer's certificate was verified, and that
    certificate (DER, None if it showed none).  ``identity``: the e-mail address in a verified client certificate, and
    ``common_name`` the common name of its subject, each empty if there is none.  ``end_point``:
    in a server, the channel binding data of its own certificate (RFC 5929 §4).  ``peer``: in a client, the server's
    certificate as a person reads it."""

    version: str
    cipher: str
    bits: int
    server_name: str = ""
    verified: bool = False
    certificate: bytes | None = None
    identity: str = ""
    end_point: bytes = b""
    peer: PeerCertificate | None = None
    common_name: str = ""

    @property
    def text(self) -> str:
        """Version and cipher suite, as logs and histories say it: ``TLSv1.3 TLS_AES_256_GCM_SHA384``."""
        return f"{self.version} {self.cipher}"

    @property
    def client_name(self) -> str:
        """The name in a verified client certificate: its e-mail address, or its common name; "" if there is none."""
        return (self.identity or self.common_name) if self.verified else ""


def tls_text(version: str, cipher: str, client_name: str) -> str:
    """Version and cipher suite, and whose certificate a client has proved, if it has."""
    return f"{version} {cipher}, certificate of {client_name}" if client_name else f"{version} {cipher}"


class Resumable(NamedTuple):
    """A TLS session that a client may resume with the host it was made with (RFC 8446 §2.2), and the certificate that
    the host showed then: a resumed handshake shows none."""

    session: ssl.SSLSession
    peer: PeerCertificate | None


class TlsEngine:
    """One TLS connection.

    ``peer`` is the peer's name in errors.  ``server_name`` is the name that a client asks for and, if the context
    checks names, wants to see in the certificate; None for an IP address that is not checked.  ``resumed``: what an
    engine with the same context and the same ``server_name`` gave to be resumed.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        peer: str,
        server_name: str | None = None,
        resumed: Resumable | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # RFC 6066 §3: a name without the dot that ends a fully qualified one.
        name = server_name.rstrip(".") if server_name else None
        session = None if resumed is None else resumed.session
        try:
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_side=server_side, server_hostname=name, session=session
            )
        except ValueError as error:  # UnicodeError is one
            raise TlsFailed(f'"{name}" is not a name that can be asked for in TLS') from error
        self._peer = peer
        self._resumed = resumed
        self._server_side = server_side
        self._server_name = name or ""
        self._fault: Exception | None = None  # met behind the last complete record
        self._octets = 0  # of the handshake so far
        self._hello = b""  # in a server, the first octets of it: they say which version the client offers
        self.state = TlsState.HANDSHAKE
        #: What was agreed on; None until the handshake is over.
        self.info: TlsInfo | None = None

    @property
    def shaking(self) -> bool:
        """Whether the handshake is not over."""
        return self.state is TlsState.HANDSHAKE

    @property
    def peer_done(self) -> bool:
        """Whether nothing more comes from the peer."""
        return self.state is TlsState.PEER_DONE

    # -- the handshake -------------------------------------------------------------------------------------------------

    def start(self) -> bytes:
        """Begin the handshake; returns what is to be sent: nothing in a server, whose client speaks first."""
        if self._server_side:
            return b""
        self._go_on()
        return self.pending()

    def _go_on(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ValueError, OSError) as error:
            self.state = TlsState.CLOSED
            if isinstance(error, ssl.SSLCertVerificationError):
                name = self._server_name if self._tls.context.check_hostname else ""
                shown, of_client = peer_certificate(self._tls), self._server_side
                raise CertificateRefused(*refusal(error, shown, self._peer, name, of_client=of_client)) from error
            raise handshake_failed(error, self._peer, server_side=self._server_side, hello=self._hello) from error
        self.state = TlsState.OPEN
        cipher = self._tls.cipher() or ("", "", 0)
        certificate = self._tls.getpeercert(binary_form=True)
        client = _client_names(self._tls.getpeercert() if self._server_side and certificate is not None else None)
        self.info = TlsInfo(
            version=self._tls.version() or "",
            cipher=cipher[0],
            bits=cipher[2],
            server_name=self._server_name or getattr(self._tls, "posthouse_server_name", ""),
            verified=certificate is not None and self._tls.context.verify_mode is not ssl.CERT_NONE,
            certificate=certificate,
            identity=client[0],
            common_name=client[1],
            end_point=getattr(self._tls.context, "end_point", b"") if self._server_side else b"",
            peer=None if self._server_side else self._peer_certificate(),
        )
        self._resumed = None

    def _peer_certificate(self) -> PeerCertificate | None:
        """The server's certificate: the one that it showed, or had shown in the session that was resumed."""
        if self._resumed is not None and self._tls.session_reused:
            return self._resumed.peer
        return peer_certificate(self._tls)

    # -- octets ---------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Octets arrived on the channel; ``read`` gives what they mean, and ``pending`` what is to be sent for them.

        Raises TlsFailed if the handshake fails; what is ``pending`` then is the alert that tells the peer.
        """
        if self.state in (TlsState.PEER_DONE, TlsState.CLOSED):
            return  # RFC 8446 §6.1: data after a close_notify is ignored
        self._incoming.write(data)
        if self.state is TlsState.HANDSHAKE:
            if self._server_side and self._octets < _HELLO:
                self._hello = (self._hello + data[:_HELLO])[:_HELLO]
            self._octets += len(data)
            self._go_on()
            if self.state is TlsState.HANDSHAKE and self._octets > _MOST_HANDSHAKE:
                self.state = TlsState.CLOSED
                raise TlsFailed(f"{self._peer} sent {self._octets:,} octets without ending the TLS handshake")

    def receive_eof(self) -> None:
        """The peer has ended the channel.  Raises TlsFailed if that ends a handshake."""
        if self.state is TlsState.HANDSHAKE:
            self.state = TlsState.CLOSED
            raise TlsFailed(f"{self._peer} ended the connection during the TLS handshake")
        self._incoming.write_eof()

    def read(self, at_most: int) -> bytes:
        """Plaintext that has arrived, at most ``at_most`` octets; empty if there is none now, or none any more
        (``state`` is PEER_DONE then).  Raises TlsFailed if what arrived is no TLS."""
        if self.state is not TlsState.OPEN:
            return b""
        if self._fault is not None:
            self.state = TlsState.CLOSED
            raise _broken(self._fault, self._peer) from self._fault
        pieces: list[bytes] = []
        while at_most > 0 and self._fault is None and self._has_input():
            try:
                piece = self._tls.read(min(at_most, _READ))
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                piece = b""
            except (ssl.SSLError, OSError) as error:
                self._fault = error
                break
            if not piece:
                self.state = TlsState.PEER_DONE
                break
            pieces.append(piece)
            at_most -= len(piece)
        if self._fault is not None and not pieces:
            return self.read(at_most)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)  # complete records, whatever came behind them

    def _has_input(self) -> bool:
        """Whether a read would find anything: one that does not raises, which costs 3 µs."""
        incoming = self._incoming
        return incoming.pending > 0 or incoming.eof or self._tls.pending() > 0

    def write(self, data: bytes) -> bytes:
        """``data`` as ciphertext, to be sent.  Dropped without an error once the connection is closed or broken, as
        ``read`` says then."""
        if self.state not in (TlsState.OPEN, TlsState.PEER_DONE) or not data or self._fault is not None:
            return b""
        view = memoryview(data)
        try:
            while view:
                written = self._tls.write(view)
                view = view[written:]
        except (ssl.SSLError, OSError) as error:
            self._fault = error
        return self.pending()

    def pending(self) -> bytes:
        """Octets to be sent that nobody asked for: handshake, tickets, alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """Close our direction; returns close_notify, to be sent.  The peer's is not waited for (RFC 8446 §6.1)."""
        if self.state in (TlsState.OPEN, TlsState.PEER_DONE):
            self.state = TlsState.CLOSED
            # It writes our close_notify, and raises because the peer's is not here yet.
            with contextlib.suppress(ssl.SSLError, ValueError, OSError):
                self._tls.unwrap()
        self.state = TlsState.CLOSED
        return self.pending()

    def resumable(self) -> Resumable | None:
        """What a client may hand to its next connection with this host, to save the certificates' way; None if the host
        has sent no ticket."""
        session = self._tls.session
        if session is None or not session.has_ticket or self.info is None:
            return None
        return Resumable(session, self.info.peer)


def _client_names(certificate: Any) -> tuple[str, str]:
    """The names in a verified client certificate: its first e-mail address (rfc822Name, RFC 5280 §4.2.1.6), and the
    common name of its subject.  One with a control character is nobody's name."""
    found = dict(certificate or {})
    address = next((str(value) for kind, value in found.get("subjectAltName", ()) if kind == "email"), "")
    names = [str(value) for part in found.get("subject", ()) for key, value in part if key == "commonName"]
    name = names[0] if len(names) == 1 else ""
    return address if address.isprintable() else "", name if name.isprintable() else ""


def end_point_of(certificate: bytes) -> bytes:
    """Channel binding data of type tls-server-end-point (RFC 5929 §4): the hash of the server's certificate (DER) with
    the hash of its own signature, and SHA-256 in place of MD5 and SHA-1."""
    import hashlib

    from cryptography import x509

    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = algorithm.name if algorithm is not None else "sha256"
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()


# Errors ---------------------------------------------------------------------------------------------------------------

_ALERTS: Final = {
    "UNKNOWN_CA": "does not trust our certificate (unknown ca)",
    "BAD_CERTIFICATE": "does not trust our certificate (bad certificate)",
    "CERTIFICATE_EXPIRED": "says that our certificate has expired",
    "CERTIFICATE_UNKNOWN": "does not trust our certificate",
    "UNSUPPORTED_CERTIFICATE": "does not take our kind of certificate",
    "HANDSHAKE_FAILURE": "shares no cipher suite or signature scheme with us",
    "PROTOCOL_VERSION": "speaks none of our TLS versions (1.2 and 1.3)",
    "UNRECOGNIZED_NAME": "does not know the name that we asked for",
    "CERTIFICATE_REQUIRED": "asks for a client certificate, and none is configured",
}
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "does not speak TLS here",
    "HTTP_REQUEST": "speaks HTTP here",
    "UNSUPPORTED_PROTOCOL": "offers only TLS versions before 1.2",
    "UNKNOWN_PROTOCOL": "does not speak TLS here",
    "NO_SHARED_CIPHER": "shares no cipher suite with us",
    "DH_KEY_TOO_SMALL": "uses a Diffie-Hellman key that is too short",
    "EE_KEY_TOO_SMALL": "has a certificate whose key is too short",
    "UNEXPECTED_EOF_WHILE_READING": "ended the connection during the TLS handshake",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "knows no secure renegotiation (RFC 5746)",
}

#: What arrived was no TLS record.
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST")
_OLD: Final = {b"\x03\x00": "SSL 3.0", b"\x03\x01": "TLS 1.0", b"\x03\x02": "TLS 1.1"}


def handshake_failed(error: Exception, peer: str, *, server_side: bool, hello: bytes = b"") -> TlsFailed:
    """The error of a handshake that failed, as a sentence about the peer; ``hello`` are the first octets that a client
    sent."""
    reason = (getattr(error, "reason", None) or "").upper()
    for alert, text in _ALERTS.items():
        if reason.endswith((f"ALERT_{alert}", f"ALERT {alert}")):
            return TlsFailed(f"{peer} {text}")
    text = _REASONS.get(reason, "")
    if reason == "UNSUPPORTED_PROTOCOL" and hello[9:] in _OLD:
        text = f"offers {_OLD[hello[9:]]} at most, and TLS 1.2 and 1.3 are spoken here"
    if not text:
        plain = reason.replace("_", " ").lower() or str(error)
        text = f"and this machine could not agree on TLS ({plain})"
    if reason in _NOT_TLS and not server_side:
        return NotTls(f"{peer} {text}; if it begins in clear, use STARTTLS (smtp+starttls://)")
    return TlsFailed(f"{peer} {text}")


def _broken(error: Exception, peer: str) -> TlsFailed:
    reason = (getattr(error, "reason", None) or "").upper()
    for alert, text in _ALERTS.items():
        if reason.endswith((f"ALERT_{alert}", f"ALERT {alert}")):
            return TlsFailed(f"{peer} {text}")
    plain = reason.replace("_", " ").lower() or str(error)
    return TlsFailed(f"the TLS connection with {peer} broke: {plain}")
