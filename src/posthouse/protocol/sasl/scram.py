"""SCRAM-SHA-1 and SCRAM-SHA-256, with and without channel binding (RFC 5802, RFC 7677), in both roles.

The password never crosses the channel: the client proves that it knows it, and the server proves that it holds keys
derived from it.  With ``-PLUS`` both proofs cover the TLS channel, so that a machine in the middle cannot pass them on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from posthouse.core import LocalError, RemoteError, Reply
from posthouse.protocol.sasl.exchange import (
    Authenticated,
    ChannelBinding,
    Denied,
    DeriveKey,
    Exchange,
    FindKeys,
    Say,
    ScramKeys,
    malformed,
    refused,
    rejected,
)
from posthouse.protocol.sasl.saslprep import NotPrepared, prepare

__all__ = [
    "LEAST_ITERATIONS",
    "MOST_ITERATIONS",
    "derive_keys",
    "read_keys",
    "scram_client",
    "scram_server",
    "write_keys",
]

#: Fewer make a stolen proof cheap to guess (RFC 7677 §4 names 4,096 as the least).
LEAST_ITERATIONS: Final = 4_096
#: More would let a server keep a client busy for seconds.
MOST_ITERATIONS: Final = 2_000_000

_MECHANISMS: Final = {"sha1": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}
_NAME: Final = re.compile(r"(?:[^\x00,=]|=2C|=3D)+")
_PRINTABLE: Final = r"[\x21-\x2b\x2d-\x7e]+"  # VCHAR without the comma
_CLIENT_FIRST: Final = re.compile(
    r"(?P<gs2>(?P<flag>n|y|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,]+))?,)"
    rf"(?P<bare>n=(?P<name>[^,]+),r=(?P<nonce>{_PRINTABLE})(?:,[A-Za-z]=[^\x00,]+)*)"
)
_SERVER_FIRST: Final = re.compile(
    rf"r=(?P<nonce>{_PRINTABLE}),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<count>[1-9][0-9]{{0,9}})(?:,[A-Za-z]=[^\x00,]+)*"
)
_CLIENT_FINAL: Final = re.compile(
    rf"(?P<unsigned>c=(?P<channel>[A-Za-z0-9+/=]+),r=(?P<nonce>{_PRINTABLE})(?:,[A-Za-z]=[^\x00,]+)*)"
    r",p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_STORED: Final = re.compile(
    r"(?P<mechanism>SCRAM-SHA-(?:1|256))\$(?P<count>[1-9][0-9]{0,9}):(?P<salt>[A-Za-z0-9+/=]+)"
    r"\$(?P<stored>[A-Za-z0-9+/=]+):(?P<server>[A-Za-z0-9+/=]+)"
)


# Keys -----------------------------------------------------------------------------------------------------------------


def derive_keys(password: str, salt: bytes, iterations: int, hash_name: str = "sha256") -> ScramKeys:
    """The keys to store for ``password``, which is prepared as a new one (RFC 5802 §3).  Takes milliseconds.

    Raises NotPrepared if the password cannot be one.
    """
    prepared = prepare(password, new=True)
    return _keys(DeriveKey(hash_name, prepared, salt, iterations).compute(), salt, iterations, hash_name)


def _keys(salted: bytes, salt: bytes, iterations: int, hash_name: str) -> ScramKeys:
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    return ScramKeys(hash_name, salt, iterations, hashlib.new(hash_name, client_key).digest(), server_key)


def write_keys(keys: ScramKeys) -> str:
    """The keys as RFC 5803's text, ``SCRAM-SHA-256$iterations:salt$stored:server``."""
    salt, stored, server = (base64.b64encode(each).decode() for each in (keys.salt, keys.stored_key, keys.server_key))
    return f"{_MECHANISMS[keys.hash_name]}${keys.iterations}:{salt}${stored}:{server}"


def read_keys(text: str) -> ScramKeys:
    """The keys in RFC 5803's text.  Raises ValueError, whose message quotes nothing of it."""
    match = _STORED.fullmatch(text)
    if match is None:
        raise ValueError("these are no SCRAM keys; write SCRAM-SHA-256$iterations:salt$stored-key:server-key")
    hash_name = next(name for name, mechanism in _MECHANISMS.items() if mechanism == match["mechanism"])
    salt, stored, server = (_decoded(match[name]) for name in ("salt", "stored", "server"))
    size = hashlib.new(hash_name).digest_size
    if salt is None or stored is None or server is None or {len(stored), len(server)} != {size}:
        raise ValueError("the salt or a key is not base64, or has a wrong length")
    return ScramKeys(hash_name, salt, int(match["count"]), stored, server)


# Client ---------------------------------------------------------------------------------------------------------------


class _Gs2(NamedTuple):
    """The header that says whether the channel is bound, and how (RFC 5802 §7)."""

    header: str
    data: bytes  # of the binding

    @property
    def encoded(self) -> str:
        return base64.b64encode(self.header.encode() + self.data).decode()


def scram_client(
    hash_name: str,
    user: str,
    password: str,
    nonce: str,
    *,
    authzid: str = "",
    binding: ChannelBinding | None = None,
    plus: bool = False,
) -> Exchange:
    """The client's part.  ``nonce``: fresh random characters without comma (18 octets in base64 will do).

    ``plus``: bind to ``binding``.  Without ``plus``, a ``binding`` makes the client say that it could have been bound
    (``y``), which uncovers who took ``-PLUS`` out of the server's list.  Raises LocalError if name or password cannot
    be prepared; RemoteError if the server does not prove that it knows the password, or breaks the grammar.
    """
    try:
        name, secret = prepare(user), prepare(password)
    except NotPrepared as error:
        raise LocalError(f"this name or password cannot be used with SCRAM: {error}") from error
    if plus and binding is None:
        raise LocalError("a mechanism with -PLUS needs a channel binding, which only TLS gives")
    flag = f"p={binding.kind}" if plus and binding else "y" if binding else "n"
    gs2 = _Gs2(f"{flag},{f'a={_write_name(authzid)}' if authzid else ''},", binding.data if plus and binding else b"")
    bare = f"n={_write_name(name)},r={nonce}"
    first = yield Say(f"{gs2.header}{bare}".encode())
    match = _read(_SERVER_FIRST, first)
    if match is None or not match["nonce"].startswith(nonce) or match["nonce"] == nonce:
        raise RemoteError("the server's first SCRAM message is malformed, or does not continue our nonce")
    salt, count = _decoded(match["salt"]), int(match["count"])
    if salt is None or not LEAST_ITERATIONS <= count <= MOST_ITERATIONS:
        raise RemoteError(
            f"the server asks for {count:,} SCRAM iterations; {LEAST_ITERATIONS:,} to {MOST_ITERATIONS:,} are accepted"
        )
    salted = cast(bytes, (yield DeriveKey(hash_name, secret, salt, count)))
    unsigned = f"c={gs2.encoded},r={match['nonce']}"
    covered = f"{bare},{match[0]},{unsigned}".encode()
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), covered, hash_name)
    final = yield Say(f"{unsigned},p={base64.b64encode(_xor(client_key, signature)).decode()}".encode())
    proof = hmac.digest(hmac.digest(salted, b"Server Key", hash_name), covered, hash_name)
    expected = b"v=" + base64.b64encode(proof)
    if final is None or not hmac.compare_digest(cast(bytes, final).split(b",")[0], expected):
        raise RemoteError("the server did not prove that it knows the password; it may be another one than it claims")
    # RFC 4954 §4: SMTP has no place for data beside 235, so the server's proof came in a 334, answered with nothing.
    yield Say(b"")
    return None


# Server ---------------------------------------------------------------------------------------------------------------


def scram_server(
    hash_name: str,
    initial: bytes | None,
    nonce: str,
    *,
    decoy_secret: bytes,
    bindings: Mapping[str, bytes],
    plus: bool = False,
    offers_plus: bool = False,
    decoy_iterations: int = LEAST_ITERATIONS,
    decoy_salt: int = 16,
) -> Exchange:
    """The server's part of ``initial``, the client's first message (None if it is still to be asked for).

    ``nonce``: fresh random characters without comma.  ``bindings``: the channel's binding data by type; ``plus``: this
    is the ``-PLUS`` mechanism; ``offers_plus``: it was offered, so a client that says it was not has been deceived.
    An unknown account gets a salt computed from its name and ``decoy_secret``, which stays the same while the secret
    does, so that a client cannot tell which accounts exist; ``decoy_iterations`` and ``decoy_salt`` (octets, at most
    64) are those of real accounts.
    """
    mechanism = _MECHANISMS[hash_name] + ("-PLUS" if plus else "")
    first = _read_client_first(
        initial if initial is not None else (yield Say(b"")), bindings, plus=plus, offers_plus=offers_plus
    )
    if isinstance(first, Denied):
        return first
    match, name, acts_as = first

    keys = cast("ScramKeys | Reply | None", (yield FindKeys(name, hash_name)))
    if isinstance(keys, Reply):
        return refused(keys, name)
    known = keys is not None
    if keys is None:
        salt = hmac.digest(decoy_secret, name.encode(), "sha512")[:decoy_salt]
        blank = bytes(hashlib.new(hash_name).digest_size)
        keys = ScramKeys(hash_name, salt, decoy_iterations, blank, blank)
    server_first = f"r={match['nonce']}{nonce},s={base64.b64encode(keys.salt).decode()},i={keys.iterations}"
    final = _read(_CLIENT_FINAL, (yield Say(server_first.encode())))
    proof = None if final is None else _decoded(final["proof"])
    if final is None or proof is None or len(proof) != len(keys.stored_key):
        return malformed("the client's final SCRAM message")
    gs2 = _Gs2(match["gs2"], bindings[match["binding"]] if plus else b"")
    covered = f"{match['bare']},{server_first},{final['unsigned']}".encode()
    client_key = _xor(proof, hmac.digest(keys.stored_key, covered, hash_name))
    right = hmac.compare_digest(hashlib.new(hash_name, client_key).digest(), keys.stored_key)
    if final["nonce"] != f"{match['nonce']}{nonce}":
        return rejected("the nonce is not the one of this exchange", name)
    if not hmac.compare_digest(final["channel"], gs2.encoded):
        return rejected("the proof is bound to another channel", name)
    if not (right and known):
        return rejected("wrong password" if known else "unknown account", name)
    if acts_as not in ("", name):
        return rejected("it may not act as another account", name)
    signature = hmac.digest(keys.server_key, covered, hash_name)
    yield Say(b"v=" + base64.b64encode(signature))
    return Authenticated(name, mechanism)


def _read_client_first(
    message: bytes | None, bindings: Mapping[str, bytes], *, plus: bool, offers_plus: bool
) -> tuple[re.Match[str], str, str] | Denied:
    """The parts of the client's first message, its name, and the name that it wants to act as."""
    match = _read(_CLIENT_FIRST, message)
    if match is None:
        return malformed("the client's first SCRAM message")
    user = _read_name(match["name"])
    authzid = _read_name(match["authzid"]) if match["authzid"] else ""
    if user is None or authzid is None:
        return malformed("a name in the client's first SCRAM message")
    if plus is not bool(match["binding"]):
        return malformed("a channel binding is asked for with -PLUS, and only with it")
    if match["flag"] == "y" and offers_plus:
        return rejected("the client did not see that -PLUS was offered; the list may have been changed on its way")
    if plus and match["binding"] not in bindings:
        return malformed(f"channel binding {match['binding'][:40]} is not known here")
    try:
        return match, prepare(user), prepare(authzid)
    except NotPrepared as error:
        return rejected(f"the name cannot be prepared: {error}")


# Grammar --------------------------------------------------------------------------------------------------------------


def _read(pattern: re.Pattern[str], message: bytes | None) -> re.Match[str] | None:
    """The message's parts, or None: not UTF-8, not the grammar, or an extension that must be understood (``m=``)."""
    try:
        text = (message or b"").decode()
    except UnicodeDecodeError:
        return None
    return pattern.fullmatch(text)


def _write_name(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _read_name(text: str) -> str | None:
    return text.replace("=2C", ",").replace("=3D", "=") if _NAME.fullmatch(text) else None


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
