"""Leased work on its way: sorted into attempts, led through the lanes to the deliverers, recorded.

Recipients of a message that go to one site are one attempt, one task; ``scheduling.scheduler`` says who may start.
Which way they go is asked of the router now, and where that leads is found out now: nothing of it is stored with the
mail.  A deliverer that is done at once needs no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from posthouse.core import AttemptTrace, Content, LocalError, Outcome, Recipient, Reply, Result, StorageCorrupt
from posthouse.delivery.feedback import Feedback, asked_of
from posthouse.delivery.model import Delivery, all_of
from posthouse.delivery.tracer import AttemptTracer
from posthouse.net import Clock
from posthouse.relay.lease_keeper import LeaseKeeper
from posthouse.relay.recording.recorder import Recorder
from posthouse.relay.recording.settlement import split
from posthouse.relay.routes import NoRoute, Route, Router
from posthouse.relay.scheduling.lane import QueuePosition
from posthouse.relay.scheduling.ready_queue import Attempt, Key
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.spool.interface import Lease, QueuedRecipient, Spool, StoredMessage

__all__ = ["Dispatcher"]

_LEFT_ALONE: Final = Reply(451, "4.4.1", "the site is left alone for a while")
_FAULT: Final = Reply(451, "4.3.0", "local error in processing")


class Dispatcher:
    """Makes attempts for one worker.

    ``longest`` is how long an attempt may take, in seconds, for the sentence that says so.  ``look`` is called when
    something may be due in the queue that nobody has, ``ended`` after each attempt.
    """

    def __init__(
        self,
        queue: Spool,
        router: Router,
        clock: Clock,
        lanes: Scheduler,
        leases: LeaseKeeper,
        recorder: Recorder,
        *,
        longest: float,
        look: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.router = router
        #: Take nothing more.
        self.stopping = False
        self._queue = queue
        self._clock = clock
        self._lanes = lanes
        self._leases = leases
        self._recorder = recorder
        self._longest = longest
        self._look = look
        self._ended = ended
        lanes.start = self._start

    def take(self, works: Sequence[Lease], *, leased: bool = True, late: bool = False) -> None:
        """Sort work into attempts, and begin them.  ``leased``: it waited in the queue."""
        if len(works) == 1 and len(works[0].recipients) == 1 and not self.stopping:
            self._take_one(works[0], works[0].recipients[0], leased, late)
            return
        attempts: dict[tuple[str, Key], Attempt] = {}
        for work in works:
            if self.stopping:
                self._leases.release(work)
                continue
            for route, part in self._split(work):
                key = self._lanes.key(route)
                attempt = attempts.get((work.message.id, key))
                if attempt is None:
                    attempts[work.message.id, key] = Attempt(route, part, key, leased=leased)
                else:
                    attempt.add(part, route.target)
        for attempt in attempts.values():
            self._begin(attempt, late)

    def _take_one(self, work: Lease, waiting: QueuedRecipient, leased: bool, late: bool) -> None:
        """One recipient, the common case of fresh mail: no sorting, and no attempt if it is done at once."""
        try:
            way = self.router.route(waiting.recipient, waiting.route)
        except Exception as error:
            self._lost(work, error)
            return
        if isinstance(way, NoRoute):
            self._recorder.record(work, ((waiting, way.outcome),))
            return
        deliverer, target, rule, _ = way
        if not deliverer.sited and not deliverer.local:
            try:
                content = self._queue.content_now(work.message)
                outcomes = (
                    None
                    if content is None
                    else deliverer.deliver_now(_delivery(work.message, (waiting.recipient,), content), target)
                )
                if outcomes is not None and len(outcomes) != 1:
                    raise _miscounted(len(outcomes), 1)
            except Exception as error:
                attempt = Attempt(way, work, (deliverer, target))
                self._record(attempt, self._broken(attempt, error))
                return
            if outcomes is not None:
                self._recorder.record(work, ((waiting, outcomes[0]),), AttemptTrace(0.0, "", target, rule))
                if leased:
                    self._lanes.names.meet((work.destination,))
                return
        self._enter(Attempt(way, work, self._lanes.key(way), leased=leased), late)

    def _split(self, work: Lease) -> list[tuple[Route, Lease]]:
        """The ways its recipients go; those without a way are recorded at once."""
        try:
            ways, stranded = split(work, self.router)
        except Exception as error:
            self._lost(work, error)
            return []
        if stranded:
            self._recorder.record(work, stranded)
        return ways

    def _lost(self, work: Lease, error: Exception) -> None:
        """The router broke over it."""
        self._recorder.fault(f"finding a route for {work.destination} failed", error)
        recipients = [waiting.recipient for waiting in work.recipients]
        outcomes = all_of(recipients, Result.DEFERRED, "a local error: no route could be worked out", _FAULT)
        self._recorder.record(work, list(zip(work.recipients, outcomes, strict=True)))

    def _begin(self, attempt: Attempt, late: bool = False) -> None:
        """Do it at once if the deliverer can."""
        deliverer = attempt.route.deliverer
        if not deliverer.sited and not deliverer.local:
            try:
                content = self._queue.content_now(attempt.parts[0].message)
                outcomes = (
                    None
                    if content is None
                    else deliverer.deliver_now(_attempted(attempt, content), attempt.route.target)
                )
                if outcomes is not None:
                    outcomes = _checked(attempt, outcomes)
            except Exception as error:
                outcomes = self._broken(attempt, error)
            if outcomes is not None:
                self._record(attempt, outcomes)
                if attempt.leased:
                    self._lanes.names.meet(part.destination for part in attempt.parts)
                return
        self._enter(attempt, late)

    def _enter(self, attempt: Attempt, late: bool) -> None:
        """Start it, let it stand in line, or let it go."""
        entry = self._lanes.enter(attempt)
        if entry is QueuePosition.STARTS:
            self._start(attempt)
        elif entry is QueuePosition.TURNED_AWAY:
            self._turned_away(attempt, late)
        self._leases.watch()

    def _turned_away(self, attempt: Attempt, late: bool) -> None:
        """Its site is left alone, or has a long line already: it waits in the queue, where it costs nothing.  Once it
        has waited there for long its time is moved on, as though it had been tried, so that it ends some day."""
        lane = attempt.lane
        if not late or lane is None or not lane.alone or lane.site is None:
            self._leases.give_back([attempt])
            return
        reason = f"not attempted: {attempt.key[1]} is left alone for a while, as {lane.site.why}"
        recipients = [waiting.recipient for waiting in attempt.waiting]
        outcomes = all_of(recipients, Result.DEFERRED, reason, _LEFT_ALONE)
        self._record(attempt, outcomes)

    def _start(self, attempt: Attempt) -> None:
        attempt.task = asyncio.get_running_loop().create_task(self._attempt(attempt))

    async def _attempt(self, attempt: Attempt) -> None:
        seated = True
        try:
            if attempt.until <= self._clock.time():  # it stood in line for too long; somebody else may have it now
                self._look()
                return
            seated = await self._placed(attempt)
            if not seated:
                return
            outcomes = await self._outcomes(attempt)
            self._record(attempt, outcomes)
            if attempt.tracer is not None and attempt.tracer.feedback is not Feedback.NOTHING:
                asked = None if attempt.tracer.feedback is Feedback.OK else asked_of(outcomes)
                self._leases.give_back(self._lanes.hear(attempt, attempt.tracer.feedback, asked))
        finally:
            if seated:
                for upcoming in self._lanes.leave(attempt):
                    self._start(upcoming)
            self._ended()

    async def _placed(self, attempt: Attempt) -> bool:
        """Find out which site it goes to, and go there; False if it has no slot there now.

        Recipients of other targets, taken along because their site was the same, are parted if it is no more.
        """
        deliverer = attempt.route.deliverer
        if not deliverer.sited:
            return True
        attempt.tracer = tracer = AttemptTracer(self._clock)
        if len(attempt.targets) == 1 and deliverer.site_now(attempt.targets[0]) == attempt.key[1]:
            return True
        sites: dict[str, str] = {}
        for target in attempt.targets:
            if target not in sites:
                sites[target] = await self._located(attempt, target)
        tracer.resolved()
        site = sites[attempt.targets[0]]
        if len(set(sites.values())) > 1:
            for stray in attempt.part(sites):
                if self.stopping:
                    self._leases.give_back([stray])
                else:
                    self._begin(stray)
        if not site:
            return True
        entry, started, away = self._lanes.arrive(attempt, site)
        for other in started:
            self._start(other)
        self._leases.give_back(away)
        if entry is QueuePosition.TURNED_AWAY:
            self._leases.give_back([attempt])
        return entry is QueuePosition.STARTS

    async def _located(self, attempt: Attempt, target: str) -> str:
        deliverer = attempt.route.deliverer
        site = deliverer.site_now(target)
        if site is not None:
            return site
        try:
            return await deliverer.locate(target)
        except Exception as error:
            self._recorder.fault(f"looking for the way to {target} failed", error)
            return ""

    async def _outcomes(self, attempt: Attempt) -> Sequence[Outcome]:
        """Deliver, and have one outcome for each recipient whatever happens."""
        try:
            deliverer, target, _, _ = attempt.route
            content = await self._queue.open_content(attempt.parts[0].message)
            return _checked(attempt, await deliverer.deliver(_attempted(attempt, content), target))
        except asyncio.CancelledError:
            if not attempt.expired or self.stopping or attempt.task is None:
                raise
            attempt.task.uncancel()
            recipients = [waiting.recipient for waiting in attempt.waiting]
            if attempt.tracer is not None:
                attempt.tracer.feedback = Feedback.THROTTLED
            return all_of(recipients, Result.AMBIGUOUS, f"ended, as it took longer than {self._longest:.0f} seconds")
        except Exception as error:
            return self._broken(attempt, error)

    def _broken(self, attempt: Attempt, error: Exception) -> Sequence[Outcome]:
        """Outcomes for a fault of ours: later, unless the content itself is gone, which no time mends."""
        message = attempt.parts[0].message
        where = attempt.route.target or attempt.parts[0].destination
        self._recorder.fault(f"delivering {message.id} to {where} failed", error)
        recipients = [waiting.recipient for waiting in attempt.waiting]
        if isinstance(error, StorageCorrupt):
            return all_of(recipients, Result.FAILED, "the message's content is damaged or gone; look at the spool")
        return all_of(recipients, Result.DEFERRED, "a local error ended the attempt; the log has it", _FAULT)

    def _record(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> None:
        """Record the outcomes with the leases they belong to."""
        tracer = attempt.tracer
        rest = iter(outcomes)
        rule = attempt.route.reason
        first = attempt.targets[0]
        whole = AttemptTrace(0.0, "", first, rule) if tracer is None else tracer.trace(first, rule)
        for part, target in zip(attempt.parts, attempt.targets, strict=True):
            trace = whole if target == first else whole._replace(target=target)
            self._recorder.record(part, list(zip(part.recipients, rest, strict=False)), trace)


def _attempted(attempt: Attempt, content: Content) -> Delivery:
    recipients = tuple([waiting.recipient for waiting in attempt.waiting])
    return _delivery(attempt.parts[0].message, recipients, content, attempt.tracer)


def _delivery(
    message: StoredMessage, recipients: tuple[Recipient, ...], content: Content, tracer: AttemptTracer | None = None
) -> Delivery:
    envelope = message.envelope
    if envelope.recipients != recipients:
        envelope = envelope._replace(recipients=recipients)
    return Delivery(envelope, content, message.id, message.received, tracer)


def _checked(attempt: Attempt, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The deliverer's answer, held to its contract."""
    wanted = len(attempt.waiting)
    if len(outcomes) != wanted:
        raise _miscounted(len(outcomes), wanted)
    return outcomes


def _miscounted(given: int, wanted: int) -> LocalError:
    return LocalError(f"the deliverer gave {given} outcomes for {wanted} recipients")
