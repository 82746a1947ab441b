"""The invariants: what must hold at the end of any run, whatever happened in it.

    1.  No promise is lost: each accepted recipient is delivered, reported, or still in a spool.
    2.  A delivery that was recorded happened: its copy is at its destination, or promised by the next node.
    3.  There is one copy, and at most one more for each accident that excuses it: an ambiguous end, a crash, a disk
        that failed.
    4.  No message is delivered that no client was answered 250 for, or could not know about.
    5.  Content arrives as it was sent, after the trace fields.
    6.  What one worker has leased is not leased by another.
    7.  No report about a report; none with a reverse-path; no failure without one.
    8.  Every outcome has its reason, and no exception is lost.

5 to 7, and the reasons of 8, are checked during the run (``simulation.ledger``, ``simulation.auditor``); the rest is
checked here, from the ledger and the spools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from posthouse.core import Notify, Result
from posthouse.spool.interface import MessageEntry, RecipientState
from posthouse.testing.simulation.ledger import Ledger, PromisedMessage, quoted_in, token_of

__all__ = ["violations"]

_SETTLED = (RecipientState.DELIVERED, RecipientState.FAILED)


def violations(
    ledger: Ledger,
    spools: Mapping[str, Sequence[tuple[MessageEntry, bytes]]],
    *,
    unseen: Collection[tuple[str, str]],
    quiet: bool,
) -> list[str]:
    """A sentence for each invariant that does not hold.

    Args:
        ledger: what happened.
        spools: the unfinished messages of each spool, with their content.
        unseen: the pairs of a spool and a domain of its own where copies are not recorded (``discard``, ``maildir``).
        quiet: no recipient may be waiting any more.
    """
    queued = {name: {entry.message.id: entry for entry, _ in found} for name, found in spools.items()}
    quoted = {copy.token for copy in ledger.copies if copy.report} | ledger.lost_reports
    for found in spools.values():
        quoted.update(quoted_in(content) for _, content in found if not token_of(content))
    wrong = list(ledger.violations)
    for message in ledger.promised.values():
        wrong += _promise(ledger, message, queued[message.spool].get(message.queue_id), quoted, unseen)
    wrong += _answers(ledger)
    wrong += _copies(ledger)
    if quiet:
        wrong += _waiting(queued)
    return wrong


def _promise(
    ledger: Ledger,
    message: PromisedMessage,
    entry: MessageEntry | None,
    quoted: Collection[str],
    unseen: Collection[tuple[str, str]],
) -> list[str]:
    """1 and 2, for one message of one spool; ``quoted`` are the tokens that reports are about."""
    found = []
    where = f"{message.spool} {message.queue_id} ({message.token})"
    states = {} if entry is None else {recipient.key: recipient.state for recipient in entry.recipients}
    for key, recipient in enumerate(message.envelope.recipients):
        recorded = ledger.settled.get((message.spool, message.queue_id, key))
        state = states.get(key)
        if state is None and recorded not in _SETTLED:
            found.append(f"{where}: {recipient.address} was promised and has vanished; its last state was {recorded}")
        if state in _SETTLED and recorded not in _SETTLED:
            found.append(f"{where}: {recipient.address} is {state}, which was never recorded")
        end = recorded if state is None else state
        if end is RecipientState.DELIVERED and not _went_on(ledger, message, str(recipient.address), unseen):
            found.append(f"{where}: {recipient.address} was recorded as delivered and is nowhere")
        wanted = message.envelope.sender is not None and recipient.notify is not Notify.NEVER
        if end is RecipientState.FAILED and wanted and message.token not in quoted:
            found.append(f"{where}: {recipient.address} failed, and the report is nowhere")
    return found


def _went_on(ledger: Ledger, message: PromisedMessage, recipient: str, unseen: Collection[tuple[str, str]]) -> bool:
    """Whether a copy is at its destination, or in another spool, or where copies are not recorded."""
    if not message.token:
        return True  # a report, which is judged by the message it is about
    if (message.spool, recipient.rpartition("@")[2].lower()) in unseen:
        return True
    if any(copy.token == message.token and copy.recipient.lower() == recipient.lower() for copy in ledger.copies):
        return True
    return any(
        other.token == message.token
        and other.spool != message.spool
        and any(str(each.address).lower() == recipient.lower() for each in other.envelope.recipients)
        for other in ledger.promised.values()
    )


def _answers(ledger: Ledger) -> list[str]:
    """1 and 4, between clients and nodes."""
    found = []
    promised = {message.token for message in ledger.promised.values()}
    delivered = {copy.token for copy in ledger.copies}
    for (token, recipient), result in ledger.results.items():
        if result is Result.DELIVERED and token not in promised:
            found.append(f"{token}: {recipient} was answered 250 and is in no spool")
    for token in sorted(promised | delivered):
        results = {result for (sent, _), result in ledger.results.items() if sent == token}
        if token in ledger.uncertain:
            continue
        if token and results and results.isdisjoint((Result.DELIVERED, Result.AMBIGUOUS)):
            found.append(f"{token}: its client was told that it was not accepted, and it was")
    return found


def _copies(ledger: Ledger) -> list[str]:
    """3 and 4, at the destinations."""
    found = []
    copies = Counter((copy.token, copy.recipient) for copy in ledger.copies if not copy.report)
    for (token, recipient), count in copies.items():
        accidents = ledger.excuses.get((token, recipient), set())
        if count > 1 + len(accidents):
            excuse = f"{len(accidents)} accidents" if accidents else "nothing"
            found.append(f"{token}: {recipient} has {count} copies, and {excuse} to excuse it")
        result = ledger.results.get((token, recipient))
        if result in (Result.FAILED, Result.DEFERRED) and token not in ledger.uncertain:
            found.append(f"{token}: {recipient} has a copy, and its client was told that it was {result.value}")
    return found


def _waiting(queued: Mapping[str, Mapping[str, MessageEntry]]) -> list[str]:
    return [
        f"{spool} {entry.message.id}: {recipient.recipient.address} still waits: {recipient.last}"
        for spool, entries in queued.items()
        for entry in entries.values()
        for recipient in entry.recipients
        if recipient.state is RecipientState.WAITING
    ]
