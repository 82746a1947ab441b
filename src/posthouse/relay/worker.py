"""The worker: takes due mail from the queue, has it delivered, records what became of it.

**Getting work.**  Two ways lead in.  Reception hands over a message it has just committed, already leased to this
worker (``claim``, then ``wake``): no query, and for a deliverer that is done at once no task either.  Everything else
is leased from the queue in batches, when something is known to be due: after a start, when mail was committed
unclaimed, when a due time comes.  A timer on the clock ends the wait; nothing polls.

**Attempting.**  ``dispatcher`` leads what was leased through the ``scheduling.scheduler`` to the deliverers.
LeaseKeeper are short, so that what is mislaid is soon found again, and renewed while an attempt takes longer
(``lease_keeper``). Mail for sites that have not proved themselves is leased at a bounded pace, one message for each at
a time (``scheduling.destinations``); mail for sites that are left alone is not leased at all, but for the oldest, which
is moved on in small batches so that it ends some day.

**Recording.**  An attempt's outcomes and next times are recorded in one transaction (``recording.recorder``).  Nobody
waits for it, so that records of one instant share a sync; a slow disk stops new work once too many are under way.

Memory is bounded by the limits below whatever the queue holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from random import Random

from posthouse.core import EventSink, LocalError
from posthouse.net import Clock, Timer
from posthouse.relay.dispatcher import Dispatcher
from posthouse.relay.lease_keeper import LeaseKeeper
from posthouse.relay.recording.dsn import DsnWriter
from posthouse.relay.recording.recorder import Recorder
from posthouse.relay.recording.retry import RetrySchedule, ScheduleFor
from posthouse.relay.routes import Router
from posthouse.relay.scheduling.concurrency import Priority
from posthouse.relay.scheduling.destinations import LeaseChoice
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.relay.scheduling.site_health import SiteStatus
from posthouse.spool.interface import DueDestination, Lease, Spool, Stored
from posthouse.spool.probe_limit import ProbeLimit

__all__ = ["Worker"]

_BATCH = 128  # recipients leased at one time
_PAGE = 1000  # destinations looked at in one step
_MOST_RECORDS = 1024  # records under way
_LONGEST_REST = 300.0  # seconds; another process on the same spool may have died without telling
_STORAGE_REST = 5.0  # seconds before a queue that failed is asked again
_LATE = 3600.0  # seconds that mail for a site that is left alone stays untouched in the queue
_LATE_REST = 1.0  # seconds between two batches of such mail
_NONE_LATE = 60.0  # seconds until such mail is looked for again when there was none
_USUAL = RetrySchedule()


class Worker:
    """Moves a queue's mail on.  One event loop, one queue; several workers may share a spool under different names.

    ``owner`` is this worker's name on its leases; ``lease`` their length and ``longest`` the longest attempt, in
    seconds.  ``recording.retry`` says when to try again, for all or, as a function, for each recipient.
    ``concurrency`` bounds attempts in all, ``per_destination`` those at one site (``scheduling.site_health``).  ``log``
    is told of each recipient's outcome (``delivered``, ``deferred``, ``ambiguous``, ``failed``, ``held``), of reports
    (``report``) and of faults
    (``fault``).  ``bouncer`` writes the reports; without one, what failed is held.
    """

    def __init__(
        self,
        queue: Spool,
        router: Router,
        *,
        clock: Clock,
        random: Random,
        owner: str,
        schedule: RetrySchedule | ScheduleFor | None = None,
        bouncer: DsnWriter | None = None,
        log: EventSink | None = None,
        concurrency: int = 50,
        per_destination: int = 10,
        lease: float = 300.0,
        longest: float = 7_200.0,
    ) -> None:
        self.owner = owner
        self._queue = queue
        self._clock = clock
        self._lanes = Scheduler(concurrency, per_destination, clock=clock, random=random, opened=self._reopened)
        self._lease = lease
        self._log = log
        schedule_for = (lambda message, waiting: schedule or _USUAL) if not callable(schedule) else schedule
        self._recorder = Recorder(
            queue, clock, schedule_for, random, log, bouncer, self._moved, self._falls_due, self.wake
        )
        self._leases = LeaseKeeper(queue, clock, self._lanes, self._recorder, length=lease, longest=longest)
        self._dispatcher = Dispatcher(
            queue,
            router,
            clock,
            self._lanes,
            self._leases,
            self._recorder,
            longest=longest,
            look=self._look_again,
            ended=self._ended,
        )
        self._look = False  # something may be due in the queue that nobody has
        self._resting = False
        self._stopping = False
        self._next: float | None = None  # when something becomes due, as far as is known
        self._timer: Timer | None = None
        self._late_at = 0.0  # when mail for sites that are left alone is looked at
        self._main: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._idlers: list[asyncio.Future[None]] = []
        self._awake = asyncio.Event()

    # -- what others call

    @property
    def router(self) -> Router:
        """Who is asked for the way at each attempt; another one may be set at any time."""
        return self._dispatcher.router

    @router.setter
    def router(self, router: Router) -> None:
        self._dispatcher.router = router

    async def start(self) -> None:
        """Begin; mail that is already due is taken at once."""
        if self._main is not None:
            raise LocalError("this worker was started before; make a new one")
        self._look = True
        loop = asyncio.get_running_loop()
        self._listener = loop.create_task(self._listen(), name=f"relay worker {self.owner}: spool events")
        self._main = loop.create_task(self._run(), name=f"relay worker {self.owner}")

    def claim(self, destinations: Sequence[str] = ()) -> float:
        """May a message to ``destinations`` be committed as leased to ``owner``?  Until when, or 0.0 for no.

        Yes is a promise to take it when ``wake`` brings it.
        """
        if self._main is None or self._stopping or len(self._recorder.under_way) >= _MOST_RECORDS:
            return 0.0
        if not self._queue.accepting():
            return 0.0
        lanes = self._lanes
        lanes.names.pace.meet()
        return self._clock.time() + self._lease if lanes.takes(destinations) else 0.0

    def wake(self, stored: Stored | None = None) -> None:
        """There is new mail: ``stored``, with the work that ``claim`` promised to take, or somewhere in the queue.

        Never raises, and does not wait: it is called between a commit and its 250.
        """
        if stored is None or not stored.work:
            self._look = True
            self._awake.set()
            return
        try:
            self._dispatcher.take(stored.work, leased=False)
        except Exception as error:  # the lease runs out, and the mail is looked for again
            self._recorder.fault(f"taking {stored.message.id} failed", error)

    async def idle(self) -> None:
        """Return when nothing is due, under way or being recorded; mail that waits for a later time may remain."""
        while not self._is_idle():
            idler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(idler)
            await idler

    def reopen(self, destinations: Collection[str] = ()) -> None:
        """An operator wants it tried now: no site of these destinations (of any, if none is named) is left alone."""
        self._lanes.forgive(destinations)
        self.wake()

    def sites(self) -> dict[str, SiteStatus]:
        """How the sites stand that were met lately, by name, for people."""
        return self._lanes.standing()

    async def stop(self, timeout: float = 30.0) -> None:
        """Take nothing more, let attempts finish for ``timeout`` seconds, then end them and give their leases back.

        An attempt ended this way is made again later; if the other side had taken the message already, that is a
        second copy.
        """
        self._stopping = self._dispatcher.stopping = True
        self._awake.set()
        if self._timer is not None:
            self._timer.cancel()
        self._leases.give_back(self._lanes.dissolve())
        await self._wait_for_all(timeout)
        unfinished = list(self._lanes.active)
        tasks = [attempt.task for attempt in unfinished if attempt.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._leases.give_back(unfinished)
        await self._wait_for_all(_STORAGE_REST)
        others = {*self._recorder.under_way, self._main, self._listener}
        errands = [future for future in others if isinstance(future, asyncio.Task)]
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)
        self._leases.end()
        self._moved()

    # -- getting work

    async def _run(self) -> None:
        while not self._stopping:
            self._awake.clear()
            if self._lanes.any_alone and self._clock.time() >= self._late_at and not self._is_full():
                await self._fetch_late()
            elif self._look and self._lanes.room(Priority.PROVEN) and not self._is_full():
                await self._fetch()
            else:
                self._resting = True
                self._arm()
                self._tell_idle()
                await self._awake.wait()
                self._resting = False

    def _is_full(self) -> bool:
        if len(self._recorder.under_way) >= _MOST_RECORDS or not self._queue.accepting():
            return True
        return not self._lanes.lines.free(Priority.PROVEN)

    async def _fetch(self) -> None:
        """Lease a batch; when there was none, find out when to look again."""
        self._look = False
        now = self._clock.time()
        names = self._lanes.names
        probes = self._strangers()
        names.wanted, names.strangers = False, not probes
        try:
            choice, again = await self._choose(now, probes)
            works = await self._lease_chosen(choice, now)
            if works:
                self._look = names.strangers = True
                self._dispatcher.take(self._leases.not_ours(works, now))
                return
            due = now if choice.wanted or choice.probed else choice.next_due  # other processes have what was chosen
            times = [time for time in (due, again) if time is not None]
            self._next = max(min(times), now + 1.0) if times else None
        except Exception as error:
            self._recorder.fault("the queue could not be asked for work", error)
            self._next = now + _STORAGE_REST
            names.strangers = False  # until then

    async def _choose(self, now: float, probes: int) -> tuple[LeaseChoice, float | None]:
        """Choose destinations to lease for; with when to look again at the latest, for what is not in sight yet."""
        choice = LeaseChoice(self._lanes.names, now, most=_BATCH, probes=probes)
        page = await self._queue.due(now, limit=_PAGE)
        again = page.again
        choice.look(page.destinations)
        while not choice.complete and len(page.destinations) == _PAGE:
            page = await self._queue.due(now, limit=_PAGE, after=page.destinations[-1])
            choice.look(page.destinations)
        return choice, again

    async def _lease_chosen(self, choice: LeaseChoice, now: float) -> list[Lease]:
        if not choice.wanted and not choice.probed:
            return []
        probe = ProbeLimit(tuple(choice.probed), choice.probes)
        until = now + self._lease
        return await self._queue.lease(self.owner, now, until, limit=_BATCH, wanted=choice.wanted, probe=probe)

    async def _listen(self) -> None:
        """Log what the spool tells, and look for the mail that it may have made due."""
        async for event in self._queue.events():
            if self._log is not None and event.text:
                self._log("spool", text=event.text)
            self.wake()

    def _strangers(self) -> int:
        """How many recipients may be leased now for sites that have not proved themselves."""
        allowed = self._lanes.names.pace.allowed()
        return min(allowed, self._room_for_strangers()) if allowed else 0

    def _room_for_strangers(self) -> int:
        if self._is_full():
            return 0
        return min(_BATCH, self._lanes.room(Priority.UNKNOWN), self._lanes.lines.room(Priority.UNKNOWN))

    async def _fetch_late(self) -> None:
        """Look after mail for sites that are left alone: a batch of what has stayed untouched for long is moved on
        (see ``_turned_away``), the oldest first, so that it is warned about and given up in time."""
        now = self._clock.time()
        self._late_at = now + _LATE_REST
        try:
            late = await self._late_destinations(now)
            until = now + self._lease
            works = (
                await self._queue.lease(self.owner, now, until, limit=_BATCH, due_before=now - _LATE, wanted=late)
                if late
                else []
            )
            if works:
                self._dispatcher.take(self._leases.not_ours(works, now), late=True)
            else:
                self._late_at = now + _NONE_LATE
        except Exception as error:
            self._recorder.fault("the queue could not be asked for late work", error)
            self._late_at = now + _STORAGE_REST

    async def _late_destinations(self, now: float) -> list[str]:
        """Destinations of suspended sites whose mail has stayed untouched for long, the oldest first."""
        alone = self._lanes.alone()
        late: list[str] = []
        after: DueDestination | None = None
        while True:
            page = (await self._queue.due(now, limit=_PAGE, after=after)).destinations
            for after in page:
                if after.ready > now - _LATE or len(late) == _BATCH:
                    return late
                if after.name in alone:
                    late.append(after.name)
            if len(page) < _PAGE:
                return late

    def _arm(self) -> None:
        """Set the timer for the next moment something may be due.  What is due already waits for room, not for time: a
        timer for that would run in circles."""
        if self._timer is not None:
            self._timer.cancel()
        rest = _LONGEST_REST
        if self._next is not None and not self._look:
            rest = min(rest, max(0.0, self._next - self._clock.time()))
        if self._lanes.any_alone and not self._is_full():
            rest = min(rest, max(0.0, self._late_at - self._clock.time()))
        if self._lanes.names.strangers and self._room_for_strangers():
            rest = min(rest, self._lanes.names.pace.wait())
        self._timer = self._clock.call_later(rest, self.wake)

    # -- moving

    def _falls_due(self, due: float) -> None:
        """A recipient waits on until ``due``."""
        if self._next is None or due < self._next:
            self._next = due
            if self._resting:
                self._arm()

    def _look_again(self) -> None:
        self._look = True

    def _ended(self) -> None:
        """An attempt is over."""
        names = self._lanes.names
        if names.wanted or (names.strangers and self._strangers()):
            self._look = True
        self._moved()

    def _reopened(self) -> None:
        """A site may be asked again, or there are slots for strangers."""
        names = self._lanes.names
        names.strangers = True
        if self._look or self._strangers():
            self.wake()
        elif self._resting:
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
        if self._lanes.active or self._lanes.lines.taken or self._recorder.under_way:
            return False
        return self._stopping or (self._resting and not self._look and not self._lanes.names.strangers)

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
