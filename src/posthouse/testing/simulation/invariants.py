"""What must be true at the end of any run, whatever happened in it.

    1.  What was promised is there: each accepted recipient is delivered, reported, or still in a queue.
    2.  A delivery that was recorded happened: its copy is at its end, or promised by the next house.
    3.  One copy, and one more at most for each accident that excuses it: an ambiguous end, a crash, a disk that failed.
    4.  Nothing arrives that no client was told 250 for, or could not know about.
    5.  Content arrives as it was sent, behind trace fields.
    6.  What one worker has leased is nobody else's.
    7.  No report about a report; none with a reverse-path; no failure without one.
    8.  Every end has its reason; nobody's exception goes unheard.

5 to 8 are watched as things happen (``simulation.ledger``); the rest is judged here, from the book and the queues.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from posthouse.core import Notify, Result
from posthouse.spool.interface import MessageEntry, RecipientState
from posthouse.testing.simulation.ledger import Entered, quoted_in, token_of

if TYPE_CHECKING:
    from posthouse.testing.simulation.world import World

__all__ = ["violations"]

_ENDS = (RecipientState.DELIVERED, RecipientState.FAILED)


async def violations(world: World, *, quiet: bool) -> list[str]:
    """Every invariant that does not hold, in sentences.  ``quiet``: nothing may be waiting any more."""
    book = world.book
    queued: dict[str, dict[str, MessageEntry]] = {}
    quoted = {arrival.token for arrival in book.arrivals if arrival.report} | book.lost_reports
    for house in world.houses.values():
        if house.spool == house.name:
            found = await house.store.look()
            queued[house.name] = {entry.message.id: entry for entry, _ in found}
            quoted.update(quoted_in(content) for _, content in found if not token_of(content))
    return _judged(world, queued, quoted, quiet)


def _judged(world: World, queued: dict[str, dict[str, MessageEntry]], quoted: set[str], quiet: bool) -> list[str]:
    book = world.book
    found = list(book.violations)
    found += world.loop.unheard()
    for entered in book.entered.values():
        found += _kept(world, entered, queued[entered.house].get(entered.queue_id), quoted)
    found += _promises(world)
    found += _copies(world)
    if quiet:
        found += _waiting(queued)
    return found


def _kept(world: World, entered: Entered, entry: MessageEntry | None, quoted: set[str]) -> list[str]:
    """1 and 2, for one message of one house; ``quoted`` are the tokens that reports are about."""
    book, found = world.book, []
    where = f"{entered.house} {entered.queue_id} ({entered.token})"
    states = {} if entry is None else {waiting.key: waiting.state for waiting in entry.recipients}
    for key, recipient in enumerate(entered.envelope.recipients):
        settled = book.settled.get((entered.house, entered.queue_id, key))
        state = states.get(key)
        if state is None and settled not in _ENDS:
            found.append(f"{where}: {recipient.address} was promised and has vanished; its last state was {settled}")
        if state in _ENDS and settled not in _ENDS:
            found.append(f"{where}: {recipient.address} is {state}, which nobody recorded")
        gone = settled if state is None else state
        if gone is RecipientState.DELIVERED and not _went_on(world, entered, str(recipient.address)):
            found.append(f"{where}: {recipient.address} was recorded as delivered and is nowhere")
        wanted = entered.envelope.sender is not None and recipient.notify is not Notify.NEVER
        if gone is RecipientState.FAILED and wanted and entered.token not in quoted:
            found.append(f"{where}: {recipient.address} failed, and the report is nowhere")
    return found


def _went_on(world: World, entered: Entered, recipient: str) -> bool:
    """Whether a copy is at its end, or with another house, or where nobody looks."""
    if not entered.token:
        return True  # a report, which is judged by what it reports
    domain = recipient.rpartition("@")[2].lower()
    for house in world.houses.values():
        for ours in house.config.domain:
            if house.spool == entered.house and ours.name == domain and ours.deliver.kind in ("discard", "maildir"):
                return True
    for arrival in world.book.arrivals:
        if arrival.token == entered.token and arrival.recipient.lower() == recipient.lower():
            return True
    return any(
        other.token == entered.token
        and other.house != entered.house
        and any(str(each.address).lower() == recipient.lower() for each in other.envelope.recipients)
        for other in world.book.entered.values()
    )


def _promises(world: World) -> list[str]:
    """1 and 4, between clients and houses."""
    found = []
    entered = {each.token for each in world.book.entered.values()}
    arrived = {arrival.token for arrival in world.book.arrivals}
    for (token, recipient), result in world.results.items():
        if result is Result.DELIVERED and token not in entered:
            found.append(f"{token}: {recipient} was answered 250 and is in no queue")
    for token in sorted(entered | arrived):
        told = {result for (sent, _), result in world.results.items() if sent == token}
        if token and told and told.isdisjoint((Result.DELIVERED, Result.AMBIGUOUS)):
            found.append(f"{token}: its client was told that it was not accepted, and it was")
    return found


def _copies(world: World) -> list[str]:
    """3 and 4, at the ends."""
    found = []
    book = world.book
    copies = Counter((a.token, a.recipient) for a in book.arrivals if not a.report)
    for (token, recipient), count in copies.items():
        accidents = book.excuses.get((token, recipient), set())
        if count > 1 + len(accidents):
            excuse = f"{len(accidents)} accidents" if accidents else "nothing"
            found.append(f"{token}: {recipient} has {count} copies, and {excuse} to excuse it")
        told = world.results.get((token, recipient))
        if told in (Result.FAILED, Result.DEFERRED):
            found.append(f"{token}: {recipient} has a copy, and its client was told that it was {told.value}")
    return found


def _waiting(queued: dict[str, dict[str, MessageEntry]]) -> list[str]:
    return [
        f"{house} {entry.message.id}: {waiting.recipient.address} still waits: {waiting.last}"
        for house, entries in queued.items()
        for entry in entries.values()
        for waiting in entry.recipients
        if waiting.state is RecipientState.WAITING
    ]
