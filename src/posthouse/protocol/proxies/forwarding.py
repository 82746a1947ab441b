"""XCLIENT and XFORWARD (Postfix's ``XCLIENT_README``, ``XFORWARD_README``): a trusted client names the real one.

XCLIENT makes the session that of the client it names, as if that client had just connected; XFORWARD only changes what
is recorded of the next message.  A receiver knows the commands only where its offer has them, and announces the
attributes that it takes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from posthouse.core import Reply
from posthouse.protocol.events import Refused
from posthouse.protocol.extensions import Offer
from posthouse.protocol.grammar import GrammarError, xtext_decode
from posthouse.protocol.parsing import CommandError
from posthouse.protocol.refusals import IN_TRANSACTION, foreign_protocol
from posthouse.protocol.states import State

__all__ = ["Forwarding", "XCLIENT", "XFORWARD", "no_command", "parse_forwarding"]

#: The attributes that can be announced; without accounts, LOGIN is left out.
XCLIENT: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
XFORWARD: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")

_ATTRIBUTE: Final = re.compile(r"([A-Za-z]{1,16})=([!-~]{1,765})", re.ASCII)
_ABSENT: Final = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_LONGEST: Final = 255
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,4}", re.ASCII)


class Forwarding(NamedTuple):
    """XCLIENT or XFORWARD; an attribute whose value is not available is ""."""

    verb: str
    attributes: Mapping[str, str]


def no_command(line: bytes, offer: Offer, state: State) -> Forwarding | Refused | None:
    """What a line is whose first word is no verb of the RFCs: XCLIENT or XFORWARD where they are offered; a protocol
    that is not SMTP; or None, an error like any other."""
    foreign = foreign_protocol(line + b"\r\n")
    if foreign is not None:
        return Refused(foreign[0], foreign[1], fatal=True)
    if not offer.xclient and not offer.xforward:
        return None
    try:
        command = parse_forwarding(line, offer)
    except CommandError as error:
        return Refused(error.verb, error.reply, fatal=True)
    if command is not None and state is not State.GREETED and state is not State.READY:
        return Refused(command.verb, IN_TRANSACTION)
    return command


def parse_forwarding(line: bytes, offer: Offer) -> Forwarding | None:
    """The command in ``line``, or None if it is another one or the offer does not have it.  Raises ``CommandError``."""
    words = line.rstrip(b" \t").split(b" ")
    verb = words[0].upper().decode("latin-1")
    known = offer.xclient if verb == "XCLIENT" else offer.xforward if verb == "XFORWARD" else ()
    if not known:
        return None
    attributes: dict[str, str] = {}
    for word in words[1:]:
        match = _ATTRIBUTE.fullmatch(word.decode("latin-1"))
        if match is None:
            _refuse(verb, "an attribute is not NAME=value")
        name = match[1].upper()
        if name not in known or name in attributes:
            _refuse(verb, f"the attribute {name} is not offered here, or stands there twice")
        attributes[name] = _value(verb, name, match[2])
    if not attributes:
        _refuse(verb, "there is no attribute")
    return Forwarding(verb, attributes)


def _refuse(verb: str, why: str) -> NoReturn:
    raise CommandError(verb, Reply(501, "5.5.4", f"{verb} is malformed: {why}. Closing connection"))


def _value(verb: str, name: str, xtext: str) -> str:
    if xtext.upper() in _ABSENT:
        return ""
    try:
        text = xtext_decode(xtext)
    except GrammarError:
        _refuse(verb, f"{name} is not xtext")
    # A client may call itself what it likes in UTF-8, and HELO takes that from the client itself too.
    ascii_only = name != "HELO"
    if not text or len(text) > _LONGEST or (ascii_only and not text.isascii()) or not text.isprintable() or " " in text:
        _refuse(verb, f"{name} is too long, or has a character that cannot be there")
    if name in ("PORT", "DESTPORT"):
        if not _NUMBER.fullmatch(text) or int(text) > 65_535:
            _refuse(verb, f"{name} is no port")
    elif name in ("ADDR", "DESTADDR"):
        address = _address(text)
        if address is None and verb == "XCLIENT":
            _refuse(verb, f"{name} is no IP address")
        return address or text  # XFORWARD may name what is no IP address
    elif name == "PROTO" and verb == "XCLIENT":
        if text.upper() not in ("SMTP", "ESMTP"):
            _refuse(verb, "PROTO is neither SMTP nor ESMTP")
        return text.upper()
    return text


def _address(text: str) -> str | None:
    bare = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)
