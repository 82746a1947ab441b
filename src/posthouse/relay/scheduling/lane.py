"""One lane: who is under way to one site, or one target, and who stands in line for it (see
``scheduling.scheduler``)."""

from __future__ import annotations

import enum
from collections import deque

from posthouse.net import Timer
from posthouse.relay.scheduling.concurrency import Priority
from posthouse.relay.scheduling.ready_queue import Attempt, Key
from posthouse.relay.scheduling.site_health import SiteHealth

__all__ = ["QueuePosition", "ReadyQueue"]


class QueuePosition(enum.Enum):
    """What becomes of an attempt that wants to start."""

    STARTS = enum.auto()
    WAITS = enum.auto()  # it stands in line
    TURNED_AWAY = enum.auto()  # the site is left alone, or the line is too long


class ReadyQueue:
    """One lane; ``site`` is None where the deliverer knows no sites."""

    __slots__ = ("active", "destinations", "fresh", "key", "line", "most", "named", "site", "timer")

    def __init__(self, key: Key, most: int, site: SiteHealth | None) -> None:
        self.key = key
        self.most = most
        self.site = site
        self.active = 0
        self.line: deque[Attempt] = deque()
        self.fresh = 0  # of those in line
        self.destinations: dict[str, None] = {}
        self.named = False
        self.timer: Timer | None = None

    @property
    def free(self) -> bool:
        """True if one more could start."""
        return self.active < (self.most if self.site is None else self.site.limit)

    def rank(self, fresh: bool) -> Priority:
        """Of an attempt here, ``fresh`` or not."""
        if self.site is None or self.site.proven:
            return Priority.PROVEN
        if self.site.doubtful:
            return Priority.TROUBLED
        return Priority.FRESH if fresh else Priority.UNKNOWN

    @property
    def alone(self) -> bool:
        """True while the site is left alone."""
        return self.site is not None and self.site.until > 0.0
