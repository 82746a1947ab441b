"""Send a message to each reader of a list, over a few connections, so that a run which dies can be started again.

    python examples/bulk.py smtp://127.0.0.1:2525 run.jsonl ann@example.net renping@sina.com

The journal keeps what was sent.  The same command once more sends to those alone who were deferred, or not reached.
"""

import sys
from collections.abc import Iterator

from posthouse import Message, Pool


def letters(readers: list[str]) -> Iterator[Message]:
    for reader in readers:
        yield Message(sender="News <news@sohu.com>", to=reader, subject="News", text=f"Dear {reader}, 你好！\n")


def main(url: str, journal: str, *readers: str) -> int:
    failures = 0
    with Pool(url, size=3, rate="50/s") as pool:
        for result in pool.send_many(letters(list(readers)), journal=journal, progress=True):
            for outcome in result:
                print(f"{outcome.recipient.address}: {outcome.result}")
            failures += not result.ok
    return 1 if failures else 0


sys.exit(main(*sys.argv[1:]))
