"""Transactions of one call: usually one, or one for each recipient or envelope.

With VERP each recipient has a sender of its own, so that a report which comes back tells who the recipient was, also
where its text does not: ``bounces+ann=example.org@lists.example.com`` for ann@example.org.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.client.features import check_addresses
from posthouse.core import Address, Envelope, LocalError, Recipient
from posthouse.sending.messages.message_forms import EnvelopeLike
from posthouse.sending.messages.outgoing import Outgoing, outgoing

__all__ = ["EnvelopesLike", "transactions", "verp"]

#: One envelope, or several: each is a transaction of its own.
EnvelopesLike = EnvelopeLike | Sequence[Envelope]


def transactions(message: object, envelope: object = None, by_recipient: object = False) -> list[Outgoing]:
    """What one call sends: the message once for each envelope (``EnvelopesLike``), and with ``by_recipient`` once for
    each recipient.

    ``by_recipient`` is ``True`` or a template, as ``verp`` takes it.  Raises ``LocalError`` for an address that cannot
    be sent, and as ``outgoing``: then nothing has been begun.
    """
    if envelope is None or isinstance(envelope, (tuple, str, bytes)) or not isinstance(envelope, Sequence):
        made = [outgoing(message, envelope)]
    else:
        if not envelope or not all(isinstance(each, Envelope) for each in envelope):
            raise LocalError("a list in envelope= must hold at least one Envelope, and nothing else")
        made = [outgoing(message, each) for each in envelope]
    if by_recipient:
        if by_recipient is not True and not isinstance(by_recipient, str):
            raise LocalError(f"verp= must be True or a template, not {type(by_recipient).__name__}")
        made = [part for each in made for part in _by_recipient(each, "" if by_recipient is True else by_recipient)]
    for each in made:
        check_addresses(each.envelope)
    return made


def _by_recipient(message: Outgoing, template: str) -> list[Outgoing]:
    sender = message.envelope.sender
    if sender is None:
        raise LocalError("verp= needs a sender, and the envelope has the null reverse-path")
    return [
        Outgoing(
            message.envelope._replace(
                sender=verp(sender, recipient.address, template),
                recipients=(recipient,),
            ),
            message.content,
        )
        for recipient in dict.fromkeys(message.envelope.recipients)
    ]


def verp(sender: Address | str, recipient: Address | Recipient | str, template: str = "") -> Address:
    """The sender's address for one recipient (variable envelope return path).

    ``template`` has ``{local}`` and ``{domain}`` of the recipient; without one it is the sender's own address with
    ``+{local}={domain}`` behind its local part.  Raises ``LocalError``.
    """
    own = _as_address(sender, "the sender")
    other = recipient.address if isinstance(recipient, Recipient) else _as_address(recipient, "the recipient")
    if not template:
        return Address(f"{own.local}+{other.local}={other.domain}", own.domain)
    if "{local}" not in template or "{domain}" not in template or "@" not in template:
        raise LocalError(
            f'verp={template!r} must have {{local}} and {{domain}}, as "bounces+{{local}}={{domain}}@a.example"'
        )
    local, _, domain = template.rpartition("@")
    filled = local.replace("{local}", other.local).replace("{domain}", other.domain)
    return Address(filled, domain.lower())


def _as_address(value: Address | str, what: str) -> Address:
    if isinstance(value, Address):
        return value
    from posthouse.message.mailboxes import parse_mailboxes

    found = parse_mailboxes(value, what)
    if len(found) != 1:
        raise LocalError(f"{what} must be one address, not {value!r}")
    return found[0].address
