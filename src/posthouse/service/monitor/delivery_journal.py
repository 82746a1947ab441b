"""Delivery journal: what became of each recipient at each attempt, for the console's webhooks and traces.

It is written only where a webhook or ``[console] traces`` asks for it; otherwise the log is the daemon's own, and no
step is added to the path of a message.  Each worker process appends lines of JSON to a file of its own in
``data_dir/deliveries``, 5 times a second, and begins another file after 4 MiB.  The console's process reads the files
and removes those that it has done.  The lines are not synced: they outlive every process, and the last 200 ms of them
may be lost if a worker is killed, the last seconds if the machine loses its power.  64 files are kept; beyond them the
oldest is removed, and the log says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from posthouse.core import EventSink
from posthouse.net import Clock, Timer
from posthouse.service.config.console_settings import journals_deliveries
from posthouse.service.config.model import Config
from posthouse.spool.model import ChangedRecipient
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["DELIVERY_EVENTS", "DeliveryJournal", "JOURNAL_FOLDER", "JournalingSink", "drop_notes", "journaled"]

JOURNAL_FOLDER: Final = "deliveries"
#: The events, in the words of webhooks.  ``expired`` is a failure because the mail was too old, and
#: ``dropped`` is what an operator has given up.
DELIVERY_EVENTS: Final = ("delivered", "deferred", "failed", "expired", "ambiguous", "held", "dropped")

_LOGGED: Final = frozenset(DELIVERY_EVENTS)
_FACTS: Final = ("id", "destination", "peer", "tls", "reply", "reason", "again", "why")
_EXPIRED: Final = "gave up after "
_PERIOD: Final = 0.2
_SEGMENT: Final = 4 << 20
_MOST_FILES: Final = 64
_BUFFERED: Final = 256 << 10  # octets after which a line does not wait


def journaled(log: EventSink, config: Config, clock: Clock, worker: int) -> EventSink:
    """``log`` itself, or one that writes the journal as well where that is asked for."""
    if not journals_deliveries(config.console, config.webhook):
        return log
    folder = os.path.join(config.data_dir, JOURNAL_FOLDER)
    return JournalingSink(log, DeliveryJournal(folder, clock, worker, lambda text: log("console", reason=text)))


def drop_notes(log: EventSink) -> Callable[[Sequence[ChangedRecipient], str], object] | None:
    """What notes recipients that a user has given up in the journal of this log; None where there is no journal."""
    return log.dropped if isinstance(log, JournalingSink) else None


class JournalingSink(EventSink):
    """An event sink that puts what became of recipients into a journal, after another sink has it."""

    def __init__(self, sink: EventSink, journal: DeliveryJournal) -> None:
        self._sink = sink
        self._journal = journal

    def __call__(self, event: str, /, **facts: Any) -> None:
        self._sink(event, **facts)
        if event in _LOGGED:
            self._journal.add(event, facts, (facts.get("recipient") or "",))
        elif event == "ended":  # the daemon's last word
            self._journal.close()

    def dropped(self, recipients: Sequence[ChangedRecipient], who: str) -> None:
        """Note recipients that a user has given up; the log has no line of each, and the audit log has the action."""
        reason = f"dropped by {who}" if who else "dropped"
        for each in recipients:
            facts = {"id": each.id, "destination": each.destination, "reason": reason}
            self._journal.add("dropped", facts, (each.address,))

    def each(self, event: str, name: str, values: Sequence[str], /, **facts: Any) -> None:
        self._sink.each(event, name, values, **facts)
        if event in _LOGGED and name == "recipient":
            self._journal.add(event, facts, values)


class DeliveryJournal:
    """The journal of one worker process.

    Args:
        folder: where the files are; it is made.
        worker: the number of the process, which its files have in their names.
        on_problem: is called with a sentence when lines are lost.
    """

    def __init__(self, folder: str, clock: Clock, worker: int, on_problem: Callable[[str], object]) -> None:
        self._folder = folder
        self._clock = clock
        self._worker = worker
        self._on_problem = on_problem
        self._lines: list[bytes] = []
        self._waiting = 0  # octets
        self._timer: Timer | None = None
        self._file = -1
        self._size = 0
        self._failed = False

    def add(self, event: str, facts: Mapping[str, Any], recipients: Sequence[str]) -> None:
        """Note an event of these recipients, which are alike in all facts."""
        if event == "failed" and str(facts.get("reason", "")).startswith(_EXPIRED):
            event = "expired"
        said = {name: value for name in _FACTS if (value := facts.get(name)) not in (None, "")}
        at = round(self._clock.time(), 3)
        for recipient in recipients:
            line = msgspec.json.encode({"event": event, "at": at, "recipient": recipient, **said}) + b"\n"
            self._lines.append(line)
            self._waiting += len(line)
        if self._waiting >= _BUFFERED:
            self.flush()
        elif self._timer is None:
            try:
                self._timer = self._clock.call_later(_PERIOD, self.flush)
            except RuntimeError:  # no event loop runs
                self.flush()

    def flush(self) -> None:
        """Write what waits.  Where the disk refuses it, these lines are lost, and it is said once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._waiting = self._lines, [], 0
        if not lines:
            return
        try:
            if self._file < 0 or self._size >= _SEGMENT:
                self._begin()
            octets = b"".join(lines)
            written = os.write(self._file, octets)
            while written < len(octets):
                written += os.write(self._file, octets[written:])
            self._size += written
            self._failed = False
        except OSError as error:
            self._close_file()  # the next line stands in a file of its own, behind whatever was half written
            if not self._failed:
                self._failed = True
                self._on_problem(f"deliveries are not told to webhooks and traces: {error.strerror or error}")

    def _begin(self) -> None:
        self._close_file()
        os.makedirs(self._folder, 0o700, exist_ok=True)
        leave_to_owner(self._folder)
        names = sorted(each for each in os.listdir(self._folder) if each.endswith(".jsonl"))
        for name in names[: max(0, len(names) - _MOST_FILES + 1)]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, name))
                self._on_problem(f"deliveries of {name} were not told: webhooks or traces are too far behind")
        name = f"{int(self._clock.time() * 1000):014d}-{self._worker}-{os.getpid()}.jsonl"
        path = os.path.join(self._folder, name)
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._size = 0
        leave_to_owner(path)

    def _close_file(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1

    def close(self) -> None:
        """Write what waits, and close the file; a further event opens another."""
        self.flush()
        self._close_file()
