"""Owner of new files: as root, a file in a directory of another user is made that user's.

A command that root runs beside a daemon, or while it is stopped, would else leave files that the daemon may not open.
SQLite does the same for its log.
"""

from __future__ import annotations

import os

__all__ = ["leave_to_owner"]


def leave_to_owner(path: str, descriptor: int | None = None) -> None:
    """Give a new file, or its open ``descriptor``, to the owner of its directory, if this process is root."""
    if os.geteuid():
        return
    folder = os.stat(os.path.dirname(path) or ".")
    if folder.st_uid:
        os.chown(path if descriptor is None else descriptor, folder.st_uid, folder.st_gid)
