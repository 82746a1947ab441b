"""Verdicts of an intake: why a message is not stored."""

from __future__ import annotations

from typing import Final

from posthouse.core import Reply, StorageError, StorageFull, Verdict

__all__ = ["GONE", "TOO_LARGE", "storage_verdict"]

TOO_LARGE: Final = Verdict(Reply(552, "5.3.4", "Message too large"), "larger than max_message_size")
GONE: Final = Verdict(Reply(451, "4.4.2", "The client has gone"), "the connection ended before the message was stored")
_FULL: Final = Verdict(Reply(452, "4.3.1", "No room for this message now; try again later"), "storage is full")
_BUSY: Final = Verdict(Reply(451, "4.3.0", "Cannot store this message now; try again later"), "storage failed")


def storage_verdict(error: StorageError) -> Verdict:
    """The verdict for a storage error: there is no room, or storing failed.  The details go to the log only."""
    base = _FULL if isinstance(error, StorageFull) else _BUSY
    return base._replace(reason=f"{base.reason}: {error}")
