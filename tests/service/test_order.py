"""The order of a message's commit, its 250 and its first attempt."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Outcome, Reply, Result
from posthouse.delivery import Deliverer, Delivery
from posthouse.delivery.model import all_of
from posthouse.service import Daemon, parse

SESSIONS = 12
CONFIG = """
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
name = "mx"
[[domain]]
name = "hold.test"
deliver = "discard"
"""


async def submit(daemon: Daemon, ready: asyncio.Barrier) -> None:
    """Send one message; the sessions send their content at the same time."""
    endpoint = daemon.endpoints["mx"]
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    await reader.readline()
    for line in (b"HELO a.test", b"MAIL FROM:<a@a.test>", b"RCPT TO:<b@hold.test>", b"DATA"):
        writer.write(line + b"\r\n")
        assert (await reader.readline())[:1] in b"23"
    await ready.wait()
    writer.write(b"Subject: x\r\n\r\nhello\r\n.\r\n")
    assert (await reader.readline()).startswith(b"250 ")
    writer.close()
    await writer.wait_closed()


def test_no_attempt_begins_before_the_250_of_its_message_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, str]] = []
    send = socket.socket.send

    def sent(sock: socket.socket, data: Any, *flags: int) -> int:
        if (found := re.match(rb"250 2\.0\.0 Ok: queued as (\w+)", bytes(data))) is not None:
            order.append(("250", found[1].decode()))
        return send(sock, data, *flags)

    class Recording(Deliverer):
        immediate = True

        def deliver_now(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
            order.append(("attempt", delivery.queue_id))
            return all_of(delivery.recipients, Result.DELIVERED, "discarded", Reply(250, "2.0.0", "discarded"), target)

    async def scenario() -> None:
        daemon = Daemon(parse(CONFIG.format(tmp_path)), log=lambda event, /, **facts: None)
        await daemon.start()
        ready = asyncio.Barrier(SESSIONS)
        async with asyncio.timeout(30):
            await asyncio.gather(*(submit(daemon, ready) for _ in range(SESSIONS)))
            await daemon.wait_idle()
        await daemon.drain(1.0)

    monkeypatch.setattr(socket.socket, "send", sent)
    monkeypatch.setattr("posthouse.service.daemon.daemon.DiscardDeliverer", Recording)
    asyncio.run(scenario())
    replies = [queue_id for what, queue_id in order if what == "250"]
    attempts = [queue_id for what, queue_id in order if what == "attempt"]
    assert len(replies) == SESSIONS
    assert sorted(attempts) == sorted(replies)
    for queue_id in replies:
        assert order.index(("250", queue_id)) < order.index(("attempt", queue_id))
