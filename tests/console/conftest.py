"""The console over a daemon that is not started, and a client that asks it in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.service import Daemon, parse
from posthouse.service.config.console_settings import ConsoleSettings
from posthouse.spool import SqliteSpool
from posthouse.testing import ManualClock, MemoryNetwork, StaticResolver

CONFIG = """
hostname = "mx.here.test"
[[domain]]
name = "here.test"
mailboxes = ["ann"]
"""


def data_dir_of(spool: SqliteSpool) -> str:
    """The data directory of an ephemeral spool."""
    return os.path.dirname(spool._layout.root)


class ConsoleHarness:
    """A console in memory over the operations of a daemon that is not started; its spool is open while the client's
    context is entered, in the client's own loop.

    ``client`` asks; ``faults`` has what the console logged; ``run`` runs a coroutine in the loop of the application.
    """

    def __init__(self, text: str = CONFIG, *, settings: ConsoleSettings | None = None) -> None:
        self.clock = ManualClock()
        self.spool = SqliteSpool.ephemeral(time=self.clock.time)
        self.faults: list[dict[str, Any]] = []
        self.daemon = Daemon(
            parse(text),
            clock=self.clock,
            network=MemoryNetwork(self.clock),
            spool=self.spool,
            resolver=StaticResolver({}),
            log=lambda event, /, **fields: None,
        )
        self.console = Console(
            ContextRunner(self.daemon.context),
            settings=settings,
            log=lambda event, /, **fields: self.faults.append(fields),
        )
        self.client = TestClient(self.console.guarded, base_url="http://127.0.0.1:8025", follow_redirects=False)

    def _log(self, event: str, /, **fields: Any) -> None:
        self.faults.append(fields)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of an async function, run in the loop of the application."""
        assert self.client.portal is not None
        return self.client.portal.call(function, *args)

    def __enter__(self) -> ConsoleHarness:
        self.client.__enter__()
        self.run(self.spool.open, self.clock.time())
        return self

    def __exit__(self, *error: object) -> None:
        self.run(self.spool.close)
        self.client.__exit__(None, None, None)


@pytest.fixture
def harness() -> Iterator[ConsoleHarness]:
    with ConsoleHarness() as made:
        yield made
        assert made.faults == []


@pytest.fixture
def client(harness: ConsoleHarness) -> TestClient:
    """Asks a console of its own."""
    return harness.client
