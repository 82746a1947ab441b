"""Faults by chance: of connections, of the DNS and of disks.

A ``Chaos`` is asked about each connection, DNS question and disk operation, and draws from the random numbers of the
world.  The order of these questions, and with it the whole run, thus depends on the seed alone.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from posthouse.core import StorageBusy, StorageError, StorageFull
from posthouse.net import Endpoint
from posthouse.testing.memory_stream import StreamFault

__all__ = ["Chaos", "NoChaos", "RandomChaos"]


class Chaos(Protocol):
    """The faults and delays of a world."""

    def connection(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        """The fault of a new connection from the address ``source``."""
        ...

    def dns(self, random: Random) -> tuple[float, bool]:
        """The seconds that a question takes, and whether the server fails."""
        ...

    def disk_pause(self, random: Random) -> float:
        """The seconds until an operation is durable, or until its caller is answered."""
        ...

    def thread_pause(self, random: Random) -> float:
        """The seconds that a piece of work for a thread takes, a query for example."""
        ...

    def disk_error(self, random: Random) -> StorageError | None:
        """The error that an operation meets, or None."""
        ...


class NoChaos:
    """No faults, and short delays."""

    def connection(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        return StreamFault()

    def dns(self, random: Random) -> tuple[float, bool]:
        return random.random() * 0.05, False

    def disk_pause(self, random: Random) -> float:
        return random.random() * 0.01

    def thread_pause(self, random: Random) -> float:
        return self.disk_pause(random)

    def disk_error(self, random: Random) -> StorageError | None:
        return None


class RandomChaos(NoChaos):
    """Every kind of fault; ``rate`` (0 to 1) is the part of the connections that have one.

    A DNS question fails 1/3 as often, a disk operation 1/20 as often.  ``slow`` are the seconds that the work of a
    thread may take, so that an answer may be older than what happened since.
    """

    def __init__(self, rate: float, slow: float = 0.0) -> None:
        self.rate = rate
        self.slow = slow

    def thread_pause(self, random: Random) -> float:
        if self.slow and random.random() < 0.5:
            return random.random() * self.slow
        return self.disk_pause(random)

    def connection(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        if random.random() >= self.rate:
            return StreamFault()
        match random.randrange(6):
            case 0:
                return StreamFault(refuse=True)
            case 1:
                return StreamFault(silent=True)
            case 2:
                return StreamFault(reset_after=int(random.expovariate(1 / 600)))
            case 3:
                return StreamFault(reset_after_answers=int(random.expovariate(1 / 300)))
            case 4:
                return StreamFault(delay=random.choice((0.1, 1.0, 20.0, 160.0, 400.0)))
            case _:
                return StreamFault(single=True)

    def dns(self, random: Random) -> tuple[float, bool]:
        pause = random.random() * (10.0 if random.random() < self.rate else 0.05)
        return pause, random.random() < self.rate / 3

    def disk_pause(self, random: Random) -> float:
        return random.random() * (5.0 if random.random() < self.rate / 10 else 0.01)

    def disk_error(self, random: Random) -> StorageError | None:
        if random.random() >= self.rate / 20:
            return None
        kind: type[StorageError] = random.choice((StorageError, StorageFull, StorageBusy))
        return kind("the simulated disk failed")
