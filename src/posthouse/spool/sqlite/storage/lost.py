"""Lost contents: content files that no row of the database knows, put aside in ``spool/lost``.

A crash between the naming of a content file and the commit of its rows leaves such a file, and nothing was promised
about it.  But a database that was emptied, restored from yesterday's backup or robbed of its log leaves them too, and
then each one may be a promised message.  The start cannot tell one from the other.  So it removes no content that it
does not know: it moves the file to ``lost``, under its name, which is its queue id, and says so.

A file in ``lost`` is deleted when it has lain there for ``KEPT`` seconds and no more than ``FEW`` are there: so many
are what crashes leave, and more than that is a sign that rows were lost.  The seconds are counted to the newest message
that the database knows, or to the clock if that is earlier: a machine may start with its clock a year ahead.  If a
database with the row is put back, the next start moves the file to where it belongs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from math import inf
from typing import Final

from posthouse.spool.sqlite.storage.durability import Durable
from posthouse.spool.sqlite.storage.layout import Layout, complaint_about, strays

__all__ = ["FEW", "KEPT", "delete_old", "lost_contents", "put_aside", "take_back"]

KEPT: Final = 7 * 86_400.0
"""Seconds, from when it was put aside, for which a lost content is kept at least."""

FEW: Final = 20
"""Lost contents beyond which none is deleted."""


def lost_contents(layout: Layout) -> list[tuple[int, str]]:
    """Number and path of each lost content."""
    return list(strays(layout.lost)) if os.path.isdir(layout.lost) else []


def put_aside(layout: Layout, files: Sequence[tuple[int, str]], durable: Durable) -> int:
    """Move content files, given by number and path, to ``lost``; returns how many this process moved.

    Workers that start together find the same files, and another may have been faster.
    """
    if not os.path.isdir(layout.lost):
        durable.make_directory(layout.lost)
        durable.sync_directory(layout.root)
    moved = 0
    for number, path in files:
        with contextlib.suppress(FileNotFoundError):
            durable.rename(path, layout.lost_of(number))
            moved += 1
    durable.sync_directory(layout.lost)
    for shelf in sorted({os.path.dirname(path) for _, path in files}):
        durable.sync_directory(shelf)
    return moved


def take_back(layout: Layout, number: int, size: int, durable: Durable) -> bool:
    """Move a lost content of this size to where its row expects it; false if there is none, or another
    worker has moved it."""
    path = layout.lost_of(number)
    if complaint_about(path, size):
        return False
    try:
        durable.rename(path, layout.content_of(number))
    except FileNotFoundError:
        return False
    durable.sync_directory(layout.shelf(number))
    durable.sync_directory(layout.lost)
    return True


def delete_old(layout: Layout, durable: Durable, newest: float) -> int:
    """Delete the lost contents that are old, if there are few in all; returns how many were deleted.

    ``newest`` is when the newest message came that the database knows, in calendar seconds.
    """
    found = lost_contents(layout)
    if len(found) > FEW:
        return 0
    before = min(time.time(), newest) - KEPT  # by the clock that gave the files their times
    old = [path for _, path in found if max(_times(path)) < before]
    for path in old:
        durable.unlink(path)
    return len(old)


def _times(path: str) -> tuple[float, float]:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:  # another worker has deleted it
        return inf, inf
    return found.st_mtime, found.st_ctime
