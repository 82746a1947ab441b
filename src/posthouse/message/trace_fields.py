"""Trace fields: Received and Return-Path (RFC 5321 §4.4), the address fields of a final delivery, and Quarantine.

Received is written once for each message, so it is one formatted string.  In each value that the peer chose, characters
that a host name cannot have become ``?``: the field remains one field, and the value cannot be mistaken for a real
host.  Lines break at fixed places; they are under 78 octets with names of ordinary length and far under 998 with any
name.

What is known of a client beyond its name and address stands in comments at the end: the TLS version, the name in its
verified certificate, and the login.  A login is the client's own text, so only characters that neither end a comment
nor begin an encoded word stay in it; RFC 2047 §5 forbids those in a Received field.

The time and the zone's offset are arguments; no clock is read.

*Quarantine* marks a message that was accepted although it failed the policy of its author's domain; no standard has
such a field.  It stands above the Received field of this host, where nothing comes from outside: a field of that name
further down was written by the sender or by another host, and does not count.
"""

from __future__ import annotations

import re
from functools import lru_cache

from posthouse.core import Address, Content, LocalError, path_text
from posthouse.message.dates import date_of

__all__ = [
    "address_field",
    "is_quarantined",
    "protocol_name",
    "quarantine_field",
    "received",
    "received_locally",
    "return_path",
]

# Domain and address-literal (RFC 5321 §4.1.2), and the underscore that some real hosts have; a queue id is an atom.
_NAME = re.compile(r"[A-Za-z0-9._\-]{1,255}|\[[A-Za-z0-9.:\-]{1,253}\]")
_NOT_NAME = re.compile(r"[^A-Za-z0-9._\-\[\]:]")
_NOT_NAME_UTF8 = re.compile(r"[\x00-,/;-@\\^`{-\xa0]")  # of _NOT_NAME, what is below U+00A1
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]{1,200}")
_NOT_COMMENT = re.compile(r"[^A-Za-z0-9._\- ]")
# Characters that a path must not have: controls (C0, DEL, C1), line and paragraph separators, surrogates.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PATH_AT_MOST = 900
# The topmost of the fields that tell whether a message is quarantined.
_MARK = re.compile(rb"(?:\A|\r\n)(?:Received|(Quarantine)):", re.IGNORECASE)
_MARKED_WITHIN = 65_536  # octets at the beginning that are looked through
_LONGEST_REASON = 200  # characters
_NOT_WHO = re.compile(r"[^A-Za-z0-9._+@\- ]")
_LONGEST_WHO = 254  # characters: a path without its angle brackets (RFC 5321 §4.5.3.1.3)
# OpenSSL's name of a cipher suite of TLS 1.2: its key exchange, its signature, and its cipher.
_SUITE = re.compile(r"(?:(ECDHE|DHE)-(RSA|ECDSA)-)?(?:AES(128|256)-(GCM-)?(SHA(?:256|384)?)|(CHACHA20-POLY1305))")


@lru_cache(maxsize=32)
def protocol_name(verb: str, tls: bool = False, auth: bool = False, utf8: bool = False) -> str:
    """The protocol after WITH: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA and their LMTP forms (RFC 3848), UTF8SMTP… and
    UTF8LMTP… (RFC 6531 §4.3).  Mostly called with positional arguments, which the cache finds in half the time.

    ``verb`` is the greeting in upper case: HELO, EHLO or LHLO.  ``utf8`` if MAIL had SMTPUTF8.
    """
    if verb == "HELO":
        return "SMTP"
    base = "LMTP" if verb == "LHLO" else "ESMTP"
    if utf8:
        base = "UTF8LMTP" if verb == "LHLO" else "UTF8SMTP"
    return f"{base}{'S' if tls else ''}{'A' if auth else ''}"


def _can_be_written(path: str) -> bool:
    return _UNSAFE.search(path) is None and len(path if path.isascii() else path.encode()) <= _PATH_AT_MOST


def _name(value: str, utf8: bool) -> str:
    if _NAME.fullmatch(value):
        return value
    if utf8 and not value.isascii():
        short = value.encode("utf-8", "replace")[:255].decode("utf-8", "ignore")
        return _UNSAFE.sub("?", _NOT_NAME_UTF8.sub("?", short))
    return _NOT_NAME.sub("?", value[:255]) or "?"


def received(
    hostname: str,
    *,
    helo: str,
    host: str,
    protocol: str,
    queue_id: str,
    seconds: float,
    offset_minutes: int = 0,
    reverse: str | None = None,
    recipient: Address | None = None,
    utf8: bool = False,
    tls: str = "",
    version: str = "",
    certificate: str = "",
    login: str = "",
) -> bytes:
    r"""The Received field of RFC 5321 §4.4 with its CRLF::

        Received: from helo (reverse [192.0.2.1])\r\n
        \tby hostname with ESMTP id queue_id\r\n
        \tfor <recipient>; date\r\n

    Over TLS, and after a login::

        \tby hostname with ESMTPSA id queue_id\r\n
        \tfor <recipient>\r\n
        \ttls TLS_AES_256_GCM_SHA384 (TLSv1.3)\r\n
        \t(Client certificate: name)\r\n
        \t(Authenticated sender: login);\r\n
        \tdate\r\n

    Args:
        hostname: The name of this host.
        helo: The argument of the peer's EHLO, HELO or LHLO.
        host: The peer's IP address, "" for a unix socket; then there is no clause in parentheses.
        protocol: From ``protocol_name``.
        seconds: Seconds since 1970; ``offset_minutes`` is local time minus UTC.
        reverse: The name of the peer's address in the DNS, or None.
        recipient: The only recipient, or None if there are several, because a second one would disclose a blind copy
            (§7.2).  A recipient that cannot be written is left out.
        tls: The TLS cipher suite by its registered name or OpenSSL's, "" in clear.  RFC 8314 §4.3 wants the registered
            name in a clause of its own; one that is not known stands in the comment.
        version: The TLS version, as ``TLSv1.3``.
        certificate, login: The name in the client's verified certificate, and the account; cut behind 254 characters.
        utf8: MAIL had SMTPUTF8; only then may names and recipient be U-labels (RFC 6531 §3.7.3).

    Raises no exception for a value that the peer chose.
    """
    ending = ";\r\n\t"
    if recipient is not None:
        path = str(recipient)
        if _can_be_written(path) and (utf8 or path.isascii()):
            # Tab, "for <>; " and a date take 40 columns.
            ending = f"\r\n\tfor <{path}>; " if len(path) <= 38 else f"\r\n\tfor <{path}>;\r\n\t"
    if tls or login:
        ending = f"{ending[: ending.rindex(';')]}{_facts(tls, version, certificate, login)};\r\n\t"
    mark = queue_id if _ATOM.fullmatch(queue_id) else _NOT_NAME.sub("?", queue_id[:200]) or "?"
    opening = _opening(hostname, helo, host, protocol, reverse, utf8)
    return f"{opening}{mark}{ending}{date_of(int(seconds // 1), offset_minutes)}\r\n".encode()


def received_locally(hostname: str, user: str, queue_id: str, seconds: float, offset_minutes: int = 0) -> bytes:
    r"""The Received field of a message that a ``user`` of this machine has submitted without SMTP, with its CRLF::

        Received: by hostname with local (www-data userid 33)\r\n
        \tid queue_id; date\r\n

    From is optional in the field (RFC 5322 §3.6.7); "local" is the protocol that Exim writes too.
    """
    name = _NOT_COMMENT.sub("?", user[:100])
    mark = queue_id if _ATOM.fullmatch(queue_id) else "?"
    date = date_of(int(seconds // 1), offset_minutes)
    return f"Received: by {_name(hostname, False)} with local ({name})\r\n\tid {mark}; {date}\r\n".encode()


@lru_cache(maxsize=1024)
def _opening(hostname: str, helo: str, host: str, protocol: str, reverse: str | None, utf8: bool) -> str:
    """The field up to the queue id: equal for all messages of a session, and often of many sessions."""
    info = ""
    if host:
        tag = "IPv6:" if ":" in host else ""
        literal = f"[{tag}{_name(host.partition('%')[0], False)}]"
        info = f" ({_name(reverse, utf8)} {literal})" if reverse else f" ({literal})"
    word = protocol if _ATOM.fullmatch(protocol) else "SMTP"
    return f"Received: from {_name(helo, utf8)}{info}\r\n\tby {_name(hostname, utf8)} with {word} id "


@lru_cache(maxsize=1024)
def _facts(tls: str, version: str, certificate: str, login: str) -> str:
    """The clause and the comments between the recipient and the date: equal for all messages of a session."""
    lines = []
    if tls:
        suite = _registered(tls)
        version = _who(version)
        said = version if suite else f"{version} {_who(tls)}".lstrip()
        comment = f"({said})" if said else ""
        lines.append(f"tls {suite} {comment}".rstrip() if suite else comment)
    if certificate:
        lines.append(f"(Client certificate: {_who(certificate)})")
    if login:
        lines.append(f"(Authenticated sender: {_who(login)})")
    return "".join(f"\r\n\t{line}" for line in lines)


def _registered(suite: str) -> str:
    """The name in IANA's registry of a cipher suite that OpenSSL calls ``suite``; "" if it is not known."""
    if suite.startswith("TLS_"):
        return suite if re.fullmatch("[A-Z0-9_]{1,80}", suite) else ""
    found = _SUITE.fullmatch(suite)
    if found is None:
        return ""
    exchange, signature, bits, gcm, digest, chacha = found.groups()
    if chacha:
        cipher = "CHACHA20_POLY1305_SHA256"
    else:
        cipher = f"AES_{bits}_{'GCM' if gcm else 'CBC'}_{digest}"
    return f"TLS_{exchange}_{signature}_WITH_{cipher}" if exchange else f"TLS_RSA_WITH_{cipher}"


def _who(text: str) -> str:
    """Text of a client in a comment, in ASCII; one that was cut ends with an ellipsis."""
    short = _NOT_WHO.sub("?", text[:_LONGEST_WHO])
    return short if len(text) <= _LONGEST_WHO else f"{short}..."


def return_path(sender: Address | None) -> bytes:
    """The field ``Return-Path: <sender>`` with its CRLF; final delivery writes it (RFC 5321 §4.4).

    Raises ``LocalError`` if the address holds a control character or is over 900 octets.
    """
    path = path_text(sender)
    if not _can_be_written(path):
        raise LocalError("the return path cannot be written: it holds a control character or is over 900 octets")
    return f"Return-Path: <{path}>\r\n".encode()


def address_field(name: str, address: str) -> bytes:
    """The field ``name: address`` with its CRLF, b"" if the address cannot be written; final delivery writes it."""
    return f"{name}: {address}\r\n".encode() if address and _can_be_written(address) else b""


def quarantine_field(reason: str) -> bytes:
    """The field with its CRLF; the reason is in a comment, in ASCII, and is cut behind 200 characters."""
    text = "".join(sign if " " <= sign <= "~" else "?" for sign in reason)[:_LONGEST_REASON]
    return f"Quarantine: yes\r\n\t({text.replace('(', '[').replace(')', ']').replace(chr(92), '/')})\r\n".encode()


def is_quarantined(content: Content) -> bool:
    """Whether a message has the field above its first Received field.  At most 64 KiB of it are read."""
    first = _MARK.search(next(content.chunks(_MARKED_WITHIN), b""))
    return first is not None and first[1] is not None
