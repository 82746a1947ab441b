"""Taking letters out of the inboxes: the one thing the command line changes in a spool, daemon or no daemon."""

from __future__ import annotations

from collections.abc import Collection

from posthouse.net import SystemClock
from posthouse.service.config.model import Config
from posthouse.spool import SqliteSpool

__all__ = ["delete_letters"]


async def delete_letters(config: Config, numbers: Collection[int]) -> int:
    """Delete the letters with these numbers for good; how many there were.  Raises ``StorageError``."""
    queue = SqliteSpool(config.data_dir)
    await queue.open(SystemClock().time())
    try:
        return await queue.discard(numbers)
    finally:
        await queue.close()
