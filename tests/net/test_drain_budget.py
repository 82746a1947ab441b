"""What is read and dropped on connections that are being ended shares a budget, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import socket

from posthouse.net import Endpoint, SocketNetwork
from posthouse.net.drain_budget import EVERY, OCTETS, DrainBudget
from posthouse.testing import RecordingHandler


class Connection:
    """A connection whose peer sends as fast as it is read."""

    def __init__(self, budget: DrainBudget, piece: int = 16_384) -> None:
        self._budget = budget
        self._piece = piece
        self.dropped = 0
        self.held = False
        self.ended = False

    def read(self) -> None:
        while not self.held:
            self.dropped += self._piece
            self._budget.spend(self, self._piece)

    def hold(self) -> None:
        self.held = True

    def drain_on(self) -> bool:
        if self.ended:
            return False
        self.held = False
        asyncio.get_running_loop().call_soon(self.read)
        return True


def test_connections_share_the_budget_and_take_turns() -> None:
    async def scenario() -> None:
        budget, loop = DrainBudget(), asyncio.get_running_loop()
        connections = [Connection(budget) for _ in range(50)]
        begun = loop.time()
        for each in connections:
            each.read()
        assert all(each.held for each in connections)
        async with asyncio.timeout(20):
            while min(each.dropped for each in connections) < 5 * 16_384:
                await asyncio.sleep(EVERY)
        ticks = (loop.time() - begun) / EVERY + 1
        dropped = sum(each.dropped for each in connections)
        assert dropped <= ticks * (OCTETS + 8 * 16_384) + 50 * 16_384
        assert max(each.dropped for each in connections) <= 4 * min(each.dropped for each in connections)
        for each in connections:
            each.ended = True

    asyncio.run(scenario())


def test_a_connection_that_has_ended_keeps_nobody_waiting() -> None:
    async def scenario() -> None:
        budget = DrainBudget()
        ended, last = [Connection(budget) for _ in range(30)], Connection(budget)
        for each in (*ended, last):
            each.read()
        before = last.dropped
        for each in ended:
            each.ended = True
        async with asyncio.timeout(20):
            while last.dropped == before:
                await asyncio.sleep(EVERY)
        last.ended = True

    asyncio.run(scenario())


def test_a_connection_that_fails_keeps_nobody_waiting() -> None:
    class Failing(Connection):
        def drain_on(self) -> bool:
            raise RuntimeError("the transport is closed")

    async def scenario() -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        budget = DrainBudget()
        failing, last = Failing(budget), Connection(budget)
        for each in (failing, last):
            each.read()
        before = last.dropped
        async with asyncio.timeout(20):
            while last.dropped == before:
                await asyncio.sleep(EVERY)
        last.ended = True
        assert len(told) == 1

    asyncio.run(scenario())


def test_a_client_that_sends_on_gets_the_last_reply_and_loses_nothing() -> None:
    """Content of several MiB that is refused: the reply arrives, whatever the budget is."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        servers: list[RecordingHandler] = []

        def accept() -> RecordingHandler:
            servers.append(RecordingHandler())
            return servers[-1]

        listener = await SocketNetwork().listen(Endpoint("127.0.0.1"), accept)

        async def client() -> bytes:
            with socket.create_connection((listener.local.host, listener.local.port), timeout=10) as sock:
                sock.setblocking(False)
                await loop.sock_sendall(sock, b"x")
                async with asyncio.timeout(10):
                    await loop.sock_sendall(sock, bytes(2 << 20))
                    return await loop.sock_recv(sock, 100)

        clients = [asyncio.ensure_future(client()) for _ in range(4)]
        async with asyncio.timeout(20):
            while len(servers) < 4 or not all(each.received for each in servers):
                await asyncio.sleep(EVERY)
            for each in servers:
                each.stream.write(b"552 5.3.4 too large\r\n")
                each.stream.close_gently()
            assert await asyncio.gather(*clients) == [b"552 5.3.4 too large\r\n"] * 4
            for each in servers:
                await each.until(lambda server: server.ended)
            assert [each.error for each in servers] == [None] * 4
        listener.close()

    asyncio.run(scenario())
