"""The service extensions of a peer as a transaction uses them, and the envelope's commands for that peer."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from posthouse.core import (
    Address,
    AsyncContent,
    Body,
    Content,
    Envelope,
    LocalError,
    OriginalRecipient,
    Phase,
    Reply,
    Result,
)
from posthouse.protocol import Bdat, Capabilities, Command, Data, Mail, Rcpt, Sent, write_command
from posthouse.protocol.commands import plain_mail, plain_rcpt
from posthouse.protocol.grammar import GrammarError, with_ascii_domain
from posthouse.protocol.parameters import orcpt_encode

__all__ = [
    "Features",
    "PHASES",
    "check_addresses",
    "check_domain",
    "command_of",
    "commands_of",
    "lines_of",
    "phase_awaited",
    "result_of",
    "result_of_rcpt",
    "says_too_many",
]

_SEVENBIT: Final = Body.SEVENBIT
#: The phase of each command that a reply can refuse, as ``Outcome.command`` names it.
PHASES: Final = {
    "MAIL FROM": Phase.MAIL,
    "RCPT TO": Phase.RCPT,
    "DATA": Phase.DATA,
    "BDAT": Phase.CONTENT,
    "the end of the message": Phase.END,
}


def result_of(reply: Reply) -> Result:
    """The result of a recipient that this reply decided."""
    if 200 <= reply.code < 400:
        return Result.DELIVERED
    return Result.DEFERRED if reply.transient else Result.FAILED


def says_too_many(reply: Reply) -> bool:
    """True if this reply to RCPT refuses a recipient only because others came before it (RFC 5321 §4.5.3.1.10): 452, or
    552 from hosts that follow older rules, unless the enhanced code says something else of 452, or of 552 that the
    mailbox is full (5.2.x)."""
    if reply.code == 452:
        return reply.enhanced in ("4.5.3", "")
    return reply.code == 552 and not reply.enhanced.startswith("5.2.")


def result_of_rcpt(reply: Reply) -> Result:
    """The result of a recipient that this reply to RCPT decided: as ``result_of``, but 552 for too many recipients is
    temporary."""
    if reply.code == 552 and says_too_many(reply):
        return Result.DEFERRED
    return result_of(reply)


def command_of(to: Command | Sent | None) -> str:
    """The command of a reply, as reports name it; "" if the reply answers none."""
    if isinstance(to, Rcpt):
        return "RCPT TO"
    return "MAIL FROM" if isinstance(to, Mail) else "BDAT" if isinstance(to, Bdat) else ""


def phase_awaited(to: Command | Sent | None) -> str:
    """The phase of a transaction whose next reply is to this command; of one that sends content, if none is awaited."""
    kind = type(to)
    if kind is Rcpt:
        return Phase.RCPT
    if kind is Data:
        return Phase.DATA
    return Phase.CONTENT if to is None or kind is Bdat else Phase.MAIL


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
    def of(cls, capabilities: Capabilities, in_tls: bool) -> Features:
        """The features of a peer with these capabilities, which were announced inside TLS (``in_tls``) or in clear.

        REQUIRETLS counts inside TLS only (RFC 8689 §2): in clear anybody on the way could have written it.
        """
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
            require_tls=in_tls and "REQUIRETLS" in keywords,
            most_recipients=capabilities.limits.get("RCPTMAX", 0) if "LIMITS" in keywords else 0,
        )


def check_domain(domain: str) -> None:
    """Raise ``LocalError`` for a domain that only a lenient receiver accepts: no mail domain may have an underscore."""
    if "_" in domain and not domain.startswith("["):
        raise LocalError(f"the domain {domain} has an underscore, which no mail domain may have; check its spelling")


def _for_peer(address: Address) -> Address:
    """The address as it is sent: a domain in U-labels becomes A-labels, which every host understands (RFC 6531 §3.2).

    Raises ``LocalError`` for a domain that has no A-labels.
    """
    if address.domain.isascii():
        return address
    try:
        return with_ascii_domain(address)
    except GrammarError as error:
        raise LocalError(f"the address {address} cannot be sent: {error}") from error


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


def check_addresses(envelope: Envelope) -> None:
    """Raise ``LocalError`` if an address of the envelope cannot be sent to any host: then nothing should be begun."""
    if envelope.sender is not None:
        _check_sender(envelope.sender)
    for recipient in envelope.recipients:
        address = recipient.address
        domain = address.domain
        if "_" in domain:
            check_domain(domain)
        try:
            plain_rcpt(address if domain.isascii() else _for_peer(address))  # remembered, and written again soon
        except ValueError:
            write_command(Rcpt(_for_peer(address)))  # says it in its own words


@lru_cache(maxsize=1024)
def _check_sender(sender: Address) -> None:
    check_domain(sender.domain)
    write_command(Mail(_for_peer(sender), smtputf8=True))


def commands_of(envelope: Envelope, size: int, features: Features, utf8: bool) -> tuple[Mail, list[Rcpt]]:
    """MAIL with the parameters that this peer understands, and RCPT for each recipient.  Raises ``LocalError``."""
    sender = envelope.sender
    if sender is not None:
        sender = _for_peer(sender)
    declared_size = size if features.declares_size else None
    body = envelope.body if features.eightbit else _SEVENBIT
    recipients = envelope.recipients
    require_tls = envelope.require_tls and features.require_tls
    if features.dsn:
        mail = Mail(sender, declared_size, body, utf8, envelope.ret, envelope.envid, require_tls=require_tls)
        return mail, [Rcpt(_for_peer(each.address), each.notify, _writable(each.orcpt)) for each in recipients]
    mail = Mail(sender, declared_size, body, utf8, require_tls=require_tls)
    return mail, [Rcpt(_for_peer(each.address)) for each in recipients]


def lines_of(
    envelope: Envelope, content: Content | AsyncContent, features: Features, utf8: bool
) -> tuple[tuple[Mail, bytes], list[tuple[Rcpt, bytes]]]:
    """``commands_of``, each with its line.  Raises ``LocalError``."""
    sender, recipients = envelope.sender, envelope.recipients
    declares_size, dsn = features.declares_size, features.dsn
    # Nearly all envelopes need no other parameters than SIZE and BODY; one recipient is asked without a loop.
    plain = not utf8 and not envelope.require_tls and (sender is None or sender.domain.isascii())
    if dsn and plain:
        plain = envelope.ret is None and envelope.envid is None
        if len(recipients) == 1:
            plain = plain and recipients[0].notify is None and recipients[0].orcpt is None
        else:
            plain = plain and all(each.notify is None and each.orcpt is None for each in recipients)
    if plain:
        try:
            mail = plain_mail(
                sender, content.size if declares_size else None, envelope.body if features.eightbit else _SEVENBIT
            )
            if len(recipients) == 1:
                address = recipients[0].address
                if address.domain.isascii():
                    return mail, [plain_rcpt(address)]
            elif all(each.address.domain.isascii() for each in recipients):
                return mail, [plain_rcpt(each.address) for each in recipients]
        except ValueError:
            pass  # ``write_command`` says why
    command, others = commands_of(envelope, content.size, features, utf8)
    return (command, write_command(command)), [(each, write_command(each)) for each in others]
