"""What a peer's capabilities mean for a transaction, and how what is said is spelt for it."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.protocol import Capabilities
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.protocol.parameters import orcpt_encode
from posthouse.words import Address, OriginalRecipient, Reply, Result

__all__ = ["Traits", "result_of", "sayable", "spelt"]


def result_of(reply: Reply) -> Result:
    """What a reply that decided a recipient means for it."""
    if 200 <= reply.code < 400:
        return Result.DELIVERED
    return Result.DEFERRED if reply.transient else Result.FAILED


class Traits(NamedTuple):
    """What a transaction asks a peer's capabilities, looked up once for a session."""

    pipelining: bool
    chunking: bool
    declares_size: bool
    largest: int | None
    eightbit: bool
    binary: bool
    utf8: bool
    dsn: bool
    require_tls: bool
    most_recipients: int

    @classmethod
    def of(cls, capabilities: Capabilities) -> Traits:
        """Those of a peer that announced these."""
        has = capabilities.has
        return cls(
            pipelining=has("PIPELINING"),
            chunking=has("CHUNKING"),
            declares_size=has("SIZE"),
            largest=capabilities.size,
            eightbit=has("8BITMIME"),
            binary=has("BINARYMIME") and has("CHUNKING"),
            utf8=has("SMTPUTF8"),
            dsn=has("DSN"),
            require_tls=has("REQUIRETLS"),
            most_recipients=capabilities.limits.get("RCPTMAX", 0),
        )


def spelt(address: Address, utf8: bool) -> Address:
    """Without SMTPUTF8 a domain in U-labels goes out as A-labels (RFC 6531 §3.2): it is the same domain."""
    if utf8 or address.domain.isascii():
        return address
    return Address(address.local, domain_to_ascii(address.domain))


def sayable(orcpt: OriginalRecipient | None) -> OriginalRecipient | None:
    """None for one that cannot be written: in its 7-bit form a UTF-8 address may be longer than an ORCPT may be.  A
    report that names the recipient less well is better than a message that never goes on."""
    if orcpt is not None:
        try:
            orcpt_encode(orcpt)
        except GrammarError:
            return None
    return orcpt
