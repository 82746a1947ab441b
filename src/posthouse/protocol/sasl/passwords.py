"""PLAIN, LOGIN, CRAM-MD5 and EXTERNAL, in both roles (RFC 4616, 2195, 4422 appendix A; LOGIN by custom).

PLAIN and LOGIN hand the password over: they belong inside TLS.  CRAM-MD5 does not, but makes the server keep the
password itself, and is off unless a configuration asks for it.  EXTERNAL takes the name from a client certificate.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, cast

from posthouse.core import LocalError, Reply
from posthouse.protocol.sasl.exchange import (
    ANY_SECRET,
    Authenticated,
    CheckPassword,
    Denied,
    Exchange,
    FindSecret,
    Say,
    malformed,
    refused,
    rejected,
)
from posthouse.protocol.sasl.saslprep import NotPrepared, prepare

__all__ = [
    "cram_md5_client",
    "cram_md5_server",
    "external_client",
    "external_server",
    "login_client",
    "login_server",
    "plain_client",
    "plain_server",
]

# Some clients compare these octets, so there are no other words, and no NUL behind them.
_USERNAME: Final = Say(b"Username:")
_PASSWORD: Final = Say(b"Password:")


# Client ---------------------------------------------------------------------------------------------------------------


def plain_client(user: str, password: str, authzid: str = "") -> Exchange:
    """PLAIN: one message, in UTF-8.  Raises LocalError if a part holds NUL, which the grammar cannot carry."""
    if "\0" in user + password + authzid:
        raise LocalError("a name or password with a NUL character cannot be sent with PLAIN")
    yield Say(f"{authzid}\0{user}\0{password}".encode())
    return None


def login_client(user: str, password: str) -> Exchange:
    """LOGIN: the name after the first challenge, the password after the second, whatever their words are."""
    yield Say(None)
    yield Say(user.encode())
    yield Say(password.encode())
    return None


def cram_md5_client(user: str, password: str) -> Exchange:
    """CRAM-MD5: a keyed digest of the server's challenge.  Raises ValueError where MD5 is forbidden (FIPS)."""
    challenge = cast(bytes, (yield Say(None)))
    digest = hmac.new(password.encode(), challenge or b"", hashlib.md5).hexdigest()
    yield Say(f"{user} {digest}".encode())
    return None


def external_client(authzid: str = "") -> Exchange:
    """EXTERNAL: the certificate of the TLS channel says who the client is; ``authzid`` asks to act as another."""
    yield Say(authzid.encode())
    return None


# Server ---------------------------------------------------------------------------------------------------------------


def plain_server(initial: bytes | None, *, empty: bool = False) -> Exchange:
    """PLAIN (RFC 4616 §2): ``authzid NUL name NUL password``.  ``empty``: the password may be."""
    message = initial if initial is not None else cast(bytes, (yield Say(b"")))
    parts = message.split(b"\0")
    if len(parts) != 3:
        return malformed("PLAIN is authorisation name, NUL, name, NUL, password")
    return (yield from _check(*parts, mechanism="PLAIN", empty=empty))


def login_server(initial: bytes | None, *, empty: bool = False) -> Exchange:
    """LOGIN: an initial response is the name, so that only the password is asked for.  ``empty``: it may be."""
    user = initial if initial is not None else cast(bytes, (yield _USERNAME))
    password = cast(bytes, (yield _PASSWORD))
    return (yield from _check(b"", user, password, mechanism="LOGIN", empty=empty))


def cram_md5_server(initial: bytes | None, challenge: str) -> Exchange:
    """CRAM-MD5.  ``challenge`` is fresh for each exchange, in the form of a Message-ID (RFC 2195 §2)."""
    if initial is not None:
        return malformed("CRAM-MD5 has no initial response")
    answer = cast(bytes, (yield Say(challenge.encode())))
    name, _, digest = answer.rpartition(b" ")
    try:
        user = prepare(name.decode())
    except UnicodeDecodeError:
        return malformed("the name is not UTF-8")
    except NotPrepared as error:
        return rejected(f"the name cannot be prepared: {error}")
    if not user or len(digest) != 32:
        return malformed("CRAM-MD5 answers with a name, a space and 32 hexadecimal digits")
    secret = cast("str | Reply | None", (yield FindSecret(user)))
    if isinstance(secret, Reply):
        return refused(secret, user)
    if secret == ANY_SECRET:
        return Authenticated(user, "CRAM-MD5")
    expected = hmac.new((secret or "").encode(), challenge.encode(), hashlib.md5).hexdigest().encode()
    if hmac.compare_digest(digest.lower(), expected) and secret:
        return Authenticated(user, "CRAM-MD5")
    return rejected("unknown account" if secret is None else "wrong password", user)


def external_server(initial: bytes | None, identity: str | None) -> Exchange:
    """EXTERNAL.  ``identity`` is the name that the verified client certificate holds, None without one: the name that
    the client typed never stands in for it, but where it is ``ANY_SECRET``: then every name is right."""
    message = initial if initial is not None else cast(bytes, (yield Say(b"")))
    if not identity:
        return rejected("the channel has no client certificate that names an account")
    try:
        account = prepare(identity) if identity != ANY_SECRET else ""
    except NotPrepared as error:
        return rejected(f"the name in the client certificate cannot be prepared: {error}")
    try:
        authzid = prepare(message.decode())
    except UnicodeDecodeError:
        return malformed("the authorisation name is not UTF-8")
    except NotPrepared as error:
        return rejected(f"the authorisation name cannot be prepared: {error}")
    if identity == ANY_SECRET:
        return Authenticated(authzid or "external", "EXTERNAL")
    if authzid not in ("", account):
        return rejected("it may not act as another account", account)
    return Authenticated(account, "EXTERNAL")


def _check(authzid: bytes, user: bytes, password: bytes, *, mechanism: str, empty: bool) -> Exchange:
    """Prepare, ask the store, and let nobody act as another."""
    try:
        texts = [each.decode() for each in (authzid, user, password)]
    except UnicodeDecodeError:
        return malformed("a name or password is not UTF-8")
    try:
        acts_as, name, secret = (prepare(each) for each in texts)
    except NotPrepared as error:
        return rejected(f"the name or password cannot be prepared: {error}")
    if not name or not (secret or empty):
        return rejected("the name or the password is empty", name)
    answer = cast("bool | str | Reply", (yield CheckPassword(name, secret)))
    if isinstance(answer, Reply):
        return refused(answer, name)
    if not answer:
        return rejected("unknown account or wrong password", name)
    account = answer if isinstance(answer, str) else name
    if acts_as not in ("", name, account):
        outcome: Denied = rejected("it may not act as another account", account)
        return outcome
    return Authenticated(account, mechanism)
