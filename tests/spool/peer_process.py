"""A peer process on a spool, which leases on command and by the clocks that it is given.

    python peer_process.py DATA_DIR

Each line of its input is ``CALENDAR STOPWATCH``, in seconds: it leases all that is due then for a minute, and answers
with the recipients (``ID/KEY``) in one line.  ``renew CALENDAR STOPWATCH`` renews all leases it has instead, and
answers with their recipients.
"""

from __future__ import annotations

import asyncio
import sys

from posthouse.spool import Lease, SqliteSpool

NOW = 1_700_000_000.0


class Clocks:
    """The times of the last line."""

    calendar = NOW
    stopwatch = 0.0


async def main(directory: str) -> None:
    """See the module's docstring."""
    queue = SqliteSpool(directory, time=lambda: Clocks.calendar, stopwatch=lambda: Clocks.stopwatch)
    await queue.open(NOW)
    has: list[Lease] = []
    print("open", flush=True)
    for line in sys.stdin:
        *renew, calendar, stopwatch = line.split()
        Clocks.calendar, Clocks.stopwatch = float(calendar), float(stopwatch)
        until = Clocks.calendar + 60
        if renew:
            renewal = queue.renew(has, until)
            await renewal.done
            works = has = list(renewal.leases)
        else:
            works = await queue.lease("worker", Clocks.calendar, until, limit=100)
            has += works
        print(*(f"{work.message.id}/{waiting.key}" for work in works for waiting in work.recipients), flush=True)
    await queue.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
