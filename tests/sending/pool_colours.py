"""One scenario over the pools of all colours: a coroutine function, for which the blocking pool is awaited too."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import anyio
import pytest

from posthouse.client.blocking_channel import BlockingChannel
from posthouse.net.tls import TlsStream
from posthouse.sending import SendResult
from posthouse.sending.pool import AsyncPool, Pool
from posthouse.sending.pool.anyio_pool import AnyioPool

from .scripted_server import LONG


class AwaitedPool:
    """A blocking pool whose methods can be awaited; they block the loop, which has nothing else to do."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.pool = Pool(*arguments, **options)

    async def send(self, message: Any, **options: Any) -> SendResult:
        return self.pool.send(message, **options)

    async def send_many(self, messages: Iterable[Any], **options: Any) -> AsyncIterator[SendResult]:
        results = self.pool.send_many(messages, **options)
        try:
            for each in results:
                yield each
        finally:
            results.close()  # type: ignore[attr-defined]

    async def close(self, grace: float = 1.0) -> None:
        self.pool.close(grace)

    @property
    def status(self) -> Any:
        return self.pool.status

    @property
    def engine(self) -> Any:
        return self.pool._engine

    async def __aenter__(self) -> AwaitedPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pool.close()


Scenario = Callable[[Any], Awaitable[None]]
Colour = Callable[[Scenario], None]


def threads(scenario: Scenario) -> None:
    asyncio.run(scenario(AwaitedPool))  # type: ignore[arg-type]


def in_asyncio(scenario: Scenario) -> None:
    asyncio.run(scenario(AsyncPool))  # type: ignore[arg-type]


def anyio_on_asyncio(scenario: Scenario) -> None:
    anyio.run(scenario, AnyioPool, backend="asyncio")


def anyio_on_trio(scenario: Scenario) -> None:
    anyio.run(scenario, AnyioPool, backend="trio")


COLOURS: dict[str, Colour] = {
    "threads": threads,
    "asyncio": in_asyncio,
    "anyio": anyio_on_asyncio,
    "trio": anyio_on_trio,
}

every_colour = pytest.mark.parametrize("run", list(COLOURS.values()), ids=list(COLOURS))


def engine_of(pool: Any) -> Any:
    return pool.engine if hasattr(pool, "engine") else pool._engine


def idle_for(pool: Any, seconds: float) -> None:
    """As if the connections of a pool had been without work for some seconds."""
    for each in engine_of(pool)._idle:
        each.idle_since -= seconds


def arrived(pool: Any) -> None:
    """Wait until what the server has sent to each idle connection is on this machine's socket; nothing is read."""
    for each in engine_of(pool)._idle:
        channel = each.connection.session._channel
        if isinstance(channel, BlockingChannel):
            assert select.select([channel], [], [], LONG)[0]
        else:
            stream = channel._stream.below if isinstance(channel._stream, TlsStream) else channel._stream
            assert select.select([stream._transport.get_extra_info("socket")], [], [], LONG)[0]
