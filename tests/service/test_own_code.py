"""A daemon that delivers to a function of its operator's, through the real spool and relay."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from posthouse import Defer, Reject
from posthouse.core import Envelope, Recipient
from posthouse.service import OPERATIONS, Daemon, parse

from .operation_harness import address, run

SETTINGS = """
hostname = "mx.here.test"
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
deliver = "python:our_own_code:handle"
mailboxes = ["bob", "ann", "eve"]
subaddress = "+"
"""
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def quiet(event: str, /, **fields: object) -> None:
    """A log that nobody reads."""


def test_taken_put_off_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, bytes]] = []
    busy = [True]

    async def handle(envelope: Envelope, content: Any) -> None:
        to = envelope.recipients[0].address
        if to.local == "eve":
            raise Reject("she has moved away")
        if to.local == "ann" and busy[0]:
            raise Defer("the archive is being moved")
        got.append((str(to), b"".join([piece async for piece in content])))

    module = ModuleType("our_own_code")
    module.handle = handle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "our_own_code", module)

    async def scenario() -> None:
        daemon = Daemon(parse(SETTINGS.format(tmp_path)), log=quiet)
        await daemon.start()
        try:
            receipt = daemon.spool.receive()
            receipt.write(MESSAGE)
            people = [address(f"{name}@here.test") for name in ("bob+news", "ann", "eve")]
            envelope = Envelope(None, tuple(map(Recipient, people)))
            now = daemon.clock.time()
            await receipt.commit(envelope, ["here.test"] * 3, received=now, due=now)
            daemon.worker.wake()
            await daemon.wait_idle()
            assert got == [("bob+news@here.test", MESSAGE)]
            context = daemon.context("ann")
            message = (await OPERATIONS["explain"].run(context, what=receipt.id)).message
            assert [each.state for each in message.standing] == ["delivered", "waiting", "failed"]
            (attempt,) = [each for each in message.events if hasattr(each, "ends")]
            assert "the archive is being moved" in attempt.ends[1].reply
            assert "she has moved away" in attempt.ends[2].reply
            busy.clear()
            busy.append(False)
            assert (await OPERATIONS["queue retry"].run(context, filter="to:ann@here.test")).recipients == 1
            await daemon.wait_idle()
            assert got[1:] == [("ann@here.test", MESSAGE)]
        finally:
            await daemon.drain(5.0)

    run(scenario)
