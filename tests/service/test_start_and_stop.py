"""Start and stop of a ``Daemon`` by a program that uses the class: in any order, at any instant, more than once."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import LocalError, SettingError
from posthouse.net import Endpoint, Handler, SocketNetwork
from posthouse.service import Daemon, parse
from posthouse.spool.sqlite.storage.data_dir import DataDirLock

CATCH_ALL = """
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:{}"
[[domain]]
name = "*"
mailboxes = "any"
"""


def quiet(event: str, /, **fields: object) -> None:
    """A log that nobody reads."""


def made(data_dir: Path, port: int = 0, **options: object) -> Daemon:
    return Daemon(parse(CATCH_ALL.format(data_dir, port)), log=quiet, control=True, **options)  # type: ignore[arg-type]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


async def is_free(data_dir: Path) -> None:
    """Nothing of an earlier daemon is left: another starts in its directory and is reached."""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    other = made(data_dir)
    await other.start()
    endpoint = other.endpoints["mx"]
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    assert (await reader.readline()).startswith(b"220")
    writer.close()
    await other.drain(1.0)


def descriptors() -> set[str]:
    """What this process has open, but for what the event loop and the listing itself have."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return {each for each in found if each.startswith("/") and not each.startswith(("/proc", "/dev"))}


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 40, 100, 400])
def test_a_daemon_that_is_stopped_while_it_starts_closes_what_it_has_opened(tmp_path: Path, turns: int) -> None:
    async def scenario() -> None:
        await is_free(tmp_path)  # the spool is made
        daemon, before = made(tmp_path), descriptors()
        starting = asyncio.ensure_future(daemon.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        await daemon.drain(1.0)
        assert starting.done()
        if starting.exception() is not None:
            with pytest.raises(LocalError, match=r"stopped while it started|started or stopped before"):
                await starting
        assert descriptors() == before
        await daemon.drain(1.0)
        await is_free(tmp_path)

    run(scenario)


class SlowNetwork(SocketNetwork):
    """A network whose listeners are opened when ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def listen(self, endpoint: Endpoint, factory: Callable[[], Handler], *, backlog: int = 128) -> Any:
        self.asked.set()
        await self.gate.wait()
        return await super().listen(endpoint, factory, backlog=backlog)


def test_a_stop_while_the_listeners_are_opened_waits_for_the_start_to_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = SlowNetwork()
        daemon, before = made(tmp_path, network=network), descriptors()
        starting = asyncio.ensure_future(daemon.start())
        await network.asked.wait()
        first, second = (asyncio.ensure_future(daemon.drain(1.0)) for _ in range(2))
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        network.gate.set()
        await asyncio.gather(first, second)
        with pytest.raises(LocalError, match="stopped while it started"):
            await starting
        assert descriptors() == before
        await is_free(tmp_path)

    run(scenario)


def test_a_start_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        await is_free(tmp_path)
        for turns in (1, 2, 3, 5, 8, 13, 40, 100):
            daemon, before = made(tmp_path), descriptors()
            starting = asyncio.ensure_future(daemon.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            await daemon.drain(1.0)
            assert descriptors() == before, turns
            await is_free(tmp_path)

    run(scenario)


def test_a_daemon_that_is_stopped_before_its_start_does_not_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        daemon = made(tmp_path, lock=DataDirLock(str(tmp_path)))
        await daemon.drain()
        await daemon.drain()
        with pytest.raises(LocalError, match="started or stopped before"):
            await daemon.start()
        await is_free(tmp_path)

    run(scenario)


def test_a_daemon_whose_start_failed_can_be_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = made(tmp_path / "a")
        await first.start()
        second = made(tmp_path / "b", first.endpoints["mx"].port)
        with pytest.raises(SettingError):
            await second.start()
        third = made(tmp_path / "a")
        with pytest.raises(SettingError, match="in use"):
            await third.start()
        for _ in range(2):
            await second.drain()
            await third.drain()
        await is_free_beside(tmp_path / "b", first)

    run(scenario)


async def is_free_beside(data_dir: Path, running: Daemon) -> None:
    other = made(data_dir)
    await other.start()
    await asyncio.gather(other.drain(1.0), running.drain(1.0))
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_second_stop_returns_when_the_first_has_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        daemon = made(tmp_path)
        await daemon.start()
        endpoint = daemon.endpoints["mx"]
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        await reader.readline()
        given_up = asyncio.ensure_future(daemon.drain(1.0))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(daemon.drain(1.0), daemon.drain(0.0))
        assert given_up.cancelled()
        assert (await reader.readline()).startswith(b"421")
        writer.close()
        await is_free(tmp_path)

    run(scenario)
