"""The error of an operation that only a running daemon can do."""

from __future__ import annotations

import os

from posthouse.core import PosthouseError, SettingError, StorageBusy
from posthouse.spool.sqlite.storage.data_dir import holder_of

__all__ = ["no_daemon"]


def no_daemon(data_dir: str, remedy: str) -> PosthouseError:
    """Why no daemon could be asked: none runs on ``data_dir``, it is starting or stopping, or this user may not ask."""
    try:
        os.listdir(data_dir)
    except PermissionError as error:
        cause, help_ = "this user may not enter it", "ask as the daemon's user, or as root"
        denied = SettingError(cause, where=data_dir, remedy=help_)
        denied.__cause__ = error
        return denied
    except OSError:
        pass  # there is none
    if process := holder_of(data_dir):
        return StorageBusy(
            f"the daemon on {data_dir} (process {process}) is starting or stopping; try again in a moment, or start it "
            "again when it has ended"
        )
    missing = SettingError(f"no daemon runs on {data_dir}", remedy=remedy)
    missing.__cause__ = ConnectionRefusedError("no daemon listens")
    return missing
