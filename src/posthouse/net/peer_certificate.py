"""Certificate of a TLS peer as a person reads it, and every reason why it does not prove the peer's name.

OpenSSL stops at the first fault that it finds.  ``faults_of`` adds what else is wrong, so that the operator of the peer
mends everything at once.  The verdict is OpenSSL's: nothing here accepts what it has refused.

The certificate is read with the standard library, so that a program without ``cryptography`` gets the same sentences.
"""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

__all__ = ["PeerCertificate", "faults_of", "peer_certificate", "refusal"]

#: OpenSSL's X509_V_ERR_… of a chain that does not end at a trusted certificate.
_SELF_SIGNED: Final = 18
_UNTRUSTED: Final = (19, 20, 21, 27)
_DATES: Final = (9, 10)
_NAMES: Final = (62, 63, 64)
_REVOKED: Final = 23
#: What is wrong with a revocation list.
_LISTS: Final = {3: "is missing", 8: "is not signed by it", 11: "is not in force yet", 12: "is out of date"}
_MOST_NAMES: Final = 5


class PeerCertificate(NamedTuple):
    """What a certificate says: its subject, the names and IP addresses that it is for, its issuer, the time in which it
    is valid, and its SHA-256 fingerprint (hexadecimal)."""

    subject: str
    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    self_issued: bool = False

    def is_for(self, name: str) -> bool:
        """Whether it has this host name, by a wildcard too (RFC 9525 §6.3: one whole label, the first), or this IP
        address."""
        name = name.rstrip(".").lower()
        address = _address(name)
        parent = name.partition(".")[2]
        for each in self.names:
            if address is not None:
                if _address(each) == address:
                    return True
            elif each.lower() == name or (each.startswith("*.") and each.lower()[1:] == f".{parent}" and "." in parent):
                return True
        return False


def peer_certificate(tls: ssl.SSLObject) -> PeerCertificate | None:
    """The certificate that the peer has shown, also in a handshake that failed because of it; None if it showed none,
    or if this version of OpenSSL (before 3.0) keeps none of a failed handshake."""
    # Public from Python 3.13 on (then as octets only); the object below has had it since 3.10.
    chain = getattr(tls._sslobj, "get_unverified_chain", lambda: None)()  # type: ignore[attr-defined]
    if not chain:
        return None
    try:
        return _read(chain[0].get_info(), chain[0].public_bytes(2))  # 2: DER
    except (ValueError, KeyError, ssl.SSLError):  # a field that has no such form
        return None


def _read(info: Mapping[str, Any], der: bytes) -> PeerCertificate:
    subject, issuer = info.get("subject", ()), info.get("issuer", ())
    named = [(kind, value) for kind, value in info.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    names = [str(_address(value.strip()) or _readable(value.strip())) for _, value in named]  # ::1, not 0:0:0:0:…
    if not any(kind == "DNS" for kind, _ in named) and (common := _part(subject, "commonName")):
        names.append(common)  # as OpenSSL does
    return PeerCertificate(
        subject=_named(subject),
        names=tuple(dict.fromkeys(names)),
        issuer=_named(issuer),
        not_before=_time(info["notBefore"]),
        not_after=_time(info["notAfter"]),
        fingerprint=hashlib.sha256(der).hexdigest(),
        self_issued=subject == issuer,
    )


def _part(name: Any, key: str) -> str:
    return next((_readable(str(value)) for part in name for each, value in part if each == key), "")


def _named(name: Any) -> str:
    """The name of a subject or issuer: the common name with the organisation, or what there is."""
    common, organisation = _part(name, "commonName"), _part(name, "organizationName")
    unit = _part(name, "organizationalUnitName")
    if common and organisation and organisation != common:
        return f"{common} ({organisation})"
    return common or ", ".join(filter(None, (unit, organisation))) or "an issuer without a name"


def _readable(text: str) -> str:
    """The text without characters that change a terminal's display, and not too long."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# Reasons --------------------------------------------------------------------------------------------------------------


def faults_of(certificate: PeerCertificate, name: str, now: datetime | None = None) -> list[str]:
    """What is wrong with a certificate as its text shows it: another name, or the wrong time.  "" for ``name`` checks
    no name.  Each reason goes on after "the certificate of the host"."""
    now = now or datetime.now(UTC)
    found = []
    if name and not certificate.is_for(name):
        shown = certificate.names[:_MOST_NAMES]
        more = len(certificate.names) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more else "")
        found.append(f"is for {names or 'no name at all'}, not for {name.rstrip('.')}")
    if now > certificate.not_after:
        found.append(f"expired on {certificate.not_after:%Y-%m-%d}")
    elif now < certificate.not_before:
        found.append(f"is not valid before {certificate.not_before:%Y-%m-%d}")
    return found


def refusal(
    error: ssl.SSLCertVerificationError,
    certificate: PeerCertificate | None,
    peer: str,
    name: str,
    *,
    of_client: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """The sentence about a certificate that OpenSSL has refused, with the way out; and each reason.  ``of_client``: a
    listener judges it, by its setting ``tls_client_ca``."""
    code = error.verify_code
    trusted = "tls_client_ca" if of_client else "ca"
    issuer = certificate.issuer if certificate is not None else "an issuer"
    reasons = faults_of(certificate, name) if certificate is not None else []
    remedies = []
    if code in _NAMES and not any(each.startswith("is for") for each in reasons):
        reasons.append(f"is not for {name}")
    if code in _DATES and not any("expired" in each or "valid before" in each for each in reasons):
        own = certificate is None
        what = (
            ("expired" if own else "was issued by one that has expired")
            if code == 10
            else ("is not valid yet" if own else "was issued by one that is not valid yet")
        )
        reasons.append(what)
    if any(each.startswith(("is for", "is not for")) for each in reasons):
        remedies.append("name the host as its certificate does, or ask its operator for one with this name")
    if any("expired" in each for each in reasons):
        remedies.append("its operator must renew it")
    if any("valid before" in each or "not valid yet" in each for each in reasons):
        remedies.append("compare the clocks of both machines")
    if code == _SELF_SIGNED:
        reasons.append("is self-signed")
    elif code in _UNTRUSTED:
        reasons.append(f"was issued by {issuer}, which leads to no issuer that is trusted here")
    elif code == _REVOKED:
        reasons.append("or one that issued it has been revoked")
    elif code in _LISTS:
        reasons.append(f"cannot be judged, because the revocation list of an issuer {_LISTS[code]}")
        remedies.append(f"put the newest list of each issuer into the file or folder that {trusted} names")
    elif code not in (*_NAMES, *_DATES):
        reasons.append(f"or one that issued it breaks a rule ({error.verify_message.rstrip('.')})")
        remedies.append("its operator must have it issued again")
    if code == _SELF_SIGNED or code in _UNTRUSTED:
        what = "it" if code == _SELF_SIGNED else "its issuer"
        way = f"put {what} into the file or folder that {trusted} names"
        if not of_client:
            way = f"trust {what} with ca=FILE (on the command line, --ca FILE)"
        remedies.append(f"if it is the right one, {way}")
    sentence = "; it ".join(reasons)
    if code not in _UNTRUSTED and code != _SELF_SIGNED and certificate is not None:
        sentence += f"; issued by {issuer}"
    if code == _SELF_SIGNED and certificate is not None:
        sentence += f" (SHA-256 {certificate.fingerprint})"
    return f"the certificate of {peer} {sentence}; {'; '.join(remedies)}", tuple(reasons)
