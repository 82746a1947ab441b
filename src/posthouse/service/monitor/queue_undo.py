"""Actions on the queue that can be undone: which recipients each of them changed, and for how long.

Each action is a file of its own in ``data_dir/undo``, written and synced before the queue is changed, so that a restart
keeps it.  What is held is released again, and the other way round.  Mail that is given up is only held at first: it is
given up when the time for undoing is over, by the daemon, with the reports that were asked for.  A recipient that
somebody has released meanwhile is left alone then.  What is retried or rerouted gets its former due time and route
back, unless its attempt has begun.

A crash leaves one of these states: a file and nothing changed (the end changes nothing but what is held); a file and
all changed; no file after the end.  A file whose end was carried out and that was not removed is carried out again, and
finds nothing left to do.

A number is never given twice, so that somebody who undoes an action that has ended undoes nothing of another's.  The
last one is kept in ``data_dir/undo/last``, whose lock puts processes that store actions in line.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from posthouse.core import SettingError, StorageError
from posthouse.net import Clock, Timer
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = [
    "LONGEST_UNDO",
    "MOST_RECIPIENTS",
    "MOST_UNDOABLE",
    "UndoEntry",
    "UndoKeeper",
    "UndoableAction",
    "forget_undoable",
    "keep_undoable",
    "undoable",
    "undoable_action",
]

#: The most actions that can be undone at one time, the most recipients of one, and the longest time, in seconds.
#: Beyond that, the oldest retry or reroute is forgotten; mail that is to be given up is not.
MOST_UNDOABLE: Final = 50
MOST_RECIPIENTS: Final = 50_000
LONGEST_UNDO: Final = 86_400.0

_Entry = TypeVar("_Entry", bound="UndoEntry")

_FOLDER: Final = "undo"
_LAST: Final = "last"
_AGAIN: Final = 60.0  # seconds after a fault
_EARLY: Final = 0.1


class UndoEntry(Struct, frozen=True, kw_only=True):
    """An action on the queue that can be undone ``until`` a time: ``act`` is hold, release, retry, reroute or drop,
    and ``recipients`` is how many it is for.  Until then, what is dropped is held; ``report`` says whether its senders
    are told then."""

    number: int
    act: str
    filter: str
    at: float
    until: float
    who: str
    report: bool
    recipients: int


class UndoableAction(UndoEntry, frozen=True, kw_only=True):
    """An action with its recipients: ``changed`` are those that it changed, as queue id and key, in order."""

    changed: list[tuple[str, int]]
    #: Recipients that were held before they were given up, and stay held when that is undone.
    before: list[tuple[str, int]] = []
    #: The destinations of all of them.
    destinations: list[str] = []
    #: For a retry or a reroute: due time, route and attempts of each of ``changed`` before.
    former: list[tuple[float, str, int]] = []
    #: The new route, of a reroute.
    target: str = ""

    @property
    def places(self) -> list[tuple[str, int]]:
        """All recipients that the action is for, in order."""
        return sorted([*self.changed, *self.before])


def undoable(data_dir: str) -> list[UndoEntry]:
    """The actions whose files are there, the oldest first.  Raises ``SettingError`` for a file that is damaged."""
    return [entry for entry in (_read(data_dir, name, UndoEntry) for name in _names(data_dir)) if entry is not None]


def undoable_action(data_dir: str, number: int) -> UndoableAction | None:
    """One action with its recipients, None if it has ended.  Raises as ``undoable`` does."""
    return _read(data_dir, _name(number), UndoableAction)


def _read(data_dir: str, name: str, kind: type[_Entry]) -> _Entry | None:
    path = os.path.join(data_dir, _FOLDER, name)
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        remedy = "remove the file; the mail that it names stays held until it is released"
        raise SettingError(f"an action to undo cannot be read: {error}", where=path, remedy=remedy) from error


def keep_undoable(data_dir: str, action: UndoableAction) -> UndoableAction:
    """Store an action under a new number, and return it when it is on stable storage.

    Raises ``SettingError`` where too many are there, ``StorageError`` where the disk refuses it.
    """
    folder = os.path.join(data_dir, _FOLDER)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        leave_to_owner(folder)
        with _numbering(folder) as last:
            names = _names(data_dir)
            if len(names) >= MOST_UNDOABLE:
                names = _without_oldest_attempt(data_dir, names)
            if len(names) >= MOST_UNDOABLE:
                raise SettingError(
                    f"{MOST_UNDOABLE} actions can be undone already",
                    remedy="wait until one has ended, or act without undo",
                )
            number = _next_number(last, names)
            kept = msgspec.structs.replace(action, number=number)
            path = os.path.join(folder, _name(number))
            with open(f"{path}.new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(msgspec.json.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            leave_to_owner(f"{path}.new")
            os.replace(f"{path}.new", path)
            _sync(folder)
        return kept
    except OSError as error:
        raise StorageError(f"what can be undone cannot be written into {folder}: {error.strerror or error}") from error


@contextlib.contextmanager
def _numbering(folder: str) -> Iterator[int]:
    """The open file of the last number, locked for this thread alone; closing it ends the lock."""
    path = os.path.join(folder, _LAST)
    last = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        leave_to_owner(path, last)
        fcntl.flock(last, fcntl.LOCK_EX)
        yield last
    finally:
        os.close(last)


def _next_number(last: int, names: Sequence[str]) -> int:
    """A number that no action has had, written down before it is used; ``names`` are the files that are there."""
    digits = os.pread(last, 20, 0).strip()
    had = [int(name.partition(".")[0]) for name in names] + ([int(digits)] if digits.isdigit() else [])
    number = 1 + max(had, default=0)
    os.pwrite(last, b"%d\n" % number, 0)
    os.fsync(last)
    return number


def forget_undoable(data_dir: str, number: int) -> None:
    """Remove an action, which then has ended."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(data_dir, _FOLDER, _name(number)))
        _sync(os.path.join(data_dir, _FOLDER))


def _without_oldest_attempt(data_dir: str, names: list[str]) -> list[str]:
    """The files without the oldest one of a retry or a reroute, of which the most is tried soon; it is removed."""
    for name in names:
        entry = _read(data_dir, name, UndoEntry)
        if entry is not None and entry.act in ("retry", "reroute"):
            forget_undoable(data_dir, entry.number)
            return [each for each in names if each != name]
    return names


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _names(data_dir: str) -> list[str]:
    try:
        names = os.listdir(os.path.join(data_dir, _FOLDER))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.endswith(".json") and name[:-5].isdigit())


def _sync(folder: str) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class UndoKeeper:
    """The daemon's part: ends actions at their time.

    Args:
        give_up: gives up what an action has held; it may be asked for the same action again.
        on_problem: is called with a sentence about what went wrong; it is tried again after 60 s.
    """

    def __init__(
        self,
        data_dir: str,
        clock: Clock,
        give_up: Callable[[UndoableAction], Awaitable[object]],
        on_problem: Callable[[str], object],
    ) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._give_up = give_up
        self._on_problem = on_problem
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._runs = False
        #: The action that is being ended, which cannot be undone any more; 0 for none.
        self.ending = 0

    def start(self) -> None:
        """Begin: actions whose time is over are ended at once."""
        self._runs = True
        self.look()

    def look(self) -> None:
        """Look again when the next action ends, because there may be a new one."""
        self._cancel()
        if not self._runs or self._task is not None:
            return
        try:
            ends = [each.until for each in undoable(self._data_dir)]
        except SettingError as error:
            self._on_problem(str(error))
            return
        if ends:
            self._timer = self._clock.call_later(max(_EARLY, min(ends) - self._clock.time()), self._begin)

    async def stop(self) -> None:
        """End, when the action that is being ended has a part done; the rest is done after the next start."""
        self._runs = False
        self._cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        if self._task is None:
            self._task = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        """End every action whose time is over."""
        wait = 0.0
        try:
            for each in self._over():
                self.ending = each.number
                whole = undoable_action(self._data_dir, each.number) if each.act == "drop" else None
                if whole is not None:
                    await self._give_up(whole)
                forget_undoable(self._data_dir, each.number)
        except Exception as error:  # whatever it is, mail that is held is not lost
            self._on_problem(f"an action on the queue could not be ended, and is tried again in 60 s: {error}")
            wait = _AGAIN
        finally:
            self.ending = 0
            self._task = None
        if wait and self._runs:
            self._timer = self._clock.call_later(wait, self._begin)
        else:
            self.look()

    def _over(self) -> Sequence[UndoEntry]:
        now = self._clock.time()
        return [each for each in undoable(self._data_dir) if each.until <= now]
