"""Journal of the results that were counted for aggregate reports and are not in the store yet.

A result is appended to a file of this process before the reply to its message is sent, so a process that is killed
loses no count; the file is synced some seconds later, which is what a power failure can lose.  Each minute the store
takes what was counted and the file is deleted; the store notes the file's name in the same transaction, so a crash
between the two does not count twice.  Files that a dead process has left are read by another one: a live process holds
a lock on its own.

A line is ``+`` and a result in JSON, which counts once and gets the next number from 0, or the number of a result that
counts once more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from posthouse.mailauth.dmarc.aggregate import (
    AggregateRow,
    PolicyOverride,
    PolicyPublished,
    ReportedSignature,
    ReportedSpf,
)
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = [
    "CountJournal",
    "CountedResult",
    "JournalFile",
    "MOST_LEFT",
    "drop_oldest",
    "files_left",
    "packed",
    "row_of",
    "sync",
]

_MOST_COUNTED: Final = 20_000  # results of one file; more are not counted
_MOST_TRIES: Final = 100  # new files that other processes take
_LONGEST_FILE: Final = 64 << 20  # octets of a file that are read
#: Files that wait while the store cannot be used, and their octets in all: one a minute for half a day.
MOST_LEFT: Final = 720
_MOST_OCTETS_LEFT: Final = 256 << 20


class CountedResult(NamedTuple):
    """What is counted: the day (days since 1970, UTC), the policy, and the results that messages had in common."""

    day: int
    policy: PolicyPublished
    row: AggregateRow


class JournalFile:
    """One file of a journal, open and locked.  ``close`` leaves it for another process, ``remove`` deletes it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def new(cls, directory: Path) -> JournalFile:
        """A new file of a name that no other has.  Raises ``OSError``.

        Another process that looks for what the dead have left may lock the file first, and delete it because nothing
        is in it; then a further file is made.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        leave_to_owner(str(directory))
        for _ in range(_MOST_TRIES):
            path = directory / secrets.token_hex(8)
            found = cls(path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600))
            try:
                fcntl.flock(found.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(found.descriptor).st_nlink:
                    leave_to_owner(str(path), found.descriptor)
                    return found
            except BlockingIOError:
                pass
            except BaseException:
                found.close()
                raise
            found.close()
        raise BlockingIOError(f"{directory}: other processes take each new file")

    def counts(self) -> dict[CountedResult, int]:
        """What the file counts, up to its first line that is cut off or malformed.  Raises ``OSError``."""
        found: list[CountedResult] = []
        counts: dict[CountedResult, int] = {}
        with self.path.open("rb") as file:
            lines = file.read(_LONGEST_FILE).split(b"\n")
        for line in lines[:-1]:
            try:
                if line.startswith(b"+"):
                    day, policy, row = json.loads(line[1:])
                    found.append(CountedResult(int(day), PolicyPublished(*policy), row_of(row)))
                    counts[found[-1]] = counts.get(found[-1], 0) + 1
                else:
                    counts[found[int(line)]] += 1
            except (ValueError, TypeError, IndexError):
                break
        return counts

    def close(self) -> None:
        """Give the file up; whoever finds it counts it."""
        os.close(self.descriptor)

    def remove(self) -> None:
        """Delete the file.  Raises ``OSError``."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class CountJournal:
    """What one process has counted since the store last took it, in memory and in a file.

    Args:
        directory: The directory of the files of all processes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers: dict[CountedResult, int] = {}
        self._counts: list[int] = []
        self._file: JournalFile | None = None
        self._broken = False

    def count(self, counted: CountedResult) -> None:
        """Count a message.

        Raises:
            OSError: The file cannot be written; the message is counted in memory, and so are the next ones until
                ``take``.
        """
        number = self._numbers.get(counted)
        if number is not None:
            self._counts[number] += 1
            self._append(b"%d\n" % number)
        elif len(self._counts) < _MOST_COUNTED:
            self._numbers[counted] = len(self._counts)
            self._counts.append(1)
            self._append(b"+%b\n" % packed(counted).encode())

    def _append(self, line: bytes) -> None:
        if self._broken:
            return
        try:
            if self._file is None:
                self._file = JournalFile.new(self._directory)
            if os.write(self._file.descriptor, line) != len(line):
                raise OSError("a line was written in part")
        except OSError:
            self._broken = True  # what follows a line in part could not be read
            raise

    def take(self) -> tuple[Mapping[CountedResult, int], JournalFile | None]:
        """What was counted, and its file, for the store; the journal begins anew."""
        taken = dict(zip(self._numbers, self._counts, strict=True)), self._file
        self._numbers, self._counts, self._file, self._broken = {}, [], None, False
        return taken

    @property
    def path(self) -> Path | None:
        """The file, for ``sync``; None without one."""
        return None if self._file is None else self._file.path


def sync(path: Path) -> None:
    """Make a file survive a power failure, if it is still there; waits for the disk.  Raises ``OSError``."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def files_left(directory: Path) -> Iterator[JournalFile]:
    """The files that dead processes have left, each open and locked until the caller has closed or removed it."""
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(directory.iterdir()):
            found = _file_left(path)
            if found is not None:
                yield found


def drop_oldest(directory: Path) -> int:
    """Delete the files that were written longest ago while more than ``MOST_LEFT`` files or 256 MiB wait.

    A report about an old day is given up first, so the oldest counts are worth least.  Files of live processes stay.

    Returns:
        The number of files that were deleted.

    Raises:
        OSError: A file cannot be deleted.
    """
    waiting: list[tuple[float, int, Path]] = []
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            known = path.stat()
            waiting.append((known.st_mtime, known.st_size, path))
    files, octets, dropped = len(waiting), sum(size for _, size, _ in waiting), 0
    for _, size, path in sorted(waiting):
        if files <= MOST_LEFT and octets <= _MOST_OCTETS_LEFT:
            break
        found = _file_left(path)
        if found is not None:
            found.remove()
            files, octets, dropped = files - 1, octets - size, dropped + 1
    return dropped


def _file_left(path: Path) -> JournalFile | None:
    """The file, open and locked; None if a process has it, or has removed it.  Raises ``OSError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():  # else its process has removed it between the two calls
            return JournalFile(path, descriptor)
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def packed(value: CountedResult | PolicyPublished | AggregateRow) -> str:
    """A value in JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def row_of(fields: list[Any]) -> AggregateRow:
    """The row in its parsed JSON."""
    *plain, overrides, signatures, spf = fields
    return AggregateRow(*plain)._replace(
        overrides=tuple(PolicyOverride(*each) for each in overrides),
        signatures=tuple(ReportedSignature(*each) for each in signatures),
        spf_results=tuple(ReportedSpf(*each) for each in spf),
    )
