"""XCLIENT in a session: the peers that may use it, and what they say of the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from posthouse.core import Reply, Verdict
from posthouse.protocol import Offer
from posthouse.protocol.proxies import XCLIENT, XFORWARD
from posthouse.protocol.sasl.exchange import Authenticated
from posthouse.server.policy import Answer, Peer, SecuredPolicy
from posthouse.server.settings import Proxies, SessionSettings

__all__ = ["ClientClaim", "forwarding_offer", "logged_in_elsewhere"]

#: The host of a client whose address is not known; it is no address, so no rule for addresses holds for it.
_UNKNOWN = "unknown"

_NO_SUCH_LOGIN: Final = Verdict(
    Reply(421, "4.7.0", "XCLIENT names an account that cannot log in here; closing connection"), "XCLIENT LOGIN"
)


class ClientClaim(NamedTuple):
    """The client that XCLIENT has named so far: its addresses, its name in the DNS, its HELO and protocol, its login.

    Texts are "" where nothing was said.  ``by`` is the real peer.
    """

    by: Peer
    peer: Peer
    name: str = ""
    helo: str = ""
    protocol: str = ""
    login: str = ""

    def said(self, attributes: Mapping[str, str]) -> ClientClaim:
        """The claim after one more XCLIENT.

        A long claim may come in several commands, so what is not said stays; but ADDR begins a new client, of whom
        nothing else is known yet.
        """
        claim = ClientClaim(self.by, self.peer) if "ADDR" in attributes else self
        host, port, local_host, local_port = claim.peer
        peer = Peer(
            attributes["ADDR"] or _UNKNOWN if "ADDR" in attributes else host,
            int(attributes.get("PORT", 0 if "ADDR" in attributes else port) or 0),
            attributes.get("DESTADDR", local_host) or self.by.local_host,
            int(attributes.get("DESTPORT", local_port) or 0),
        )
        return ClientClaim(
            self.by,
            peer,
            attributes.get("NAME", claim.name),
            attributes.get("HELO", claim.helo),
            attributes.get("PROTO", claim.protocol),
            attributes.get("LOGIN", claim.login),
        )


def forwarding_offer(settings: SessionSettings, proxies: Proxies, host: str) -> Offer:
    """The offer to a peer, with XCLIENT and XFORWARD if it may use them; LOGIN only where there are accounts."""
    has_accounts = settings.protection is not None and settings.protection.login is not None
    xclient = XCLIENT if has_accounts else tuple(each for each in XCLIENT if each != "LOGIN")
    return settings.offer._replace(
        xclient=xclient if proxies.xclient(host) else (), xforward=XFORWARD if proxies.xforward(host) else ()
    )


async def logged_in_elsewhere(welcome: Answer, policy: SecuredPolicy, user: str) -> Verdict:
    """The greeting of a client that has logged in elsewhere; 421 if its account cannot log in here."""
    verdict = welcome if isinstance(welcome, Verdict) else await welcome
    if verdict.reply.code >= 300:
        return verdict
    login = policy.logged_in(Authenticated(user, "XCLIENT"))
    allowed = login if isinstance(login, Verdict) else await login
    return verdict if allowed.reply.code < 300 else _NO_SUCH_LOGIN
