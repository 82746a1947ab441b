"""Whether a spool has changed, by the state of its files: for a reader in another process, at no cost to the daemon.

Each commit writes to a database or to its log, so size and time of these files change with every commit of every
process.  Asking takes some microseconds and opens nothing.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["SpoolChanges"]

_DATABASES: Final = ("queue.sqlite3", "queue.sqlite3-wal", "inbox.sqlite3", "inbox.sqlite3-wal")


class SpoolChanges:
    """The state of the spool in a data directory."""

    def __init__(self, data_dir: str) -> None:
        self._paths = [os.path.join(data_dir, "spool", name) for name in _DATABASES]

    def token(self) -> tuple[tuple[int, int], ...]:
        """A value that differs from an earlier one if anything was committed between; equal where there is no spool."""
        found = []
        for path in self._paths:
            try:
                status = os.stat(path)
            except OSError:
                found.append((0, 0))
            else:
                found.append((status.st_size, status.st_mtime_ns))
        return tuple(found)
