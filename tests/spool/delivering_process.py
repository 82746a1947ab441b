"""A process that leases and delivers until nothing waits, and prints each recipient that it leased.

python delivering_process.py DATA_DIR
"""

from __future__ import annotations

import asyncio
import os
import sys

from posthouse.core import Outcome, Result
from posthouse.spool import RecipientState, Settlement, SqliteSpool

NOW = 1_700_000_000.0


async def main(directory: str) -> None:
    """See the module's docstring."""
    queue = SqliteSpool(directory)
    await queue.open(NOW)
    while works := await queue.lease("worker", NOW, NOW + 60, limit=7):
        for work in works:
            os.write(1, "".join(f"{work.message.id}/{w.key}\n" for w in work.recipients).encode())
            await queue.record(
                work,
                [
                    Settlement(w.key, RecipientState.DELIVERED, NOW, Outcome(w.recipient, Result.DELIVERED))
                    for w in work.recipients
                ],
            )
    await queue.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
