"""Room on the disk of a spool: what may still be stored without taking what must stay free.

Free space is asked of the system at most four times a second on the event loop; what is stored in between is counted,
and so is what clients have announced (SIZE of MAIL) and not sent yet.  The threads that write content files ask anew
before each piece, so other programs and other workers are seen as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from posthouse.core import StorageFull

__all__ = ["DiskRoom"]

_REMEMBERED: Final = 0.25  # seconds
_LOG: Final = 10 << 20  # octets that the database's log may take, beside what comes to the database from it


class DiskRoom:
    """The room of one process where ``path`` is; ``min_free`` octets stay free, and 0 switches all of it off."""

    __slots__ = ("_asked", "_left", "_path", "_stopwatch", "announced", "min_free")

    def __init__(self, path: str, min_free: int, stopwatch: Callable[[], float]) -> None:
        self.min_free = min_free
        #: Octets that clients have announced and not sent yet.
        self.announced = 0
        self._path = path
        self._stopwatch = stopwatch
        self._asked = -1.0
        self._left = 0

    def check_announced(self, octets: int) -> None:
        """Raise ``StorageFull`` if there is no room for ``octets`` beside what is announced; on the event loop."""
        if self.min_free and self._known() - self.announced < octets:
            raise self.full()

    def take(self, octets: int) -> None:
        """Count octets that are stored in a row.  Raises ``StorageFull`` if there is no room; on the event loop."""
        if not self.min_free:
            return
        if self._known() - self.announced - _LOG < octets:
            raise self.full()
        self._left -= octets

    def _known(self) -> int:
        now = self._stopwatch()
        if not 0.0 <= now - self._asked <= _REMEMBERED:
            self._asked = now
            self._left = self.free() - self.min_free
        return self._left

    def check(self, octets: int, announced: int) -> None:
        """Raise ``StorageFull`` if ``octets`` are too many beside the ``announced`` ones; in any thread."""
        if self.min_free and self.free() - self.min_free - announced < octets:
            raise self.full()

    def free(self) -> int:
        """Octets that a user without privileges may still write.

        A path that is missing or cannot be read counts as having room: the next write finds the fault and names it.
        """
        try:
            status = os.statvfs(self._path)
        except OSError:
            return sys.maxsize
        return status.f_bavail * status.f_frsize

    def full(self) -> StorageFull:
        """The error of a disk without room."""
        return StorageFull(f"less than min_free ({self.min_free:,} octets) would be left on the disk")
