"""The service extensions of a peer as a transaction uses them, and the envelope's commands for that peer."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.core import Address, Body, Envelope, OriginalRecipient, Reply, Result
from posthouse.protocol import Capabilities, Mail, Rcpt
from posthouse.protocol.grammar import GrammarError, with_ascii_domain
from posthouse.protocol.parameters import orcpt_encode

__all__ = ["Features", "commands_of", "result_of"]

_SEVENBIT: Final = Body.SEVENBIT


def result_of(reply: Reply) -> Result:
    """The result of a recipient that this reply decided."""
    if 200 <= reply.code < 400:
        return Result.DELIVERED
    return Result.DEFERRED if reply.transient else Result.FAILED


class Features(NamedTuple):
    """The capabilities of a peer that transactions ask for, looked up once for a session."""

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
        """The features of a peer with these capabilities."""
        keywords = capabilities.keywords
        chunking = "CHUNKING" in keywords
        return cls(
            pipelining="PIPELINING" in keywords,
            chunking=chunking,
            declares_size="SIZE" in keywords,
            largest=capabilities.size if "SIZE" in keywords else None,
            eightbit="8BITMIME" in keywords,
            binary=chunking and "BINARYMIME" in keywords,
            utf8="SMTPUTF8" in keywords,
            dsn="DSN" in keywords,
            require_tls="REQUIRETLS" in keywords,
            most_recipients=capabilities.limits.get("RCPTMAX", 0) if "LIMITS" in keywords else 0,
        )


def _for_peer(address: Address, utf8: bool) -> Address:
    """The address as it is sent: without SMTPUTF8 a domain in U-labels becomes A-labels (RFC 6531 §3.2)."""
    return address if utf8 or address.domain.isascii() else with_ascii_domain(address)


def _writable(orcpt: OriginalRecipient | None) -> OriginalRecipient | None:
    """ORCPT, or None if it cannot be written: the 7-bit form of a UTF-8 address may be longer than ORCPT allows.

    A report that names another form of the recipient is better than a message that is never sent.
    """
    if orcpt is not None:
        try:
            orcpt_encode(orcpt)
        except GrammarError:
            return None
    return orcpt


def commands_of(envelope: Envelope, size: int, features: Features, utf8: bool) -> tuple[Mail, list[Rcpt]]:
    """MAIL with the parameters that this peer understands, and RCPT for each recipient."""
    sender = envelope.sender
    if sender is not None:
        sender = _for_peer(sender, utf8)
    declared_size = size if features.declares_size else None
    body = envelope.body if features.eightbit else _SEVENBIT
    recipients = envelope.recipients
    require_tls = envelope.require_tls and features.require_tls
    if features.dsn:
        mail = Mail(sender, declared_size, body, utf8, envelope.ret, envelope.envid, require_tls=require_tls)
        return mail, [Rcpt(_for_peer(each.address, utf8), each.notify, _writable(each.orcpt)) for each in recipients]
    mail = Mail(sender, declared_size, body, utf8, require_tls=require_tls)
    if utf8:
        return mail, [Rcpt(each.address) for each in recipients]
    return mail, [Rcpt(_for_peer(each.address, utf8)) for each in recipients]
