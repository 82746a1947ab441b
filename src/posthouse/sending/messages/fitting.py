"""Fitting of a message to a server: what the server's extensions cannot carry is converted, or refused for whom it
must.

A recipient whose local part is not ASCII needs SMTPUTF8 (RFC 6531).  Where the server lacks it, that recipient fails
with 5.6.7 and the others get the message, with its header in ASCII as RFC 6857 writes it.  Content with 8-bit or binary
octets is converted for a server without 8BITMIME or BINARYMIME.  The functions do no I/O but reading the content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from posthouse.core import Body, Bytes, Content, Envelope, Outcome, Recipient, Reply, Result
from posthouse.protocol import Capabilities

__all__ = ["Fitted", "fit", "fits"]

_BINARY: Final = Body.BINARYMIME  # an attribute of an enumeration costs ten times a global name


class Fitted(NamedTuple):
    """A message in a form that the server can carry, and the outcomes, by place, of recipients who cannot get it."""

    envelope: Envelope
    content: Content
    refused: Mapping[int, Outcome]

    def join(self, given: tuple[Outcome, ...], recipients: tuple[Recipient, ...]) -> tuple[Outcome, ...]:
        """The outcomes of all recipients in their order; ``given`` are those of the recipients that were tried."""
        if not self.refused:
            return given
        tried = iter(given)
        return tuple(self.refused[i] if i in self.refused else next(tried) for i in range(len(recipients)))


def fits(capabilities: Capabilities, envelope: Envelope) -> bool:
    """Whether the server can carry everything that this envelope declares, so that the content need not be read."""
    keywords = capabilities.keywords
    sender, recipients = envelope.sender, envelope.recipients
    if "8BITMIME" not in keywords or envelope.smtputf8 or not (sender is None or sender.local.isascii()):
        return False
    if len(recipients) == 1:  # a generator costs more than the question
        if not recipients[0].address.local.isascii():
            return False
    elif any(not each.address.local.isascii() for each in recipients):
        return False
    return envelope.body is not _BINARY or ("BINARYMIME" in keywords and "CHUNKING" in keywords)


def fit(capabilities: Capabilities, envelope: Envelope, content: Content, peer: str) -> Fitted:
    """The message for a server with these capabilities.  Long content is read once or twice, which may take seconds."""
    if fits(capabilities, envelope):
        return Fitted(envelope, content, {})
    from posthouse.message.mime import needs

    asks = needs(content.chunks())
    keywords = capabilities.keywords
    refused: dict[int, Outcome] = {}
    utf8 = asks.utf8_headers or _needs_utf8(envelope)
    if utf8 and "SMTPUTF8" not in keywords:
        from posthouse.message.composing.internationalized import in_ascii

        sender = envelope.sender
        if sender is not None and not sender.local.isascii():
            why = f"not sent to {peer}: the sender's address {sender} needs SMTPUTF8, which this host does not offer"
            return _refused(envelope, content, Reply(553, "5.6.7", why))
        refused = {
            i: _outcome(each, Reply(553, "5.6.7", _NO_UTF8.format(peer=peer)))
            for i, each in enumerate(envelope.recipients)
            if not each.address.local.isascii()
        }
        envelope = envelope._replace(recipients=_others(envelope.recipients, refused))
        if asks.utf8_headers:
            content = in_ascii(content)
            asks = needs(content.chunks())
        utf8 = False
    envelope = envelope._replace(smtputf8=utf8, size=content.size)
    eightbit = "8BITMIME" in keywords
    takes_binary = "BINARYMIME" in keywords and "CHUNKING" in keywords
    if asks.binary and not takes_binary and (envelope.body is Body.BINARYMIME or not eightbit):
        body = Body.EIGHTBITMIME if eightbit else Body.SEVENBIT
    elif asks.eightbit and not eightbit:
        body = Body.SEVENBIT
    else:
        least = Body.EIGHTBITMIME if asks.eightbit else Body.SEVENBIT
        return Fitted(envelope._replace(body=envelope.body if asks.binary else least), content, refused)
    return _converted(envelope, content, body, refused, peer)


_NO_UTF8 = "not sent to {peer}: the address needs SMTPUTF8, which this host does not offer"


def _converted(envelope: Envelope, content: Content, body: Body, refused: dict[int, Outcome], peer: str) -> Fitted:
    from posthouse.message.conversion import Unconvertible, convert

    made = convert(content, to_7bit=body is Body.SEVENBIT, raw_headers=True)
    if isinstance(made, Unconvertible):
        why = f"not sent to {peer}, which cannot take it as it is: {made.reason}"
        left = _refused(envelope, content, Reply(554, made.status, why))
        every = dict(refused)
        rest = iter(left.refused.values())
        for i in range(len(envelope.recipients) + len(refused)):
            if i not in every:
                every[i] = next(rest)
        return Fitted(left.envelope, content, every)
    if made.size <= 65_536:
        made = Bytes(b"".join(made.chunks()))
    return Fitted(envelope._replace(body=body, size=made.size), made, refused)


def _refused(envelope: Envelope, content: Content, reply: Reply) -> Fitted:
    """Nothing can be sent; the same reply for every recipient."""
    every = {i: _outcome(each, reply) for i, each in enumerate(envelope.recipients)}
    return Fitted(envelope._replace(recipients=()), content, every)


def _outcome(recipient: Recipient, reply: Reply) -> Outcome:
    return Outcome(recipient, Result.FAILED, reply, reply.text)


def _others(recipients: tuple[Recipient, ...], refused: Mapping[int, Outcome]) -> tuple[Recipient, ...]:
    return tuple(each for i, each in enumerate(recipients) if i not in refused)


def _needs_utf8(envelope: Envelope) -> bool:
    sender = envelope.sender
    if sender is not None and not sender.local.isascii():
        return True
    return any(not each.address.local.isascii() for each in envelope.recipients)
