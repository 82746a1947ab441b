"""A daemon of two worker processes: one answer has the sessions and the numbers of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.whole_daemon import Dialogue, WholeDaemon, until

from posthouse.service import OPERATIONS
from posthouse.service.control.client import ask
from posthouse.service.operations.monitor.exposition import exposition

SETTINGS = """
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "here.test"
deliver = "discard"
mailboxes = ["ann"]
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[WholeDaemon]:
    made = WholeDaemon(tmp_path, SETTINGS, workers=2)
    yield made
    made.end()


def asked(daemon: WholeDaemon, name: str, **given: Any) -> Any:
    return asyncio.run(ask(f"{daemon.home}/data", OPERATIONS[name], given))


def test_one_answer_has_what_every_worker_knows(daemon: WholeDaemon) -> None:
    port = daemon.port()
    daemon.up()
    opened: list[Dialogue] = []
    try:

        def both() -> bool:
            """Open sessions until each worker has one: the kernel spreads them."""
            opened.append(Dialogue(port))
            return len({each.worker for each in asked(daemon, "monitor sessions", live=True).sessions}) == 2

        until(both)
        for each in opened:
            each.ask("EHLO client.test")
            each.ask("MAIL FROM:<me@far.test>")
            assert each.ask("RCPT TO:<nobody@here.test>").startswith("550")
        overview = asked(daemon, "monitor overview")
        assert [each.number for each in overview.workers] == [0, 1]
        assert sum(each.sessions for each in overview.workers) == len(opened)
        assert overview.counts["refused"] == len(opened)
        session = next(each for each in asked(daemon, "monitor sessions").sessions if each.worker == 1)
        lines = asked(daemon, "monitor session", id=session.id).dialogue
        assert lines[-1].text.startswith("550 5.1.1")
        asked(daemon, "queue pause", destination="far.test", why="a test")
        assert [each.destination for each in asked(daemon, "queue paused").pauses] == ["far.test"]
        text = exposition(asked(daemon, "monitor metrics")).decode()
        assert f'posthouse_refusals_total{{code="550 5.1.1",command="RCPT"}} {float(len(opened))}' in text
    finally:
        for each in opened:
            each.sock.close()
