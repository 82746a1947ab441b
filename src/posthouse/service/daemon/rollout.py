"""Rollout: a change of the configuration on its way to all worker processes, which takes effect in all or in none.

The parent reads the file and opens new ports.  Every worker then prepares the change, which is all that can fail; when
all have answered that they are ready, all are told to switch.  If one refuses, ends or does not answer, all abandon the
change.  A rollout begins when every worker is up, and no worker is started while one is under way, so a worker that is
started later has the newest accepted configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from posthouse.core import EventSink, PosthouseError, StorageBusy
from posthouse.service.config.model import Config
from posthouse.service.daemon.reloading import ConfigSource, NewConfig, log_outcome, read_again
from posthouse.service.operations.reload import ReloadReport
from posthouse.service.process.notify import ServiceManager
from posthouse.service.process.ports import Ports

__all__ = ["ANSWERED", "Request", "Rollouts"]

#: Seconds that the workers may take to be up before a rollout, and to prepare it.
ANSWERED: Final = 30.0


class Request(NamedTuple):
    """A reload that was asked for: by whom, when, and how the answer is given."""

    who: str
    since: float
    answer: Callable[[ReloadReport | PosthouseError], object]


class _Rollout(NamedTuple):
    number: int
    change: NewConfig
    opened: Config
    until: float
    requests: tuple[Request, ...]
    prepared: set[int]


class Rollouts:
    """The rollouts of one parent process, one at a time.

    Args:
        running: the configuration in force, as it was written.
        prepare: orders all workers to prepare a change, by its number, with the configuration that has the real
            addresses.  Raises ``OSError``.
        switch: orders all workers to switch; given the same.
        abandon: orders all workers to abandon.
    """

    def __init__(
        self,
        source: ConfigSource | None,
        running: Config,
        ports: Ports,
        log: EventSink,
        *,
        prepare: Callable[[int, Config], object],
        switch: Callable[[int, Config], object],
        abandon: Callable[[int], object],
        manager: ServiceManager,
    ) -> None:
        self._source = source
        self._running = running
        self._ports = ports
        self._log = log
        self._prepare = prepare
        self._switch = switch
        self._abandon = abandon
        self._manager = manager
        self._requests: list[Request] = []
        self._under_way: _Rollout | None = None
        self._number = 0

    @property
    def under_way(self) -> bool:
        """Whether workers prepare a change now."""
        return self._under_way is not None

    def ask(self, who: str, answer: Callable[[ReloadReport | PosthouseError], object]) -> None:
        """Ask for a reload; requests that come while one is under way are answered by one more after it."""
        self._requests.append(Request(who, time.monotonic(), answer))

    def step(self, workers: Collection[int], not_up: str) -> None:
        """Go on as far as possible; ``workers`` are the numbers of all, ``not_up`` says why one cannot answer now."""
        now = time.monotonic()
        rollout = self._under_way
        if rollout is not None:
            if rollout.prepared >= set(workers):
                self._finish(rollout)
            elif now >= rollout.until:
                silent = ", ".join(str(each) for each in sorted(set(workers) - rollout.prepared))
                self.refused(rollout.number, StorageBusy(f"worker {silent} did not answer within {ANSWERED:g} s"))
        elif self._requests and not not_up:
            self._begin(now)
        elif self._requests and now - self._requests[0].since >= ANSWERED:
            self._end(self._take_requests(), StorageBusy(f"{not_up}; try again later"))

    def prepared(self, worker: int, number: int) -> None:
        """A worker is ready to switch."""
        if self._under_way is not None and self._under_way.number == number:
            self._under_way.prepared.add(worker)

    def refused(self, number: int, error: PosthouseError) -> None:
        """A worker cannot take the change: no worker does."""
        rollout = self._under_way
        if rollout is None or rollout.number != number:
            return
        self._under_way = None
        self._abandon(number)
        self._ports.undo()
        self._end(rollout.requests, error)

    def worker_ended(self, worker: int) -> None:
        """A worker has ended: a change that is under way is abandoned."""
        if self._under_way is not None:
            self.refused(self._under_way.number, StorageBusy(f"worker {worker} ended meanwhile; try again"))

    def stop(self) -> None:
        """The daemon stops: nothing is changed any more."""
        error = StorageBusy("the daemon is stopping; start it again when it has ended")
        if self._under_way is not None:
            self.refused(self._under_way.number, error)
        self._end(self._take_requests(), error)

    def _take_requests(self) -> tuple[Request, ...]:
        requests, self._requests = tuple(self._requests), []
        return requests

    def _begin(self, now: float) -> None:
        requests = self._take_requests()
        self._manager.reloading()
        try:
            change = read_again(self._source, self._running)
            opened = self._ports.open(change.config)
        except PosthouseError as error:
            self._end(requests, error)
            return
        self._number += 1
        self._under_way = _Rollout(self._number, change, opened, now + ANSWERED, requests, set())
        try:
            self._prepare(self._number, opened)
        except OSError as error:
            why = f"the workers cannot be told ({error.strerror or error})"
            self.refused(self._number, StorageBusy(f"{why}; try again later"))

    def _finish(self, rollout: _Rollout) -> None:
        self._under_way = None
        self._running = rollout.change.config
        self._switch(rollout.number, rollout.opened)
        self._ports.keep(rollout.change.config)
        self._end(rollout.requests, rollout.change.report)

    def _end(self, requests: Collection[Request], outcome: ReloadReport | PosthouseError) -> None:
        self._manager.ready()
        for who in dict.fromkeys(each.who for each in requests):
            log_outcome(self._log, who, outcome)
        for each in requests:
            each.answer(outcome)
