"""OAUTHBEARER (RFC 7628) and XOAUTH2 (the older form of two large providers), in both roles.

Both carry an OAuth 2.0 bearer token (RFC 6750) in place of a password.  A server refuses in two steps: a challenge with
the reason in JSON, which the client answers with a dummy message, and then the negative reply.
"""

from __future__ import annotations

import json
import re
from typing import Final, cast

from posthouse.core import LocalError, Reply
from posthouse.protocol.sasl.exchange import Authenticated, CheckToken, Exchange, Say, malformed, refused, rejected
from posthouse.protocol.sasl.saslprep import NotPrepared, prepare

__all__ = ["oauthbearer_client", "oauthbearer_server", "read_token_error", "xoauth2_client", "xoauth2_server"]

#: RFC 6750 §2.1, b64token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_FIELD: Final = re.compile(r"([A-Za-z]+)=([^\x00\x01]*)")
_GS2: Final = re.compile(r"(?P<flag>[ny]|p=[A-Za-z0-9.-]+),(?:a=(?P<user>(?:[^\x00,=]|=2C|=3D)+))?,")


# Client ---------------------------------------------------------------------------------------------------------------


def oauthbearer_client(user: str, token: str, host: str = "", port: int = 0) -> Exchange:
    """OAUTHBEARER; ``host`` and ``port`` are those that the client connected to."""
    name = user.replace("=", "=3D").replace(",", "=2C")
    fields = [f"host={host}"] * bool(host) + [f"port={port}"] * bool(port) + [f"auth=Bearer {_checked(token)}"]
    challenge = yield Say("\x01".join([f"n,{f'a={name}' if name else ''},", *fields, "\x01"]).encode())
    if challenge is not None:  # the reason of a refusal; RFC 7628 §3.2.3 wants this before the reply
        yield Say(b"\x01")
    return None


def xoauth2_client(user: str, token: str) -> Exchange:
    """XOAUTH2."""
    challenge = yield Say(f"user={user}\x01auth=Bearer {_checked(token)}\x01\x01".encode())
    if challenge is not None:
        yield Say(b"")
    return None


def _checked(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise LocalError("this is no bearer token: it holds a character that RFC 6750 does not allow")
    return token


def read_token_error(challenge: bytes) -> str:
    """The reason in a refusing challenge, as one printable line of at most 200 characters; empty if it has none."""
    try:
        parsed = json.loads(challenge.decode())
    except (ValueError, RecursionError):
        return ""
    if not isinstance(parsed, dict):
        return ""
    text = ", ".join(f"{key} {parsed[key]}" for key in ("status", "error_description", "scope") if parsed.get(key))
    return "".join(each for each in text if each.isprintable())[:200]


# Server ---------------------------------------------------------------------------------------------------------------


def oauthbearer_server(initial: bytes | None) -> Exchange:
    """OAUTHBEARER (RFC 7628 §3): a GS2 header, then fields, each ended by U+0001."""
    message = initial if initial is not None else cast(bytes, (yield Say(b"")))
    try:
        header, _, rest = message.decode().partition("\x01")
    except UnicodeDecodeError:
        return malformed("the message is not UTF-8")
    gs2 = _GS2.fullmatch(header)
    if gs2 is None or gs2["flag"].startswith("p="):
        return malformed("OAUTHBEARER begins with n,a=name, or n,,")
    user = (gs2["user"] or "").replace("=2C", ",").replace("=3D", "=")
    return (yield from _judge(user, rest, '{"status":"invalid_token","schemes":"bearer"}', "OAUTHBEARER"))


def xoauth2_server(initial: bytes | None) -> Exchange:
    """XOAUTH2: ``user=…``, then fields like OAUTHBEARER's."""
    message = initial if initial is not None else cast(bytes, (yield Say(b"")))
    try:
        header, _, rest = message.decode().partition("\x01")
    except UnicodeDecodeError:
        return malformed("the message is not UTF-8")
    match = _FIELD.fullmatch(header)
    if match is None or match[1].lower() != "user" or not match[2]:
        return malformed("XOAUTH2 begins with user=name")
    return (yield from _judge(match[2], rest, '{"status":"401","schemes":"bearer"}', "XOAUTH2"))


def _judge(user: str, rest: str, refusal: str, mechanism: str) -> Exchange:
    """Read the fields, ask whose token it is, and refuse in two steps."""
    if not rest.endswith("\x01\x01") and rest != "\x01":
        return malformed(f"{mechanism} ends with two octets 01")
    fields: dict[str, str] = {}
    for part in rest[:-2].split("\x01"):
        match = _FIELD.fullmatch(part)
        if match is None or match[1].lower() in fields:
            return malformed(f"{mechanism} has fields of the form name=value, each once")
        fields[match[1].lower()] = match[2]
    scheme, _, token = fields.get("auth", "").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
        return malformed(f"{mechanism} needs the field auth=Bearer token")
    try:
        name = prepare(user)
    except NotPrepared as error:
        return rejected(f"the name cannot be prepared: {error}")
    owner = cast("str | Reply | None", (yield CheckToken(name, token)))
    if isinstance(owner, Reply):
        return refused(owner, name)
    if not owner or name not in ("", owner):
        yield Say(refusal.encode())
        return rejected(f"the token is for {owner}" if owner else "the token is not valid", name)
    return Authenticated(owner, mechanism)
