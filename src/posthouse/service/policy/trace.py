"""The Received field of a message that a listener takes (RFC 5321 §4.4), and what it says of TLS and AUTH."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.core import Address, Envelope
from posthouse.message.trace_fields import protocol_name, received, received_locally
from posthouse.net.tls_engine import tls_text
from posthouse.protocol.commands import Greet
from posthouse.protocol.grammar import lookup_domain
from posthouse.server.policy import Peer

__all__ = ["NOT_SECURED", "Secured", "trace_field"]


class Secured(NamedTuple):
    """What is known of a session's channel and client: the TLS version and cipher suite as texts, and the account that
    logged in; each empty if there is none.  ``hidden``: the trace field does not name the client.  ``local``: no client
    has brought the message; this user of the machine left it.  ``certificate``: the name in the client's verified
    certificate.  ``anonymous``: the trace field names neither certificate nor account; so does one that is
    ``hidden``."""

    version: str = ""
    cipher: str = ""
    user: str = ""
    hidden: bool = False
    local: str = ""
    certificate: str = ""
    anonymous: bool = False

    @property
    def tls(self) -> str:
        """Version, cipher suite and the client's certificate, as histories say it; empty in clear."""
        return tls_text(self.version, self.cipher, self.certificate) if self.cipher else ""


NOT_SECURED: Final = Secured()
#: What a trace field says in place of the client's name where that is hidden: RFC 5321 §4.4 wants a name, and readers
#: of trace fields pass over this one.
_HIDDEN: Final = "localhost"


def trace_field(
    hostname: str,
    peer: Peer,
    greet: Greet,
    envelope: Envelope,
    queue_id: str,
    now: float,
    offset_minutes: int,
    secured: Secured = NOT_SECURED,
) -> bytes:
    """The field, in ASCII also where MAIL had SMTPUTF8.

    A field of this host must not be the reason why the message needs SMTPUTF8 on its way.  So domains are written in
    A-labels, and a recipient whose local part is not ASCII is left out (RFC 6531 §3.7.3 allows both).
    """
    recipients = envelope.recipients
    if secured.local:
        name = hostname if hostname.isascii() else lookup_domain(hostname)
        return received_locally(name, secured.local, queue_id, now, offset_minutes)
    helo = _HIDDEN if secured.hidden else greet.domain
    named = not (secured.hidden or secured.anonymous)
    return received(
        hostname if hostname.isascii() else lookup_domain(hostname),
        helo=helo if helo.isascii() else lookup_domain(helo),
        host="" if secured.hidden else peer.host,
        protocol=protocol_name(greet.verb, bool(secured.cipher), bool(secured.user), envelope.smtputf8),
        queue_id=queue_id,
        seconds=now,
        offset_minutes=offset_minutes,
        recipient=_in_a_labels(recipients[0].address) if len(recipients) == 1 else None,
        tls=secured.cipher,
        version=secured.version,
        certificate=secured.certificate if named else "",
        login=secured.user if named else "",
    )


def _in_a_labels(address: Address) -> Address:
    return address if address.domain.isascii() else Address(address.local, lookup_domain(address.domain))
