"""Tally: counts of a daemon's events since it was started, which all its worker processes share.

The counts are in anonymous shared memory, which the parent maps before it forks its workers.  Each worker has a slot of
its own and writes nowhere else, so no lock is needed and nothing is asked of another process: a count is the sum over
all slots.  The replacement of a worker that has died goes on with its slot, so no count ever falls.

The daemon's log tells the tally of each event, with the facts that it logs.  Measured on one message that is accepted
and delivered: 2 events, 0.6 µs interpreted and 0.3 µs compiled, of 150 µs.

Refusals are counted by what was answered to which command: ``RCPT 550 5.1.1``.  A slot has room for 63 such labels;
further ones share the label ``other``.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from typing import Any, Final

from posthouse.core import Reply

__all__ = ["COUNTERS", "Tally"]

#: The counters, by the names of the events that are counted, and ``octets`` and ``recipients`` of accepted messages.
COUNTERS: Final = (
    "accepted",
    "octets",
    "recipients",
    "delivered",
    "deferred",
    "failed",
    "ambiguous",
    "held",
    "report",
    "quarantined",
    "login",
    "lenient",
    "tls",
    "fault",
    "sessions",
    "refused",
)

_EVENTS: Final = {name: at for at, name in enumerate(COUNTERS) if name not in ("octets", "recipients", "refused")}
_ACCEPTED: Final = COUNTERS.index("accepted")
_SESSIONS: Final = COUNTERS.index("sessions")
_REFUSED: Final = COUNTERS.index("refused")

_LABELS: Final = 64
_LABEL: Final = 56  # octets of a label
_ROW: Final = _LABEL + 8
_FIXED: Final = 256  # octets for the counters above
_SLOT: Final = _FIXED + _LABELS * _ROW
_OTHER: Final = "other"
#: Destinations that a worker counts; with more, those with the fewest attempts are forgotten.
_DESTINATIONS: Final = 2_000
_OUTCOMES: Final = {"delivered": 0, "deferred": 1, "failed": 2, "ambiguous": 1}


class Tally:
    """The counts of all workers, as the worker with the number ``own`` writes to them.

    The parent makes one before it forks; ``seen_by`` gives that of a worker.
    """

    __slots__ = ("_counts", "_destinations", "_labels", "_mapped", "_own", "_workers", "on_named", "on_refused")

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._mapped = mmap.mmap(-1, workers * _SLOT)
        self._see(0)

    def _see(self, own: int) -> None:
        #: Is given the facts of each refusal, and of each TLS handshake that failed, as far as they are logged.
        self.on_refused: Callable[[Mapping[str, Any]], object] | None = None
        #: Is given the facts of each client that XCLIENT names.
        self.on_named: Callable[[Mapping[str, Any]], object] | None = None
        self._own = own * _SLOT
        self._counts = memoryview(self._mapped).cast("Q")
        #: The rows of this worker's labels, those of a worker that has died here included.
        self._labels = {label: row for row in range(_LABELS) if (label := self._label(self._own, row))}
        #: Recipients by destination: delivered, deferred, failed.
        self._destinations: dict[str, list[int]] = {}

    def seen_by(self, worker: int) -> Tally:
        """The same counts, for the worker of this number to write to."""
        other = Tally.__new__(Tally)
        other._workers, other._mapped = self._workers, self._mapped
        other._see(worker)
        return other

    # -- counting ----------------------------------------------------------------------------------------------------

    def take(self, event: str, facts: Mapping[str, Any], times: int = 1) -> None:
        """Count an event of the log that happened so many times."""
        if event in ("refused", "tls") and self.on_refused is not None:
            self.on_refused(facts)
        elif event == "client" and self.on_named is not None:
            self.on_named(facts)
        at = _EVENTS.get(event)
        if at is None:
            return
        counts, own = self._counts, self._own // 8
        counts[own + at] += times
        if at == _ACCEPTED:
            counts[own + 1] += facts["size"]
            counts[own + 2] += facts["recipients"]
            return
        outcome = _OUTCOMES.get(event)
        if outcome is not None and (name := facts.get("destination")):
            found = self._destinations.get(name)
            if found is None:
                found = self._destination(name)
            found[outcome] += times

    def session(self) -> None:
        """Count a session that begins."""
        self._counts[self._own // 8 + _SESSIONS] += 1

    def refused(self, command: str, reply: Reply) -> None:
        """Count a refusal of a command."""
        label = f"{command} {reply.code} {reply.enhanced}".rstrip()
        row = self._labels.get(label)
        if row is None:
            row = self._row(label)
        self._counts[(self._own + _FIXED + row * _ROW + _LABEL) // 8] += 1
        self._counts[self._own // 8 + _REFUSED] += 1

    def _row(self, label: str) -> int:
        """The row of a label that this worker has not counted yet."""
        text = label.encode("ascii", "replace")[:_LABEL]
        label = text.decode()
        if label not in self._labels and len(self._labels) >= _LABELS - 1:
            label, text = _OTHER, _OTHER.encode()
        row = self._labels.get(label)
        if row is None:
            row = len(self._labels)
            start = self._own + _FIXED + row * _ROW
            # The first octet comes last: a label that has one is complete, whenever this process dies.
            self._mapped[start + 1 : start + _LABEL] = text[1:].ljust(_LABEL - 1, b"\0")
            self._mapped[start : start + 1] = text[:1]
            self._labels[label] = row
        return row

    def _destination(self, name: str) -> list[int]:
        known = self._destinations
        if len(known) >= _DESTINATIONS:
            busiest = sorted(known.items(), key=lambda each: -sum(each[1]))[: _DESTINATIONS // 2]
            known.clear()
            known.update(busiest)
        found = known[name] = [0, 0, 0]
        return found

    # -- reading -----------------------------------------------------------------------------------------------------

    def totals(self) -> dict[str, int]:
        """Every counter, summed over all workers."""
        slots = range(0, self._workers * _SLOT // 8, _SLOT // 8)
        return {name: sum([self._counts[slot + at] for slot in slots]) for at, name in enumerate(COUNTERS)}

    def refusals(self) -> dict[str, int]:
        """Refusals of all workers, by label: the command and the codes that answered it."""
        found: dict[str, int] = {}
        for slot in range(0, self._workers * _SLOT, _SLOT):
            for row in range(_LABELS):
                label = self._label(slot, row)
                if not label:
                    break
                count = self._counts[(slot + _FIXED + row * _ROW + _LABEL) // 8]
                found[label] = found.get(label, 0) + count
        return found

    def _label(self, slot: int, row: int) -> str:
        start = slot + _FIXED + row * _ROW
        text = self._mapped[start : start + _LABEL]
        return text.rstrip(b"\0").decode("ascii", "replace") if text[0] else ""

    def destinations(self, most: int) -> list[tuple[str, int, int, int]]:
        """This worker's destinations with the most recipients tried: name, delivered, deferred, failed."""
        busiest = sorted(self._destinations.items(), key=lambda each: (-sum(each[1]), each[0]))[:most]
        return [(name, counts[0], counts[1], counts[2]) for name, counts in busiest]
