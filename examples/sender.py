"""Compose a message, submit it to a server, and print the outcome of each recipient.

    python examples/sender.py smtp://127.0.0.1:2525 renping@sina.com ann@example.net

Composing needs neither a clock nor a random source: the date and the Message-ID are arguments, so equal arguments give
equal octets.  The server's reply about a recipient is an outcome; an exception means that the server could not be
reached or refused the session, and that no recipient was tried.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from datetime import UTC, datetime

from posthouse import PosthouseError, compose, parse_server, submit
from posthouse.core import Bytes, Result


async def main(server: str, recipients: list[str]) -> int:
    message = compose(
        from_="朗瑞 Langrui <langrui@sohu.com>",
        to=recipients,
        subject="第一封邮件 / a first message",
        text="Dear reader,\n\n你好！\n",
        html="<p>Dear reader,</p><p>你好！</p>",
        attachments=[("notes.txt", b"one line\n")],
        date=datetime.now(UTC),
        message_id=f"<{secrets.token_hex(8)}@sohu.com>",
    )
    try:
        outcomes = await submit(parse_server(server), message.envelope, Bytes(message.content))
    except PosthouseError as error:
        print(f"nothing was sent: {error}")
        return 1
    for outcome in outcomes:
        print(f"{outcome.recipient.address}: {outcome.result}: {outcome.reply or outcome.reason}")
    return 0 if all(outcome.result is Result.DELIVERED for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
