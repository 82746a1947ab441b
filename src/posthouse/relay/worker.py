"""The worker: takes due mail from the queue, has it delivered, records what became of it.

**Getting work.**  Two ways lead in.  Reception hands over a message it has just committed, already leased to this
worker (``claim``, then ``wake``): no query, and for a deliverer that is done at once no task either.  Everything else
is leased from the queue in batches, when something is known to be due: after a start, when mail was committed
unclaimed, when a due time comes.  A timer on the clock ends the wait; nothing polls.

**Attempting.**  Recipients of a message that share a route are one attempt, one task; ``lanes`` says who may start.
Leases are short, so that a dead worker's mail is soon another's, and renewed while an attempt takes longer.

**Recording.**  An attempt's outcomes and next times are recorded in one transaction (``recorder``).  Nobody waits for
it, so that records of one instant share a sync; a slow disk stops new work once too many are under way.

Memory is bounded by the limits below whatever the queue holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from random import Random

from posthouse.net import Clock, Timer
from posthouse.relay.bounce import Bouncer
from posthouse.relay.job import Job, Router
from posthouse.relay.lanes import Attempt, Lanes
from posthouse.relay.recorder import Log, Recorder
from posthouse.relay.schedule import Schedule
from posthouse.relay.settle import all_of, split
from posthouse.spool.queue import Queue, Stored, Waiting, Work
from posthouse.words import LocalError, Outcome, Reply, Result, StorageCorrupt

__all__ = ["Worker"]

_BATCH = 128  # recipients leased at one time
_MOST_IN_LINE = 4096  # attempts leased and not started
_MOST_RECORDS = 1024  # records under way
_LONGEST_REST = 300.0  # seconds; another process on the same spool may have died without telling
_STORAGE_REST = 5.0  # seconds before a queue that failed is asked again
_FAULT = Reply(451, "4.3.0", "local error in processing")


class Worker:
    """Moves a queue's mail on.  One event loop, one queue; several workers may share a spool under different names.

    ``owner`` is this worker's name on its leases; ``lease`` their length and ``longest`` the longest attempt, in
    seconds.  ``concurrency`` bounds attempts in all, ``per_destination`` those on one route.  ``log`` is told of
    each recipient's outcome (``delivered``, ``deferred``, ``ambiguous``, ``failed``, ``held``), of reports (``report``)
    and of faults (``fault``).  ``bouncer`` writes the reports; without one, what failed is held.
    """

    def __init__(
        self,
        queue: Queue,
        router: Router,
        *,
        clock: Clock,
        random: Random,
        owner: str,
        schedule: Schedule | None = None,
        bouncer: Bouncer | None = None,
        log: Log | None = None,
        concurrency: int = 50,
        per_destination: int = 10,
        lease: float = 300.0,
        longest: float = 7_200.0,
    ) -> None:
        self.owner = owner
        self.router = router
        self._queue = queue
        self._clock = clock
        self._lanes = Lanes(concurrency, per_destination)
        self._lease = lease
        self._longest = longest
        self._recorder = Recorder(
            queue, clock, schedule or Schedule(), random, log, bouncer, self._moved, self._falls_due, self.wake
        )
        self._look = False  # something may be due in the queue that nobody has
        self._left_out: frozenset[str] = frozenset()
        self._resting = False
        self._stopping = False
        self._next: float | None = None  # when something becomes due, as far as is known
        self._timer: Timer | None = None
        self._renewal: Timer | None = None
        self._main: asyncio.Task[None] | None = None
        self._idlers: list[asyncio.Future[None]] = []
        self._awake = asyncio.Event()

    # -- what others call

    async def start(self) -> None:
        """Begin; mail that is already due is taken at once."""
        if self._main is not None:
            raise LocalError("this worker was started before; make a new one")
        self._look = True
        self._main = asyncio.get_running_loop().create_task(self._run(), name=f"relay worker {self.owner}")

    def claim(self, destinations: Sequence[str] = ()) -> float:
        """May a message to ``destinations`` be committed as leased to ``owner``?  Until when, or 0.0 for no.

        Yes is a promise to take it when ``wake`` brings it.
        """
        if self._main is None or self._stopping or self._is_full():
            return 0.0
        if self._lanes.skip and not self._lanes.skip.isdisjoint(destinations):
            return 0.0
        return self._clock.time() + self._lease

    def wake(self, stored: Stored | None = None) -> None:
        """There is new mail: ``stored``, with the work that ``claim`` promised to take, or somewhere in the queue.

        Never raises, and does not wait: it is called between a commit and its 250.
        """
        if stored is None or not stored.work:
            self._look = True
            self._awake.set()
            return
        try:
            self._take(stored.work)
        except Exception as error:  # the lease runs out, and the mail is looked for again
            self._recorder.fault(f"taking {stored.message.id} failed", error)

    async def idle(self) -> None:
        """Return when nothing is due, under way or being recorded; mail that waits for a later time may remain."""
        while not self._is_idle():
            idler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(idler)
            await idler

    async def stop(self, timeout: float = 30.0) -> None:
        """Take nothing more, let attempts finish for ``timeout`` seconds, then end them and give their leases back.

        An attempt ended this way is made again later; if the other side had taken the message already, that is a
        second copy.
        """
        self._stopping = True
        self._awake.set()
        if self._timer is not None:
            self._timer.cancel()
        self._give_back(self._lanes.dissolve())
        await self._wait_for_all(timeout)
        unfinished = list(self._lanes.active)
        tasks = [attempt.task for attempt in unfinished if attempt.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_back(unfinished)
        await self._wait_for_all(_STORAGE_REST)
        errands = [future for future in {*self._recorder.under_way, self._main} if isinstance(future, asyncio.Task)]
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)
        if self._renewal is not None:
            self._renewal.cancel()
        self._moved()

    # -- getting work

    async def _run(self) -> None:
        while not self._stopping:
            self._awake.clear()
            if self._look and self._lanes.has_room and not self._is_full():
                await self._fetch()
            else:
                self._resting = True
                self._arm()
                self._tell_idle()
                await self._awake.wait()
                self._resting = False

    def _is_full(self) -> bool:
        return self._lanes.in_line >= _MOST_IN_LINE or len(self._recorder.under_way) >= _MOST_RECORDS

    async def _fetch(self) -> None:
        """Lease a batch; when there was none, find out when to look again."""
        self._look = False
        now = self._clock.time()
        skip = self._left_out = frozenset(self._lanes.skip)
        try:
            works = await self._queue.lease(self.owner, now, now + self._lease, limit=_BATCH, skip=skip)
            if works:
                self._look = True
                self._take(works)
            else:
                due = await self._queue.next_due(now, skip=skip)
                self._next = None if due is None else max(due, now + 1.0)
        except Exception as error:
            self._recorder.fault("the queue could not be asked for work", error)
            self._next = now + _STORAGE_REST

    def _arm(self) -> None:
        """Set the timer for the next moment something may be due."""
        if self._timer is not None:
            self._timer.cancel()
        rest = _LONGEST_REST
        if self._next is not None:
            rest = min(rest, max(0.0, self._next - self._clock.time()))
        self._timer = self._clock.call_later(rest, self.wake)

    def _take(self, works: Sequence[Work]) -> None:
        """Sort leased work into attempts, and begin them."""
        attempts: dict[tuple[str, int, str], Attempt] = {}
        for work in works:
            if self._stopping:
                self._recorder.errand(self._released(work))
                continue
            try:
                ways, stranded = split(work, self.router)
            except Exception as error:
                self._recorder.fault(f"finding a route for {work.destination} failed", error)
                recipients = [waiting.recipient for waiting in work.recipients]
                outcomes = all_of(recipients, Result.DEFERRED, "a local error: no route could be worked out", _FAULT)
                ways, stranded = [], list(zip(work.recipients, outcomes, strict=True))
            if stranded:
                self._recorder.record(work, stranded)
            for route, part in ways:
                key = (work.message.id, id(route.deliverer), route.target)
                if key in attempts:
                    attempts[key].add(part)
                else:
                    attempts[key] = Attempt(route, part)
        for attempt in attempts.values():
            self._begin(attempt)

    # -- attempting

    def _begin(self, attempt: Attempt) -> None:
        """Do it at once if the deliverer can; else start it, or let it stand in line."""
        deliver_now = getattr(attempt.route.deliverer, "deliver_now", None)
        if deliver_now is not None:
            try:
                outcomes = deliver_now(self._job(attempt), attempt.route.target)
                if outcomes is not None:
                    outcomes = _checked(attempt, outcomes)
            except Exception as error:
                outcomes = self._broken(attempt, error)
            if outcomes is not None:
                for part, ends in _parted(attempt, outcomes):
                    self._recorder.record(part, ends)
                return
        if self._lanes.enter(attempt):
            self._start(attempt)
        if self._renewal is None and not self._stopping:
            self._renewal = self._clock.call_later(self._lease / 3, self._renew_soon)

    def _start(self, attempt: Attempt) -> None:
        attempt.task = asyncio.get_running_loop().create_task(self._attempt(attempt))

    async def _attempt(self, attempt: Attempt) -> None:
        try:
            if attempt.until <= self._clock.time():  # it stood in line for too long; somebody else may have it now
                self._look = True
                return
            outcomes = await self._outcomes(attempt)
            for part, ends in _parted(attempt, outcomes):
                self._recorder.record(part, ends)
        finally:
            for upcoming in self._lanes.leave(attempt):
                self._start(upcoming)
            if not self._left_out <= self._lanes.skip:  # what the last lease had to leave out is wanted again
                self._look = True
            self._moved()

    async def _outcomes(self, attempt: Attempt) -> Sequence[Outcome]:
        """Deliver, and have one outcome for each recipient whatever happens."""
        timer = self._clock.call_later(self._longest, partial(_expire, attempt))
        try:
            deliverer, target, _ = attempt.route
            return _checked(attempt, await deliverer.deliver(self._job(attempt), target))
        except asyncio.CancelledError:
            if not attempt.expired or self._stopping or attempt.task is None:
                raise
            attempt.task.uncancel()
            recipients = [waiting.recipient for waiting in attempt.waiting]
            return all_of(recipients, Result.AMBIGUOUS, f"ended, as it took longer than {self._longest:.0f} seconds")
        except Exception as error:
            return self._broken(attempt, error)
        finally:
            timer.cancel()

    def _job(self, attempt: Attempt) -> Job:
        message = attempt.parts[0].message
        recipients = tuple(waiting.recipient for waiting in attempt.waiting)
        return Job(message, recipients, self._queue.content(message))

    def _broken(self, attempt: Attempt, error: Exception) -> Sequence[Outcome]:
        """Outcomes for a fault of ours: later, unless the content itself is gone, which no time mends."""
        message = attempt.parts[0].message
        where = attempt.route.target or attempt.parts[0].destination
        self._recorder.fault(f"delivering {message.id} to {where} failed", error)
        recipients = [waiting.recipient for waiting in attempt.waiting]
        if isinstance(error, StorageCorrupt):
            return all_of(recipients, Result.FAILED, "the message's content is damaged or gone; look at the spool")
        return all_of(recipients, Result.DEFERRED, "a local error ended the attempt; the log has it", _FAULT)

    # -- leases

    def _renew_soon(self) -> None:
        """Renew what is under way or in line and would run out within two thirds of a lease."""
        self._renewal = None
        attempts = [*self._lanes.active, *self._lanes.in_lines()]
        if not attempts:
            return
        self._renewal = self._clock.call_later(self._lease / 3, self._renew_soon)
        now = self._clock.time()
        old = [attempt for attempt in attempts if now < attempt.until < now + self._lease * 2 / 3]
        if old:
            self._recorder.errand(self._renew(old, now + self._lease))

    async def _renew(self, attempts: Sequence[Attempt], until: float) -> None:
        before = [attempt.parts for attempt in attempts]
        for attempt in attempts:  # before the queue has done it: a record made now comes behind it
            attempt.parts = [part._replace(until=until) for part in attempt.parts]
        try:
            await self._queue.renew([part for parts in before for part in parts], until)
        except Exception as error:
            self._recorder.fault("leases could not be renewed", error)
            for attempt, parts in zip(attempts, before, strict=True):
                attempt.parts = parts
        else:
            for attempt in attempts:
                attempt.until = until

    def _give_back(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            for part in attempt.parts:
                self._recorder.errand(self._released(part))

    async def _released(self, work: Work) -> None:
        try:
            await self._queue.release(work)
        except Exception as error:  # then it runs out by itself
            self._recorder.fault("a lease could not be given back", error)

    # -- moving

    def _falls_due(self, due: float) -> None:
        """A recipient waits on until ``due``."""
        if self._next is None or due < self._next:
            self._next = due
            if self._resting:
                self._arm()

    def _moved(self) -> None:
        """Something ended: there may be room for what waits in the queue, or nothing left at all."""
        if self._look:
            self._awake.set()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self._idlers and self._is_idle():
            for idler in self._idlers:
                if not idler.done():
                    idler.set_result(None)
            self._idlers.clear()

    def _is_idle(self) -> bool:
        if self._lanes.active or self._lanes.in_line or self._recorder.under_way:
            return False
        return self._stopping or (self._resting and not self._look)

    async def _wait_for_all(self, seconds: float) -> None:
        """Return when everything that is under way has ended, or after ``seconds``."""
        end = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            while not end.done():
                pending: set[asyncio.Future[None]] = {a.task for a in self._lanes.active if a.task is not None}
                pending |= self._recorder.under_way
                if self._main is not None and not self._main.done():
                    pending.add(self._main)
                if not pending:
                    return
                await asyncio.wait({*pending, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()


def _checked(attempt: Attempt, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The deliverer's answer, held to its contract."""
    wanted = len(attempt.waiting)
    if len(outcomes) != wanted:
        raise LocalError(f"the deliverer gave {len(outcomes)} outcomes for {wanted} recipients")
    return outcomes


def _parted(attempt: Attempt, outcomes: Sequence[Outcome]) -> list[tuple[Work, list[tuple[Waiting, Outcome]]]]:
    """The outcomes with the leases they belong to."""
    rest = iter(outcomes)
    return [(part, [(waiting, next(rest)) for waiting in part.recipients]) for part in attempt.parts]


def _expire(attempt: Attempt) -> None:
    if attempt.task is not None:
        attempt.expired = True
        attempt.task.cancel()
