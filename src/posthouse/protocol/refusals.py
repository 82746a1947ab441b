"""Replies of the receiving engine to illegal input, each with the remedy."""

from __future__ import annotations

import re
from typing import Final

from posthouse.core import Reply
from posthouse.protocol.commands import Auth
from posthouse.protocol.extensions import Offer
from posthouse.protocol.readers import ENDLESS_LINE, InputFault
from posthouse.protocol.states import COMMANDS, Input, State

__all__ = [
    "AFTER_STARTTLS",
    "ALREADY_AUTHENTICATED",
    "AUTH_LINE_TOO_LONG",
    "BAD_BASE64",
    "BINARY_NEEDS_BDAT",
    "CHUNK_FAULTS",
    "CHUNK_TOO_LARGE",
    "CONTENT_FAULTS",
    "CONTENT_TOO_LARGE",
    "ENCRYPTION_NEEDED",
    "IN_TRANSACTION",
    "LINE_FAULTS",
    "LOOKS_LIKE_HTTP",
    "LOOKS_LIKE_TLS",
    "NO_RECIPIENTS",
    "TLS_IS_UP",
    "UTF8_ADDRESS",
    "begins_auth",
    "foreign_protocol",
    "mechanism_refusal",
    "shown",
    "wrong_order",
]

LINE_FAULTS: Final = {
    InputFault.BARE_LF: Reply(500, "5.5.2", "Line ended by LF alone; SMTP lines end with CRLF (with nc, say nc -C)"),
    InputFault.BARE_CR: Reply(500, "5.5.2", "CR without LF inside a command line"),
    InputFault.TOO_LONG: Reply(500, "5.5.2", "Line too long"),
    InputFault.ENDLESS: Reply(500, "5.5.2", f"Line longer than {ENDLESS_LINE} octets. Closing connection"),
}
CONTENT_FAULTS: Final = {
    InputFault.BARE_LF: Reply(554, "5.5.2", "LF without CR in the content; lines end with CRLF. Closing connection"),
    InputFault.BARE_CR: Reply(554, "5.5.2", "CR without LF in the content; lines end with CRLF. Closing connection"),
}
CHUNK_FAULTS: Final = {
    InputFault.BARE_LF: Reply(554, "5.6.0", "LF without CR in the content; lines end with CRLF unless BODY=BINARYMIME"),
    InputFault.BARE_CR: Reply(554, "5.6.0", "CR without LF in the content; lines end with CRLF unless BODY=BINARYMIME"),
}
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
BINARY_NEEDS_BDAT: Final = Reply(503, "5.5.1", "BODY=BINARYMIME needs BDAT, not DATA")
UTF8_ADDRESS: Final = Reply(553, "5.6.7", "Address has non-ASCII characters, but MAIL did not say SMTPUTF8")
CONTENT_TOO_LARGE: Final = Reply(552, "5.3.4", "Message far too large. Closing connection")
CHUNK_TOO_LARGE: Final = Reply(552, "5.3.4", "Chunk too large")
#: RFC 4954 §6: the mechanism may be used under TLS only.
ENCRYPTION_NEEDED: Final = Reply(538, "5.7.11", "Encryption required for this mechanism; say STARTTLS first")
TLS_IS_UP: Final = Reply(503, "5.5.1", "TLS is active already")
AFTER_STARTTLS: Final = Reply(554, "5.5.1", "Nothing may be sent behind STARTTLS before TLS is up. Closing connection")
IN_TRANSACTION: Final = Reply(503, "5.5.1", "A transaction is open; finish it or say RSET first")
LOOKS_LIKE_HTTP: Final = Reply(554, "5.5.1", "This looks like HTTP, and here is SMTP. Closing connection")
LOOKS_LIKE_TLS: Final = Reply(554, "5.5.1", "This looks like TLS, and here it begins with STARTTLS. Closing connection")
#: RFC 4954 §6.
AUTH_LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
BAD_BASE64: Final = Reply(501, "5.5.2", "Cannot decode this as base64")
ALREADY_AUTHENTICATED: Final = Reply(503, "5.5.1", "Already authenticated")


#: What may stand behind AUTH in a transcript; any other word may be a password in a wrong place.
_MECHANISMS: Final = frozenset(
    (
        *("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GSSAPI", "NTLM", "OAUTHBEARER", "XOAUTH2"),
        *("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
    )
)


def shown(line: bytes, *, after_auth: bool = False) -> str:
    """A command line for a transcript, without the credentials of AUTH.

    ``after_auth``: the client has said AUTH before.  Then a line that is no command may be a name or a password that it
    sends without waiting for a challenge, or after a refusal.
    """
    text = line.decode("utf-8", "replace")
    if begins_auth(line):  # also what was meant as AUTH: a missing or second space hides no less
        words = text.split(maxsplit=2)
        name = words[1].upper() if len(words) > 1 and words[0].upper() == "AUTH" else ""
        return f"AUTH {name} (credentials)" if name in _MECHANISMS else "AUTH (credentials)"
    if after_auth and text.strip() and text.split(maxsplit=1)[0].upper() not in COMMANDS:
        return "(no command; not shown, because it may be credentials)"
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def begins_auth(line: bytes) -> bool:
    """Whether a line is AUTH, or was meant as it."""
    return line.lstrip(b" \t")[:4].upper() == b"AUTH"


#: A ClientHello: a handshake record of SSL 3 or TLS, or SSL 2's form of it.
_TLS: Final = re.compile(rb"\x16\x03[\x00-\x04]|[\x80-\xff][\x00-\xff]\x01[\x00-\x03]")
#: Methods of HTTP, and the first word of HTTP/2 (RFC 9113 §3.4); RTSP and SIP have some of them.
_HTTP: Final = re.compile(rb"(?i:GET|POST|PUT|HEAD|DELETE|OPTIONS|TRACE|PATCH|CONNECT|PRI|PROPFIND)(?=[ \r\n])")


def foreign_protocol(begins: bytes) -> tuple[str, Reply] | None:
    """The protocol that a client speaks in place of SMTP, by the first octets of a line that is no command, and the
    last reply to it; None if it may be SMTP.

    The line may be incomplete, so a word is known only once what ends it is there; a line end belongs to ``begins``.

    A browser can be made to send a request to this port, with a message in its body; so the session ends at the first
    line (RFC 9325 §3.8).
    """
    if _HTTP.match(begins):
        return "HTTP", LOOKS_LIKE_HTTP
    if _TLS.match(begins):
        return "TLS", LOOKS_LIKE_TLS
    return None


def wrong_order(state: State, given: Input, *, lmtp: bool) -> str:
    """The sentence that names the right order."""
    if state is State.REFUSED:
        return "No mail here; say QUIT"
    if state is State.GREETED:
        return "Say LHLO first" if lmtp else "Say EHLO or HELO first"
    if given is Input.MAIL:
        return "A transaction is open already; finish it or say RSET"
    if state is State.CHUNKS:
        return "The message is not complete; send BDAT, or RSET to give it up"
    if given is Input.RCPT or state is State.READY:
        return "Say MAIL first"
    if given in (Input.DATA, Input.BDAT, Input.BDAT_LAST):
        return "Say RCPT first"
    return f"{given} is out of order here"


def mechanism_refusal(command: Auth, offer: Offer, later: tuple[str, ...]) -> Reply | None:
    """Why this mechanism cannot be used on a channel with this offer; ``later`` are those that TLS will add."""
    name = command.mechanism.upper()
    if name in offer.auth:
        return None
    if name in later:
        return ENCRYPTION_NEEDED
    return Reply(504, "5.5.4", f"Mechanism not offered; choose from: {' '.join(offer.auth)}")
