"""The place of a spool's open files: whether its paths still lead to what was opened there.

An operator may move, replace or remove a spool while a process has it open (a restored backup, ``rm -rf``).  SQLite
goes on writing to the files it has open, and whatever is promised then is gone with the next start.  So a promise is
made only when the paths have been looked at *after* the commit: the database, its log and its index (``-wal``,
``-shm``), the spool's directory and the directories in it must be those that were opened, the database must not have
become shorter, and the log must not have been cut or written over.  What was committed before such a look was in the
right files at that time.

A look costs two calls of ``stat``, of the spool's directory, whose change time moves with every entry that is made,
renamed or removed in it, and of the database, and three calls for the log.  Only if the change time has moved, or is
younger than its own resolution can tell (100 ms, or 2 s where it has no fraction of a millisecond), each path is
looked at.  Each of these calls also gives other threads the interpreter's lock, which with small groups of messages
took 4 % of their time.  So the database and the log are looked at once in 20 ms, and the writer sees to it that a look
follows the last commit.  A file that is cut in place has lost what was promised before, and a look only ends it; a
file that is replaced is seen by each look.

SQLite goes on writing behind the end of a log that was cut, and so leaves a hole.  The log's header, and the frame that
was its last at the look before, show it.  SQLite itself cuts the log too: it is empty then, or begins anew with another
header (its salts).

Which files a process has open is not asked of the system: ``open`` looks at the paths when the connections are made,
and each later look compares with that.
"""

from __future__ import annotations

import os
import time
from typing import Final, NamedTuple

from posthouse.spool.sqlite.storage.layout import Layout

__all__ = ["LOOKS_APART", "OpenPlace"]

#: Seconds between two looks at what changes in place, where a later look is sure to come.
LOOKS_APART: Final = 0.02

_SETTLED: Final = 2_000_000_000  # ns after which a change time that is seen cannot hide a later change
#: The same where change times have fractions of a millisecond: their clock moves every 10 ms or more often.
_SETTLED_FINE: Final = 100_000_000
_COARSE: Final = 1_000_000
_Known = tuple[int, int]  # device and inode
_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # at the begin of a log, by its byte order
_HEADER: Final = 32  # octets of a log's header
_FRAME_HEADER: Final = 24


class _Root(NamedTuple):
    """The spool's directory as it was when all paths had been looked at."""

    known: _Known
    changed: int  # ns; -1 where it may hide a later change


class OpenPlace:
    """The files of one spool that a process has open."""

    def __init__(self, layout: Layout) -> None:
        self._root_path = layout.root
        self._database = layout.database
        self._paths = (
            layout.database,
            f"{layout.database}-wal",
            f"{layout.database}-shm",
            layout.content,
            layout.tmp,
            layout.owners,
        )
        self._known: list[_Known] = []
        self._size = 0
        self._log: int | None = None  # a descriptor
        self._log_head = b""
        self._log_end = 0  # where the last frame in it begins; 0 without any
        self._root = _Root((0, 0), -1)
        self._looked_at = 0.0  # database and log, in monotonic seconds

    def open(self) -> None:
        """Remember the files that the paths lead to now: those that have just been opened.  Raises ``OSError``."""
        root = os.stat(self._root_path)
        self._known = [_identity(os.stat(path)) for path in self._paths]
        self._size = os.stat(self._database).st_size
        self._root = self._seen(root)
        self.close()
        self._log = os.open(self._paths[1], os.O_RDONLY | os.O_CLOEXEC)  # SQLite has no locks on it that this could end
        self._log_head, self._log_end = b"", 0

    def close(self) -> None:
        """Close what ``open`` has opened."""
        log, self._log = self._log, None
        if log is not None:
            os.close(log)

    def _look_at_log(self, log: int) -> str:
        # The frame first: where another process has begun the log anew meanwhile, the header shows it.
        has_hole = self._log_end > 0 and not os.pread(log, 4, self._log_end).strip(b"\0")
        head = os.pread(log, _HEADER, 0)
        if head and not head.startswith(_MAGIC):
            return f"{self._paths[1]} has been cut or written over"
        if has_hole and head == self._log_head:  # each frame begins with the number of a page, which is never 0
            return f"{self._paths[1]} has been cut"
        self._log_head, self._log_end = head, 0
        if head:
            frame = _FRAME_HEADER + int.from_bytes(head[8:12], "big")
            frames = (os.fstat(log).st_size - _HEADER) // frame
            self._log_end = _HEADER + (frames - 1) * frame if frames > 0 else 0
        return ""

    def complaint(self, more_follows: bool = False) -> str:
        """What is wrong with the place, in a clause; "" if the paths lead to the files that are open.

        ``more_follows``: this is asked again within ``LOOKS_APART``, without more to follow.
        """
        now = time.monotonic()
        try:
            root = os.stat(self._root_path)
            if _identity(root) != self._root.known:
                return f"{self._root_path} is another directory than the one that was opened"
            if more_follows and now - self._looked_at < LOOKS_APART and root.st_ctime_ns == self._root.changed:
                return ""
            self._looked_at = now
            database = os.stat(self._database)
            if database.st_size < self._size:
                return f"{self._database} has become shorter"
            self._size = database.st_size
            if self._log is not None and (complaint := self._look_at_log(self._log)):
                return complaint
            if root.st_ctime_ns == self._root.changed and _identity(database) == self._known[0]:
                return ""
            for path, known in zip(self._paths, self._known, strict=True):
                if _identity(os.stat(path)) != known:
                    return f"{path} is another file than the one that was opened"
            self._root = self._seen(root)
        except OSError as error:
            return f"{error.filename or self._root_path} cannot be found ({error.strerror or error})"
        return ""

    @staticmethod
    def _seen(root: os.stat_result) -> _Root:
        changed = root.st_ctime_ns
        settled = time.time_ns() - changed > (_SETTLED_FINE if changed % _COARSE else _SETTLED)
        return _Root(_identity(root), changed if settled else -1)


def _identity(found: os.stat_result) -> _Known:
    return found.st_dev, found.st_ino
