"""Log records by mail, without a flood: ``MailHandler`` for the standard library's ``logging``.

    handler = MailHandler("app@example.org", ["ops@example.org"], via="spool:")
    logging.getLogger().addHandler(handler)

``emit`` only counts: it does no input or output, takes microseconds, and raises nothing.  A thread composes and sends.

*  Records from one place in the source with one class of exception are one *group*.  A digest has each group once: a
   sample with its traceback, how often, and when first and last.
*  The first record is sent at once.  What follows comes in digests 1, 5 and then every 30 minutes after the mail
   before, as long as there is something to tell; after a quiet interval the next record is sent at once again.  A new
   group among known ones is told within 1 minute, 10 times an hour at most.
*  What cannot be sent stays, is counted on, and is tried again with the next digest.
*  Memory is bounded: 100 groups (the rest is counted together), the last 50 records, 4,000 characters of each text.

Records of Posthouse itself and of the sending thread are passed over: they would be about this handler's own mail.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from posthouse.sending.via import Via

__all__ = ["Digest", "Digests", "MailHandler", "RecordGroup", "Sample"]

_GROUPS: Final = 100
_RECENT: Final = 50
_LONGEST: Final = 4_000  # characters of one text
_FRAMES: Final = 60
_CHAIN: Final = 5  # exceptions of one chain
_EARLY: Final = 10  # digests an hour that come early for a new group
_SHOWN: Final = 20  # groups that one mail shows in full

#: Characters that a message's text cannot have, or that steer a terminal.
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

#: What a mail needs besides the message.
_NEEDED: Final = ("posthouse.sending.one_message", "posthouse.sending.connection.blocking_driver")

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Sample(NamedTuple):
    """One record as a digest shows it: its time in calendar seconds, and the lines of its exceptions' tracebacks as
    places, which are read from the source when the mail is written."""

    at: float
    level: str
    logger: str
    message: str
    place: str
    exceptions: tuple[tuple[str, tuple[tuple[str, int, str], ...]], ...] = ()


class RecordGroup(NamedTuple):
    """Records of one place and one class of exception since the last digest."""

    sample: Sample
    records: int
    last: float


class Digest(NamedTuple):
    """What one mail tells: the groups, the records that had no place among them, and the last records."""

    groups: dict[object, RecordGroup]
    others: int
    recent: tuple[Sample, ...]

    @property
    def records(self) -> int:
        """The number of records."""
        return self.others + sum(each.records for each in self.groups.values())


class Digests:
    """The schedule of digests, without a clock and a thread: ``now`` is in seconds of a clock that does not jump."""

    def __init__(self, intervals: tuple[float, ...] = (60.0, 300.0, 1800.0)) -> None:
        self._intervals = intervals
        self._groups: dict[object, RecordGroup] = {}
        self._others = 0
        self._recent: deque[Sample] = deque(maxlen=_RECENT)
        self._known: dict[object, None] = {}
        self._stage = 0  # the interval that the next digest waits for
        self._last: float | None = None  # when the last digest was taken
        self._early: deque[float] = deque(maxlen=_EARLY)
        self._due: float | None = None

    def add(self, key: object, sample: Callable[[], Sample], at: float, now: float) -> None:
        """Count one record; ``sample`` is called where it is the first of its group."""
        known = self._groups.get(key)
        if known is not None:
            self._groups[key] = known._replace(records=known.records + 1, last=at)
        elif len(self._groups) < _GROUPS:
            made = sample()
            self._groups[key] = RecordGroup(made, 1, at)
            self._recent.append(made)
        else:
            self._others += 1
        if self._due is None:
            self._due = self._next(now)
        if key not in self._known:
            self._known[key] = None
            if len(self._known) > 10 * _GROUPS:
                del self._known[next(iter(self._known))]
            self._hurry(now)

    def _next(self, now: float) -> float:
        """When the next digest is due that begins with a record at ``now``."""
        if self._last is None:
            return now
        interval = self._intervals[min(self._stage, len(self._intervals) - 1)]
        if now >= self._last + interval:
            self._stage = 0
            return now
        return self._last + interval

    def _hurry(self, now: float) -> None:
        """Let a new group be told within the shortest interval, unless that happened too often within the hour."""
        if self._last is None or self._due is None:
            return
        soon = max(now, self._last + self._intervals[0])
        if self._due > soon and not (len(self._early) == _EARLY and now - self._early[0] < 3600.0):
            self._early.append(now)
            self._due = soon

    @property
    def due(self) -> float | None:
        """When the next digest is to be taken; None while there is nothing to tell."""
        return self._due

    def take(self, now: float) -> Digest | None:
        """What is to be told now, if anything; the schedule goes on from here."""
        self._due = None
        if not self._groups and not self._others:
            return None
        if self._last is not None:
            self._stage += 1
        self._last = now
        taken = Digest(self._groups, self._others, tuple(self._recent))
        self._groups, self._others = {}, 0
        return taken

    def put_back(self, digest: Digest, now: float) -> None:
        """A digest was not sent: tell it with the next one."""
        self._others += digest.others
        for key, old in digest.groups.items():
            new = self._groups.get(key)
            if new is not None:
                self._groups[key] = old._replace(records=old.records + new.records, last=new.last)
            elif len(self._groups) < _GROUPS:
                self._groups[key] = old
            else:
                self._others += old.records
        if self._due is None:
            self._due = self._next(now)


class MailHandler(logging.Handler):
    """A handler that mails what is logged, in digests (see the module).  May be shared by all loggers and threads.

    Args:
        sender: The author's mailbox, and the envelope's sender.
        to: One recipient or several.
        via: As for ``posthouse.send``; ``"spool:"`` is durable, and independent of the network.
        subject: Stands in front of each subject; the machine's name if it is left out.
        level: The least level that is mailed.
        intervals: Seconds from one mail to the next, of which the last is repeated.
        timeout: Seconds for one mail to a server.
        flush_timeout: Seconds that ``flush`` waits, also at the end of the program.

    Raises ``LocalError`` for an address that is none.
    """

    def __init__(
        self,
        sender: str,
        to: str | Iterable[str],
        via: Via | None = None,
        *,
        subject: str = "",
        level: int | str = logging.ERROR,
        intervals: tuple[float, ...] = (60.0, 300.0, 1800.0),
        timeout: float = 60.0,
        flush_timeout: float = 2.0,
    ) -> None:
        super().__init__(level)
        from posthouse.message import Message

        self._sender, self._to = sender, to if isinstance(to, str) else list(to)
        # A wrong address is told now, and not when something fails; what a mail needs is imported now, because a thread
        # that imports lets others wait for the interpreter.
        Message(self._sender, self._to, text="").as_bytes()
        for name in _NEEDED:
            import_module(name)
        self._via = via
        self._prefix, self._intervals = subject or socket.gethostname(), intervals
        self._timeout, self._flush_timeout = timeout, flush_timeout
        self._start_afresh()

    def _start_afresh(self) -> None:
        """Begin without records and without a thread, as a process does that was forked."""
        self._pid = os.getpid()
        self._digests = Digests(self._intervals)
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._flushes = self._flushed = 0  # that were asked for, and that have ended
        self._closed = self._fresh = False  # ``_fresh``: a record has come since the last flush

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record."""
        # Nothing that logging does may make the program fail, whatever the record's arguments are.
        with contextlib.suppress(Exception):
            if record.name.partition(".")[0] == "posthouse" or self._closed:
                return
            if os.getpid() != self._pid:
                self._start_afresh()
            thread = self._thread
            if thread is not None and thread.ident == threading.get_ident():
                return
            exc_info = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
            key = (record.pathname, record.lineno, exc_info[0] if exc_info else None)
            with self._changed:
                before, self._fresh = self._digests.due, True
                self._digests.add(key, lambda: _sample(record, exc_info), record.created, time.monotonic())
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, daemon=True, name="posthouse-log-mail")
                    self._thread.start()
                elif self._digests.due != before:
                    self._changed.notify_all()

    def flush(self) -> None:
        """Send now what waits; returns when it is sent, or after ``flush_timeout`` seconds."""
        thread = self._thread
        if self._closed or os.getpid() != self._pid or thread is None or threading.get_ident() == thread.ident:
            return
        end, self._fresh = time.monotonic() + self._flush_timeout, False
        with self._changed:
            self._flushes += 1
            wanted = self._flushes
            self._changed.notify_all()
            while self._flushed < wanted and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def close(self) -> None:
        """Send what has come since the last ``flush``, waiting as that does, and end the thread."""
        if self._fresh:
            self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and self._flushes == self._flushed:
                    due = self._digests.due
                    left = None if due is None else due - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._changed.wait(left)
                if self._closed and self._flushes == self._flushed:
                    return
                asked = self._flushes
                digest = self._digests.take(time.monotonic())
            sent = digest is None or self._sent(digest)
            with self._changed:
                if digest is not None and not sent:
                    self._digests.put_back(digest, time.monotonic())
                self._flushed = asked
                self._changed.notify_all()

    def _sent(self, digest: Digest) -> bool:
        """Send one mail.  Whatever goes wrong is told on standard error as ``logging`` does it, once a mail."""
        try:
            from posthouse.message import Message
            from posthouse.sending.one_message import send
            from posthouse.sending.options import ServerTarget
            from posthouse.sending.via import route_of

            route = route_of(self._via)
            if isinstance(route, ServerTarget) and route.timeout is None:
                route = route._replace(timeout=self._timeout)
            message = Message(
                self._sender,
                self._to,
                subject=_subject(self._prefix, digest),
                text=_text(digest),
                auto_submitted="auto-generated",
            )
            result = send(message, route)
            if result.delivered:
                return True
            reason = "; ".join(each.reason for each in result)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if logging.raiseExceptions and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"posthouse: {digest.records} log records could not be mailed: {reason[:500]}\n")
        return False


# What is kept of a record, and what a mail says -----------------------------------------------------------------------


def _sample(record: logging.LogRecord, exc_info: _ExcInfo | None) -> Sample:
    """What is kept of a record: texts, so that no object of the program lives longer for it."""
    try:
        message = record.getMessage()
    except Exception as why:
        message = f"{record.msg!r} (its arguments do not fit: {why})"
    chain: list[tuple[str, tuple[tuple[str, int, str], ...]]] = []
    seen: set[int] = set()
    error = exc_info[1] if exc_info else None
    while error is not None and len(chain) < _CHAIN and id(error) not in seen:
        seen.add(id(error))
        chain.append((_in_words(error), _places(error.__traceback__)))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    place = f"{record.pathname}:{record.lineno} ({record.funcName})"
    return Sample(record.created, record.levelname, record.name, message[:_LONGEST], place, tuple(reversed(chain)))


def _in_words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "its text could not be made"
    return f"{type(error).__qualname__}: {text}"[:_LONGEST]


def _places(at: TracebackType | None) -> tuple[tuple[str, int, str], ...]:
    """File, line and function of each call, the innermost ones if there are many."""
    found: deque[tuple[str, int, str]] = deque(maxlen=_FRAMES)
    while at is not None:
        code = at.tb_frame.f_code
        found.append((code.co_filename, at.tb_lineno, code.co_qualname))
        at = at.tb_next
    return tuple(found)


def _subject(prefix: str, digest: Digest) -> str:
    """``web1: ERROR shop.views: no such item``, or ``web1: 9,999 records in 3 groups, of which …``."""
    first = next(iter(digest.groups.values())).sample if digest.groups else None
    said = "" if first is None else f"{first.level} {first.logger}: {first.message}"
    if digest.records > 1:
        groups = f" in {len(digest.groups)} groups" if len(digest.groups) > 1 else ""
        said = f"{digest.records:,} records{groups}: {said}"
    line = " ".join(f"{prefix}: {said}".split())
    return "".join(each if each.isprintable() else "?" for each in line)[:200]


def _text(digest: Digest) -> str:
    lines: list[str] = []
    for group in list(digest.groups.values())[:_SHOWN]:
        sample = group.sample
        lines.append(f"{sample.level} {sample.logger}, {sample.place}")
        times = f"once, {_moment(group.last)}"
        if group.records > 1:
            times = f"{group.records:,} times, {_moment(sample.at)} to {_moment(group.last)}"
        lines += [times, "", sample.message, *_traceback(sample), "", "-" * 60]
    if rest := list(digest.groups.values())[_SHOWN:]:
        lines += [f"{each.records:,} × {each.sample.place}: {each.sample.message[:200]}" for each in rest]
    if digest.others:
        lines.append(f"{digest.others:,} more records in further groups")
    lines += ["", "The last groups to begin:"]
    lines += [f"{_moment(each.at)} {each.level} {each.logger}: {each.message[:200]}" for each in digest.recent]
    return _NOT_TEXT.sub("\ufffd", "\n".join(lines)) + "\n"


def _traceback(sample: Sample) -> list[str]:
    lines = []
    for number, (said, places) in enumerate(sample.exceptions):
        frames = [traceback.FrameSummary(name, line, function, lookup_line=False) for name, line, function in places]
        lines += ["", "and then:" if number else "Traceback (most recent call last):"]
        lines += [line.rstrip("\n") for line in traceback.StackSummary.from_list(frames).format()]
        lines.append(said)
    return lines


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))
