"""Expansion of aliases, lists and moved mailboxes: envelopes to store, and reports that are owed (RFC 5321 §3.9)."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.core import Address, Envelope, EventSink, Notify, OriginalRecipient, Recipient, path_text
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Moved, Target, Unknown
from posthouse.spool.history import Expansion
from posthouse.spool.model import StoredMessage

__all__ = ["addressees", "expand_envelope", "expansions", "log_expansions", "sends_on", "successes"]

_NAMED = 20  # recipients that one line of the log names


def addressees(directory: Directory, address: Address) -> tuple[Address, ...]:
    """The recipients of reports about mail from ``address``: none if the address is ours and does not exist; the owner
    of a list, so that its members get no reports."""
    found = directory.resolve(address)
    if isinstance(found, Unknown) or (isinstance(found, Moved) and found.action == "tell"):
        return ()
    if isinstance(found, Moved | Expanded):
        ends = (target.address if target.owner is None else target.owner for target in found.targets)
        return tuple(dict.fromkeys(ends))
    return (found.address,)


def expand_envelope(directory: Directory, envelope: Envelope) -> list[Envelope]:
    """The envelopes to store for one that was accepted: aliases, lists and moved mailboxes replaced by their ends.

    Nearly always this is the one envelope, unchanged.  A list gets an envelope of its own, because its owner becomes
    the sender (RFC 5321 §3.9.2); but a report keeps its null sender, so that it is never answered.  DSN parameters
    follow RFC 3461 §5.2.7: one address inherits all; several addresses of an alias all but SUCCESS; a list none.  Each
    recipient keeps the addresses that led to it (``Recipient.originals``).
    """
    only = envelope.recipients[0].address
    if len(envelope.recipients) == 1 and only.domain and not isinstance(directory.resolve(only), Moved | Expanded):
        return [envelope]  # the common case, without building anything
    addresses = [recipient[0] for recipient in envelope.recipients]
    if all(map(directory.is_foreign, {address[1] for address in addresses})) and len(set(addresses)) == len(addresses):
        return [envelope]  # the common case of many recipients
    changed = False
    direct: dict[str, Recipient] = {}
    lists: dict[Address, dict[str, Recipient]] = {}
    for recipient in envelope.recipients:
        found = directory.resolve(recipient.address)
        if isinstance(found, Moved | Expanded):
            targets = found.targets
        else:
            key = directory.identity(found.address)
            changed = changed or key in direct or not recipient.address.domain
            here = recipient
            if not recipient.address.domain:
                here = recipient._replace(address=found.address, originals=(recipient.address,))
            elif key in direct and not _is_found_as(direct[key].address, recipient.address):
                here = recipient._replace(originals=(recipient.address,))  # bob+news beside bob
            _enter(direct, key, here)
            continue
        changed = True
        for target in targets:
            owner = target.owner if envelope.sender is not None else None
            if target.owner is not None:
                heard = Recipient(target.address, originals=(recipient.address,))
            else:
                heard = _passed_on(recipient, target.address, len(targets))
            group = direct if owner is None else lists.setdefault(owner, {})
            _enter(group, directory.identity(target.address), heard)
    if not changed:
        return [envelope]
    made = [_addressed(envelope, direct)] if direct else []
    plain = envelope._replace(ret=None, envid=None, auth=None)
    made += [_addressed(plain._replace(sender=owner), members) for owner, members in lists.items()]
    return made


def sends_on(directory: Directory, envelope: Envelope) -> bool:
    """Whether an alias, a list or a moved mailbox among the recipients leads to another server."""
    for recipient in envelope.recipients:
        found = directory.resolve(recipient.address)
        if isinstance(found, Moved | Expanded):
            for target in found.targets:
                if isinstance(directory.resolve(target.address), Foreign):
                    return True
    return False


def _enter(group: dict[str, Recipient], key: str, recipient: Recipient) -> None:
    """Add a recipient; of one that is there already, only note the further addresses that led to it."""
    known = group.get(key)
    if known is None:
        group[key] = recipient
    elif recipient.originals:
        group[key] = known._replace(originals=tuple(dict.fromkeys((*known.originals, *recipient.originals))))


def expansions(
    directory: Directory, envelope: Envelope, stored: Sequence[Envelope], ids: Sequence[str]
) -> list[tuple[Expansion, ...]]:
    """For each of the ``stored`` envelopes, what led to its recipients; ``ids`` are the queue ids.  The first, whose id
    the client is told, has the expansions of all."""
    places = {
        (each.sender, directory.identity(recipient.address)): (number, key)
        for number, each in enumerate(stored)
        for key, recipient in enumerate(each.recipients)
    }
    for number, each in enumerate(stored):  # bob+news, by the mailbox bob
        for key, kept in enumerate(each.recipients):
            mailbox = directory.resolve(kept.address)
            if kept.originals and not isinstance(mailbox, Moved | Expanded):
                places.setdefault((each.sender, directory.identity(mailbox.address)), (number, key))
    found: list[list[Expansion]] = [[] for _ in stored]
    for recipient in dict.fromkeys(each.address for each in envelope.recipients):
        meant = directory.resolve(recipient)
        if isinstance(meant, Moved | Expanded):
            kind, targets = meant.kind, meant.targets
        elif not recipient.domain:
            kind, targets = "postmaster", (Target(meant.address),)
        else:
            place = places.get((envelope.sender, directory.identity(meant.address)))
            if place is None:
                continue
            name = stored[place[0]].recipients[place[1]].address
            if _is_found_as(name, recipient):
                continue
            kind, targets = "same", (Target(name),)
        led: dict[int, list[int]] = {0: []}
        for address, owner in targets:
            sender = envelope.sender if owner is None or envelope.sender is None else owner
            place = places.get((sender, directory.identity(address)))
            if place is not None:
                led.setdefault(place[0], []).append(place[1])
        copies = {number: (ids[number], path_text(stored[number].sender)) for number in led if number}
        for number, keys in led.items():
            others = tuple(copy for other, copy in copies.items() if other != number) if not number else ()
            found[number].append(Expansion(str(recipient), kind, len(targets), tuple(keys), others))
    return [tuple(each) for each in found]


def _is_found_as(one: Address, other: Address) -> bool:
    """Whether who looks for one of the addresses finds the other."""
    return str(one).lower() == str(other).lower()


def log_expansions(log: EventSink, message: StoredMessage, first: str, expansions: Sequence[Expansion]) -> None:
    """Log what each alias, list and moved mailbox led to, so that it is found by the address that the client named.
    ``first`` is the queue id that the client was told."""
    for each in expansions:
        log(
            "expanded",
            id=message.id,
            recipient=each.address,
            kind=each.kind,
            to=", ".join(str(message.envelope.recipients[key].address) for key in each.keys[:_NAMED]),
            addresses=each.number,
            copies=", ".join(queue_id for queue_id, _ in each.copies),
            parent="" if message.id == first else first,
        )


def successes(directory: Directory, envelope: Envelope) -> list[tuple[Recipient, bool]]:
    """The recipients that owe the sender a report of success as soon as the message is stored, because NOTIFY=SUCCESS
    was given: lists (True: acceptance by a list is delivery, RFC 3461 §5.2.7.1) and aliases of several addresses
    (False: the message is expanded, §5.2.7.3 (c))."""
    found = []
    for recipient in envelope.recipients if envelope.sender is not None else ():
        if recipient.notify is None or Notify.SUCCESS not in recipient.notify:
            continue
        meant = directory.resolve(recipient.address)
        if isinstance(meant, Expanded) and meant.owner is not None:
            found.append((recipient, True))
        elif isinstance(meant, Moved | Expanded) and len(meant.targets) > 1:
            found.append((recipient, False))
    return found


def _addressed(envelope: Envelope, recipients: dict[str, Recipient]) -> Envelope:
    """The envelope with these recipients; SMTPUTF8 if one of them, or the owner, is not ASCII."""
    everyone = tuple(recipients.values())
    beyond = any(not each.address.is_ascii for each in everyone)
    beyond = beyond or (envelope.sender is not None and not envelope.sender.is_ascii)
    return envelope._replace(recipients=everyone, smtputf8=envelope.smtputf8 or beyond)


def _passed_on(recipient: Recipient, address: Address, of: int) -> Recipient:
    """The recipient at the end of an alias, with its inherited DSN parameters (RFC 3461 §5.2.7.2, §5.2.7.3 (c))."""
    notify = recipient.notify
    if of > 1 and notify is not None:
        notify &= ~Notify.SUCCESS
    orcpt = recipient.orcpt
    if orcpt is None and recipient.address.is_ascii and recipient.address.domain:
        orcpt = OriginalRecipient("rfc822", str(recipient.address))
    return Recipient(address, notify, orcpt, (recipient.address,))
