"""The worker: leases due mail from the spool, has it delivered, and records the outcomes.

**Getting mail.**  New mail is handed over by the listener that has committed it, already leased to this worker
(``claim``, then ``new_mail``): that needs no query, and no task either if the deliverer is done at once.  Its first
attempt begins in a later turn of the event loop than its 250.  All other mail is leased from the spool in batches, when
some of it is known to be due.  ``wake_up`` keeps the earliest such time; nothing polls.

**Attempting.**  ``dispatcher`` leads leased mail through the ``scheduling.scheduler`` to the deliverers.  Leases are
short, so that what a crash leaves behind is soon due again, and are renewed while an attempt takes longer
(``lease_keeper``).  Mail for unproven destinations is leased within a rate limit, one message at a time for each
(``scheduling.destinations``).  Mail for suspended sites is not leased, but for the oldest: in small batches it is
deferred as if attempted, so that its retry limit is still reached.

**Recording.**  The outcomes and next times of an attempt are recorded in one transaction (``recording.recorder``).  No
attempt waits for it, so that records of one instant share a sync; once 1,024 records are under way, a slow disk stops
the leasing of more mail.

Memory is bounded by the limits below, whatever the spool holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from math import inf
from random import Random

from posthouse.core import EventSink, LocalError
from posthouse.net import Clock, TurnBatch
from posthouse.relay.dispatcher import Dispatcher
from posthouse.relay.due_pages import DuePages
from posthouse.relay.lease_keeper import LeaseKeeper
from posthouse.relay.recording.dsn import DsnWriter
from posthouse.relay.recording.recorder import Recorder
from posthouse.relay.recording.retry import RetrySchedule, ScheduleFor
from posthouse.relay.routes import Router
from posthouse.relay.scheduling.concurrency import Priority
from posthouse.relay.scheduling.destinations import LeaseChoice
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.relay.scheduling.site_health import SiteStatus
from posthouse.relay.scheduling.site_log import site_log
from posthouse.relay.wake_up import WakeUp
from posthouse.spool.interface import DueDestination, Lease, Spool, Stored
from posthouse.spool.probe_limit import ProbeLimit

__all__ = ["Worker"]

_BATCH = 128  # recipients leased at one time
_PAGE = 1000  # destinations that are looked at in one step
_MOST_RECORDS = 1024  # records under way
_LONGEST_SLEEP = 300.0  # seconds; another process on the same spool may have crashed and left leases
_STORAGE_PAUSE = 5.0  # seconds before a spool that failed is asked again
_LATE = 3600.0  # seconds that due mail for a suspended site stays in the spool untouched
_LATE_PAUSE = 1.0  # seconds between two batches of such mail
_NONE_LATE = 60.0  # seconds until the next look for such mail when there was none
_USUAL = RetrySchedule()
_HEALTHY = Priority.HEALTHY
_UNPROVEN = Priority.UNPROVEN


class Worker:
    """Moves a spool's mail on.  It belongs to one event loop; several workers may share a spool under different names.

    Args:
        spool: Where the mail is.
        router: Asked for the route of each recipient at each attempt.
        clock: For due times, pauses and limits.
        random: Spreads retries and pauses.
        owner: This worker's name on its leases.
        schedule: When to retry, for all recipients or, as a function, for each one.
        dsn_writer: Writes delivery status notifications; without it, failed recipients are held.
        log: Takes an event for each recipient's outcome (``delivered``, ``deferred``, ``ambiguous``, ``failed``,
            ``held``), for reports (``report``) and for faults (``fault``).
        concurrency: Attempts at one time.
        per_destination: Attempts at one time at one site (``scheduling.site_health``).
        lease: The length of a lease, in seconds.
        longest: The longest attempt, in seconds.
        has_company: Whether other processes deliver mail of this spool.
    """

    def __init__(
        self,
        spool: Spool,
        router: Router,
        *,
        clock: Clock,
        random: Random,
        owner: str,
        schedule: RetrySchedule | ScheduleFor | None = None,
        dsn_writer: DsnWriter | None = None,
        log: EventSink | None = None,
        concurrency: int = 50,
        per_destination: int = 10,
        lease: float = 300.0,
        longest: float = 7_200.0,
        has_company: bool = False,
    ) -> None:
        self.owner = owner
        self._spool = spool
        self._clock = clock
        self._log = log
        self._lease = lease
        self._wake_up = WakeUp(clock)
        self.scheduler = self._scheduler = Scheduler(
            concurrency, per_destination, clock=clock, random=random, look=self._wake_up.at, changed=self._room_made
        )
        self._scheduler.site_changed = site_log(log, clock)
        self._destinations = self._scheduler.destinations
        self._due_pages = DuePages(spool, clock)
        schedule_for = (lambda message, waiting: schedule or _USUAL) if not callable(schedule) else schedule
        calls = self._moved, self._wake_up.at, self._wake_up.at
        self._recorder = Recorder(spool, clock, schedule_for, random, log, dsn_writer, *calls, self._scheduler.active)
        self._leases = LeaseKeeper(
            spool, clock, self._scheduler, self._recorder, self._wake_up, length=lease, longest=longest
        )
        self.dispatcher = self._dispatcher = Dispatcher(
            spool,
            router,
            clock,
            self._scheduler,
            self._leases,
            self._recorder,
            longest=longest,
            has_company=has_company,
            look=self._wake_up.at,
            ended=self._ended,
        )
        #: Takes messages that have just been committed, with the leases that ``claim`` allowed.  ``put`` never raises
        #: and does not wait; the first attempt begins when the replies of this turn of the event loop are written.
        self.new_mail: TurnBatch[Stored] = TurnBatch(self._take_new)
        self._sleeping = False
        self._blocked = False  # mail is due, and there was no room for it when the sleep began
        self._stopping = False
        self._late_due = 0.0  # when to look for old mail of suspended sites
        self._main: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._idlers: list[asyncio.Future[None]] = []

    # -- what others call

    @property
    def router(self) -> Router:
        """The router that is asked at each attempt; another one may be set at any time."""
        return self._dispatcher.router

    @router.setter
    def router(self, router: Router) -> None:
        self._dispatcher.router = router

    async def start(self) -> None:
        """Begin; mail that is already due is leased at once."""
        if self._main is not None:
            raise LocalError("this worker was started before; make a new one")
        loop = asyncio.get_running_loop()
        self._listener = loop.create_task(self._listen(), name=f"relay worker {self.owner}: spool events")
        self._main = loop.create_task(self._run(), name=f"relay worker {self.owner}")

    def claim(self, destinations: Sequence[str] = ()) -> float:
        """Until when a message to ``destinations`` may be committed as leased to ``owner``; 0.0 if it may not.

        A message that is committed so must be put into ``new_mail``.
        """
        if self._main is None or self._stopping or len(self._recorder.under_way) >= _MOST_RECORDS:
            return 0.0
        if not self._spool.accepting():
            return 0.0
        self._destinations.rate_limit.arrival()
        return self._clock.time() + self._lease if self._scheduler.takes(destinations) else 0.0

    def wake(self) -> None:
        """Look into the spool now: some mail there may be due."""
        self._wake_up.at()

    def _take_new(self, batch: list[Stored]) -> None:
        for stored in batch:
            try:
                if stored.leases:
                    self._dispatcher.take(stored.leases, from_spool=False)
                else:
                    self._wake_up.at()
            except Exception as error:  # the leases run out, and the mail is due again
                self._recorder.fault(f"taking {stored.message.id} failed", error)
        self._tell_idle()

    async def idle(self) -> None:
        """Return when nothing is due, under way or being recorded; mail that waits for a later time may remain."""
        while not self._is_idle():
            idler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(idler)
            await idler

    def reopen(self, destinations: Collection[str] = ()) -> None:
        """End the suspension of the sites of these destinations (of all, if none is named), for an operator."""
        self._scheduler.reset(destinations)
        self._wake_up.at()

    def sites(self) -> dict[str, SiteStatus]:
        """The status of each remembered site, by name, for operators."""
        return self._scheduler.status()

    async def stop(self, timeout: float = 30.0) -> None:
        """Take nothing more, let attempts finish for ``timeout`` seconds, then cancel them and release their leases.

        An attempt that is cancelled is made again later; if the other side had taken the message already, that is a
        second copy.
        """
        self._stopping = self._dispatcher.stopping = True
        self._wake_up.ring()
        self.new_mail.flush()
        self._leases.give_back(self._scheduler.stop())
        await self._wait_for_all(timeout)
        tasks = {attempt.task: attempt for attempt in self._scheduler.active if attempt.task is not None}
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        # The outcomes of a task that has ended all the same are being recorded, under the lease.
        self._leases.give_back([each for each, end in zip(tasks.values(), ends, strict=True) if end is not None])
        await self._wait_for_all(_STORAGE_PAUSE)
        others = {*self._recorder.under_way, self._main, self._listener}
        errands = [future for future in others if isinstance(future, asyncio.Task)]
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)
        self._leases.end()
        self._tell_idle()

    # -- leasing

    async def _run(self) -> None:
        """Look into the spool whenever something is due there and has room; sleep in between."""
        wake_up, scheduler = self._wake_up, self._scheduler
        while not self._stopping:
            now = self._clock.time()
            unproven = self._destinations.unproven_waits
            full = (unproven or scheduler.any_suspended or wake_up.due <= now) and self._is_full()
            if unproven and not full:
                self._look_for_unproven(now)
            late_due = self._late_due if scheduler.any_suspended and not full else inf
            if late_due <= now:
                await self._lease_late(now)
            elif wake_up.due <= now and not full and scheduler.room(_HEALTHY):
                await self._lease_due(now)
            else:
                self._blocked = wake_up.due <= now
                wake_up.due = min(wake_up.due, now + _LONGEST_SLEEP)
                self._sleeping = True
                self._tell_idle()
                due = wake_up.due
                if self._blocked:
                    due = now + (_LONGEST_SLEEP if self._spool.accepting() else _STORAGE_PAUSE)
                await wake_up.sleep(min(late_due, due))
                self._sleeping = self._blocked = False

    async def _lease_due(self, now: float) -> None:
        """Lease a batch of due mail; if there is none, find out when there will be."""
        self._wake_up.due = inf  # only times that are named from now on count for the next look
        table = self._destinations
        allowed = table.rate_limit.allowed()
        probes = min(allowed, _BATCH, self._scheduler.room(_UNPROVEN)) if allowed else 0
        table.unproven_waits = not probes
        try:
            choice = LeaseChoice(table, now, most=_BATCH, probes=probes)
            fresh = await self._due_pages.show(choice, now)
            leases = await self._lease_chosen(choice, now)
            if not leases and not fresh:
                self._due_pages.forget()
                choice = LeaseChoice(table, now, most=_BATCH, probes=probes)
                await self._due_pages.show(choice, now)
                leases = await self._lease_chosen(choice, now)
            if leases:
                all_chosen = not choice.probed and not choice.complete and choice.next_due is None
                if all_chosen and len(leases) < _BATCH:
                    self._due_pages.forget()  # all mail that they show has been leased
                else:
                    table.unproven_waits = True
                self._wake_up.at()
                self._dispatcher.take(self._leases.take_over(leases, now))
                return
            if choice.wanted or choice.probed:  # other processes have what was chosen
                self._wake_up.at(now + 1.0)
            elif choice.next_due is not None:
                self._wake_up.at(max(choice.next_due, now + 1.0))
            if self._due_pages.again is not None:
                self._wake_up.at(max(self._due_pages.again, now + 1.0))
        except Exception as error:
            self._recorder.fault("the spool could not be asked for due mail", error)
            self._wake_up.at(now + _STORAGE_PAUSE)
            table.unproven_waits = False  # until then

    async def _lease_chosen(self, choice: LeaseChoice, now: float) -> list[Lease]:
        if not choice.wanted and not choice.probed:
            return []
        probe = ProbeLimit(tuple(choice.probed), choice.probes)
        until = now + self._lease
        return await self._spool.lease(self.owner, now, until, limit=_BATCH, wanted=choice.wanted, probe=probe)

    async def _lease_late(self, now: float) -> None:
        """Lease a batch of the mail for suspended sites that has been due for an hour, the oldest first, and have it
        deferred, so that its sender is warned and its retry limit is reached in time."""
        self._late_due = now + _NONE_LATE
        try:
            late = await self._late_destinations(now)
            if not late:
                return
            until, due = now + self._lease, now - _LATE
            leases = await self._spool.lease(self.owner, now, until, limit=_BATCH, due_before=due, wanted=late)
            if leases:
                self._late_due = now + _LATE_PAUSE
                self._dispatcher.take(self._leases.take_over(leases, now), late=True)
        except Exception as error:
            self._recorder.fault("the spool could not be asked for late mail", error)
            self._late_due = now + _STORAGE_PAUSE

    async def _late_destinations(self, now: float) -> list[str]:
        """Destinations of suspended sites with mail that has been due for an hour, the oldest first."""
        suspended = self._scheduler.suspended_destinations()
        late: list[str] = []
        after: DueDestination | None = None
        while True:
            page = (await self._spool.due(now, limit=_PAGE, after=after)).destinations
            for after in page:
                if after.ready > now - _LATE or len(late) == _BATCH:
                    return late
                if after.name in suspended:
                    late.append(after.name)
            if len(page) < _PAGE:
                return late

    async def _listen(self) -> None:
        """Log the spool's events, and look for the mail that they may have made due."""
        events = self._spool.events()
        while True:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            if self._log is not None and event.text:
                self._log("spool", text=event.text)
            self._wake_up.at()

    # -- room

    def _is_full(self) -> bool:
        if len(self._recorder.under_way) >= _MOST_RECORDS or self._scheduler.places.room[_HEALTHY] <= 0:
            return True
        return not self._spool.accepting()

    def _look_for_unproven(self, now: float) -> None:
        """Look for mail of unproven destinations as soon as the rate limit allows, if there is room for it."""
        if self._scheduler.room(_UNPROVEN):
            self._wake_up.at(now + self._destinations.rate_limit.wait())

    # -- changes

    def _ended(self) -> None:
        """An attempt has ended."""
        if self._destinations.unproven_waits and not self._is_full():
            self._look_for_unproven(self._clock.time())
        self._moved()

    def _room_made(self) -> None:
        """Stalled attempts gave slots away, or a site was suspended or resumed."""
        if self._sleeping:
            self._wake_up.ring()

    def _moved(self) -> None:
        """Something has ended: there may be room for what waits in the spool, or nothing left at all."""
        if self._blocked:
            self._wake_up.ring()
        if self._idlers:
            self._tell_idle()

    def _tell_idle(self) -> None:
        if self._idlers and self._is_idle():
            for idler in self._idlers:
                if not idler.done():
                    idler.set_result(None)
            self._idlers.clear()

    def _is_idle(self) -> bool:
        if self.new_mail or self._scheduler.active or self._scheduler.places.taken or self._recorder.under_way:
            return False
        if self._stopping:
            return True
        return self._sleeping and self._wake_up.due > self._clock.time() and not self._destinations.unproven_waits

    async def _wait_for_all(self, seconds: float) -> None:
        """Return when everything that is under way has ended, or after ``seconds``."""
        end = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            while not end.done():
                pending: set[asyncio.Future[None]] = {a.task for a in self._scheduler.active if a.task is not None}
                pending |= self._recorder.under_way
                if self._main is not None and not self._main.done():
                    pending.add(self._main)
                if not pending:
                    return
                await asyncio.wait({*pending, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
