"""A file with secrets: made so that only the daemon's user can read it, before anything is written into it, and with a
note beside it that it has been made.

The note distinguishes a file that was lost, whose content nobody knows, from one that was never needed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from posthouse.core import StorageError
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["MadeNote", "has_octets", "make_private_file"]


class MadeNote:
    """The note beside the file at ``path``, which holds ``what``; ``meanwhile`` says what its reader has to know."""

    def __init__(self, path: Path, what: str, meanwhile: str) -> None:
        self._file = path
        self._what = what
        self._text = f"{what.capitalize()} were made in {path.name}. {meanwhile}\n"
        self.path = path.with_suffix(".made")
        #: Whether the file was there: if it is missing afterwards, nobody knows its content; before, it has none.
        #: Each process asks at its start, so that all of them answer alike, also those that have not looked yet.
        self.seen = os.path.exists(self.path) or has_octets(path)

    def write(self) -> None:
        """Note that the file has been made, so that a process that is started while it is missing knows it.  A
        directory that this user may not write stays as it is."""
        if not os.path.exists(self.path) and has_octets(self._file):
            with contextlib.suppress(OSError):
                descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                leave_to_owner(str(self.path), descriptor)
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(self._text)

    def known(self) -> bool:
        """Whether the file has been made; to be asked before the file is looked for, because it is noted after it."""
        self.seen = self.seen or os.path.exists(self.path)
        return self.seen

    def loss(self) -> str:
        """The sentence about a file that was there once and is missing or empty now; "" otherwise, also for a file
        that cannot be read."""
        known = self.known()
        try:
            lost = known and not os.stat(self._file).st_size
        except FileNotFoundError:
            return self.lost("missing") if known else ""
        except OSError:
            return ""
        return self.lost("empty") if lost else ""

    def lost(self, how: str) -> str:
        """The sentence about a file that is ``how``: missing or empty."""
        return (
            f"{self._file} is {how}, and {self._what} were made in it; put it back, from a backup for example. To "
            f"begin without {self._what}, remove {self.path.name} beside it and restart the daemon"
        )


def has_octets(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def make_private_file(path: Path) -> None:
    """Make an empty file with mode 0600, and its directory; raises ``StorageError``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        leave_to_owner(str(path))
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made ({error.strerror}); name another data_dir, or become its owner"
        ) from error
