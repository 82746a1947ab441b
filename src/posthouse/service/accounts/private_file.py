"""A file with secrets, made so that only the daemon's user can read it, before anything is written into it."""

from __future__ import annotations

import os
from pathlib import Path

from posthouse.core import StorageError
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

__all__ = ["make_private_file"]


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
