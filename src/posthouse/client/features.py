"""What a peer's capabilities mean for a transaction, and how what is said is spelt for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.core import Address, Body, Envelope, OriginalRecipient, Reply, Result
from posthouse.protocol import Capabilities, Mail, Rcpt
from posthouse.protocol.grammar import GrammarError, with_ascii_domain
from posthouse.protocol.parameters import orcpt_encode

__all__ = ["Features", "commands_of", "result_of"]

_SEVENBIT: Final = Body.SEVENBIT


def result_of(reply: Reply) -> Result:
    """What a reply that decided a recipient means for it."""
    if 200 <= reply.code < 400:
        return Result.DELIVERED
    return Result.DEFERRED if reply.transient else Result.FAILED


class Features(NamedTuple):
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
    def of(cls, capabilities: Capabilities) -> Features:
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


def _spelt(address: Address, utf8: bool) -> Address:
    """Without SMTPUTF8 a domain in U-labels goes out as A-labels (RFC 6531 §3.2): it is the same domain."""
    return address if utf8 else with_ascii_domain(address)


def _sayable(orcpt: OriginalRecipient | None) -> OriginalRecipient | None:
    """None for one that cannot be written: in its 7-bit form a UTF-8 address may be longer than an ORCPT may be.  A
    report that names the recipient less well is better than a message that never goes on."""
    if orcpt is not None:
        try:
            orcpt_encode(orcpt)
        except GrammarError:
            return None
    return orcpt


def commands_of(envelope: Envelope, size: int, traits: Features, utf8: bool) -> tuple[Mail, list[Rcpt]]:
    """MAIL with the parameters that this peer understands, and RCPT for each recipient."""
    sender = envelope.sender
    if sender is not None:
        sender = _spelt(sender, utf8)
    said_size = size if traits.declares_size else None
    body = envelope.body if traits.eightbit else _SEVENBIT
    people = envelope.recipients
    require_tls = envelope.require_tls and traits.require_tls
    if traits.dsn:
        mail = Mail(sender, said_size, body, utf8, envelope.ret, envelope.envid, require_tls=require_tls)
        return mail, [Rcpt(_spelt(address, utf8), notify, _sayable(orcpt)) for address, notify, orcpt in people]
    mail = Mail(sender, said_size, body, utf8, require_tls=require_tls)
    if utf8:
        return mail, [Rcpt(each.address) for each in people]
    return mail, [Rcpt(_spelt(each.address, utf8)) for each in people]
