"""A process that stores messages, 20 at a time, and prints each id when it is promised, until it is killed.

python storing_process.py DATA_DIR
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from posthouse.core import Address, Envelope, Recipient
from posthouse.spool import SqliteSpool


def content(queue_id: str, large: bool) -> bytes:
    """The content that is stored under an id."""
    return f"Subject: {queue_id}\r\n\r\n".encode() * (5000 if large else 100)


async def main(directory: str) -> None:
    """See the module's docstring."""
    queue = SqliteSpool(directory)
    await queue.open(time.time())

    async def session(nth: int) -> None:
        while True:
            receipt = queue.receive()
            large = nth == 0
            waiting = receipt.write(content(receipt.id, large))
            if waiting is not None:
                await waiting
            now = time.time()
            envelope = Envelope(None, (Recipient(Address(str(nth), "x.test")),))
            stored = await receipt.commit(
                envelope, ["x.test"], received=now, due=now, owner="w" if nth % 2 else "", until=now + 3600
            )
            os.write(1, f"{stored.message.id} {large:d}\n".encode())

    await asyncio.gather(*(session(nth) for nth in range(20)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
