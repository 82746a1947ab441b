"""The mechanisms by name: which there are, how strong each is, and which a client should take.

``MECHANISMS`` is in the order in which a client prefers them: those that never show the password first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from posthouse.core import LocalError
from posthouse.protocol.sasl.exchange import ChannelBinding, Exchange
from posthouse.protocol.sasl.forwarded import forwarded_server
from posthouse.protocol.sasl.passwords import (
    cram_md5_client,
    cram_md5_server,
    external_client,
    external_server,
    login_client,
    login_server,
    plain_client,
    plain_server,
)
from posthouse.protocol.sasl.scram import LEAST_ITERATIONS, scram_client, scram_server
from posthouse.protocol.sasl.tokens import oauthbearer_client, oauthbearer_server, xoauth2_client, xoauth2_server

__all__ = ["Credentials", "MECHANISMS", "Mechanism", "ServerContext", "choose", "client_exchange", "server_exchange"]


class Mechanism(NamedTuple):
    """One mechanism: ``needs`` is ``password``, ``token`` or ``certificate``; ``clear``: what it says can be used by
    whoever reads along; ``bound``: it needs a channel binding."""

    name: str
    needs: str
    clear: bool = False
    bound: bool = False
    hash_name: str = ""


MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Mechanism("EXTERNAL", "certificate"),
            Mechanism("SCRAM-SHA-256-PLUS", "password", bound=True, hash_name="sha256"),
            Mechanism("SCRAM-SHA-256", "password", hash_name="sha256"),
            Mechanism("SCRAM-SHA-1-PLUS", "password", bound=True, hash_name="sha1"),
            Mechanism("SCRAM-SHA-1", "password", hash_name="sha1"),
            Mechanism("OAUTHBEARER", "token", clear=True),
            Mechanism("XOAUTH2", "token", clear=True),
            Mechanism("CRAM-MD5", "password"),
            Mechanism("PLAIN", "password", clear=True),
            Mechanism("LOGIN", "password", clear=True),
        )
    }
)


class Credentials(NamedTuple):
    """What a client has to prove who it is: a password, or an OAuth token, or neither (a client certificate).

    ``authzid``: the account to act as, if it is another than ``user``.
    """

    user: str = ""
    password: str | None = None
    token: str | None = None
    authzid: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"  # logs show repr

    @property
    def kind(self) -> str:
        """What a mechanism must need to be usable with these."""
        return "password" if self.password is not None else "token" if self.token is not None else "certificate"


# Client ---------------------------------------------------------------------------------------------------------------


def choose(
    offered: Collection[str],
    credentials: Credentials,
    *,
    tls: bool,
    binding: ChannelBinding | None = None,
    allow_plain_text: bool = False,
) -> list[Mechanism]:
    """The offered mechanisms that these credentials can use, strongest first.

    Without ``tls``, those that show a password or token are left out unless ``allow_plain_text``.  Raises LocalError,
    with the reason and the remedy, if none is left.
    """
    names = {each.upper() for each in offered}
    fitting = [
        each
        for each in MECHANISMS.values()
        if each.name in names and each.needs == credentials.kind and (binding is not None or not each.bound)
    ]
    safe = [each for each in fitting if tls or allow_plain_text or not each.clear]
    if safe:
        return safe
    if fitting:
        raise LocalError(
            f"the server offers only {', '.join(each.name for each in fitting)} here, which would show the "
            f"{credentials.kind} to anyone who reads along; use TLS, or allow plain text if the network is yours"
        )
    listed = ", ".join(sorted(names)) or "no mechanism"
    raise LocalError(
        f"the server offers {listed}, and none of them works with a {credentials.kind}; "
        + ("it may offer more after STARTTLS" if not tls else "ask its operator which login it takes")
    )


def client_exchange(
    mechanism: Mechanism,
    credentials: Credentials,
    *,
    nonce: str,
    binding: ChannelBinding | None = None,
    host: str = "",
    port: int = 0,
) -> Exchange:
    """The client's generator of ``mechanism``.  ``nonce``: fresh random characters without comma, for SCRAM; ``host``
    and ``port``: where the client connected, for OAUTHBEARER."""
    user, password, token = credentials.user, credentials.password or "", credentials.token or ""
    match mechanism.name:
        case "EXTERNAL":
            return external_client(credentials.authzid or user)
        case "OAUTHBEARER":
            return oauthbearer_client(user, token, host, port)
        case "XOAUTH2":
            return xoauth2_client(user, token)
        case "CRAM-MD5":
            return cram_md5_client(user, password)
        case "PLAIN":
            return plain_client(user, password, credentials.authzid)
        case "LOGIN":
            return login_client(user, password)
        case _:
            return scram_client(
                mechanism.hash_name,
                user,
                password,
                nonce,
                authzid=credentials.authzid,
                binding=binding,
                plus=mechanism.bound,
            )


# Server ---------------------------------------------------------------------------------------------------------------


class ServerContext(NamedTuple):
    """What a server's mechanism must know of its channel and of this exchange.

    ``nonce``: fresh random characters without comma.  ``decoy_secret``: octets that stay the same for months, from
    which unknown accounts get their salts.  ``bindings``: channel binding data by type, empty without TLS.
    ``offered``: the names in the EHLO reply.  ``identity``: the name in the verified client certificate.
    ``challenge``: CRAM-MD5's, in the form of a Message-ID.  ``forwarded``: mechanisms that another server judges.
    ``empty_passwords``: an empty password is asked about, and not refused at once.
    """

    nonce: str
    decoy_secret: bytes
    bindings: Mapping[str, bytes] = MappingProxyType({})
    offered: Collection[str] = ()
    identity: str | None = None
    challenge: str = ""
    decoy_iterations: int = LEAST_ITERATIONS
    decoy_salt: int = 16
    forwarded: Collection[str] = ()
    empty_passwords: bool = False

    def __repr__(self) -> str:
        return f"ServerContext(offered={tuple(self.offered)!r})"  # logs and tracebacks show repr


def server_exchange(mechanism: Mechanism, initial: bytes | None, context: ServerContext) -> Exchange:
    """The server's generator of ``mechanism``; ``initial`` is the decoded initial response, None if there was none."""
    if mechanism.name in context.forwarded:
        return forwarded_server(mechanism.name, initial, speaks_first=mechanism.name == "CRAM-MD5")
    match mechanism.name:
        case "EXTERNAL":
            return external_server(initial, context.identity)
        case "OAUTHBEARER":
            return oauthbearer_server(initial)
        case "XOAUTH2":
            return xoauth2_server(initial)
        case "CRAM-MD5":
            return cram_md5_server(initial, context.challenge)
        case "PLAIN":
            return plain_server(initial, empty=context.empty_passwords)
        case "LOGIN":
            return login_server(initial, empty=context.empty_passwords)
        case _:
            return scram_server(
                mechanism.hash_name,
                initial,
                context.nonce,
                decoy_secret=context.decoy_secret,
                bindings=context.bindings,
                plus=mechanism.bound,
                offers_plus=not mechanism.bound and f"{mechanism.name}-PLUS" in context.offered,
                decoy_iterations=context.decoy_iterations,
                decoy_salt=context.decoy_salt,
            )
