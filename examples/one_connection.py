"""Send a message to each reader on one connection, in an event loop, with bounce addresses that name the reader.

python examples/one_connection.py smtp://127.0.0.1:2525 ann@example.net bob@example.org
"""

import asyncio
import sys

import posthouse


async def main(server: str, readers: list[str]) -> None:
    async with posthouse.Client(server, timeout="1m") as client:
        for reader in readers:
            message = posthouse.Message(sender="News <news@sohu.com>", to=reader, subject="News", text="It rains.\n")
            result = await client.send(message, verp=True)
            print(f"{reader}: {result[reader].result}, {result[reader].reason}")


asyncio.run(main(sys.argv[1], sys.argv[2:]))
