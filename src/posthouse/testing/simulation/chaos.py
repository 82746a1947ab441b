"""What goes wrong by chance: channels, the DNS, disks.

A weather is asked for every single thing, with the world's own dice; so the order of the questions, and with them the
whole story, depends on the seed alone.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from posthouse.core import StorageBusy, StorageError, StorageFull
from posthouse.net import Endpoint
from posthouse.testing.memory_stream import StreamFault

__all__ = ["Calm", "Storm", "Weather"]


class Weather(Protocol):
    """The dice of a world."""

    def channel(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        """What happens to a new channel."""
        ...

    def dns(self, random: Random) -> tuple[float, bool]:
        """Seconds that a question takes, and whether the server fails."""
        ...

    def disk_pause(self, random: Random) -> float:
        """Seconds until an act is durable, or until whoever waits hears of it."""
        ...

    def disk_trouble(self, random: Random) -> StorageError | None:
        """What an act meets on the disk."""
        ...


class Calm:
    """Nothing goes wrong, and things take their usual time."""

    def channel(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        """See ``Weather.channel``."""
        return StreamFault()

    def dns(self, random: Random) -> tuple[float, bool]:
        """See ``Weather.dns``."""
        return random.random() * 0.05, False

    def disk_pause(self, random: Random) -> float:
        """See ``Weather.disk_pause``."""
        return random.random() * 0.01

    def disk_trouble(self, random: Random) -> StorageError | None:
        """See ``Weather.disk_trouble``."""
        return None


class Storm(Calm):
    """Everything goes wrong now and then; ``force`` (0 to 1) is how often."""

    def __init__(self, force: float) -> None:
        self.force = force

    def channel(self, random: Random, source: str, endpoint: Endpoint) -> StreamFault:
        """See ``Weather.channel``."""
        if random.random() >= self.force:
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
        """See ``Weather.dns``."""
        pause = random.random() * (10.0 if random.random() < self.force else 0.05)
        return pause, random.random() < self.force / 3

    def disk_pause(self, random: Random) -> float:
        """See ``Weather.disk_pause``."""
        return random.random() * (5.0 if random.random() < self.force / 10 else 0.01)

    def disk_trouble(self, random: Random) -> StorageError | None:
        """See ``Weather.disk_trouble``."""
        if random.random() >= self.force / 20:
            return None
        kind: type[StorageError] = random.choice((StorageError, StorageFull, StorageBusy))
        return kind("the simulated disk failed")
