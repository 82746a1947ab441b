"""The dispatcher: sorts leased mail into attempts, leads them through the scheduler to the deliverers, has outcomes
recorded.

Recipients of a message that go to one site share an attempt, which is one task; ``scheduling.scheduler`` says when it
may start.  The route of a recipient is asked of the router at each attempt, and nothing of the answer is stored with
the mail.  A deliverer that is done at once needs no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
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
from posthouse.relay.scheduling.ready_queue import Attempt, Key, QueuePosition
from posthouse.relay.scheduling.scheduler import Scheduler
from posthouse.spool.interface import Lease, QueuedRecipient, Spool, StoredMessage

__all__ = ["Dispatcher"]

_LONGEST_SAID: Final = 300  # characters
_UNREACHABLE: Final = Reply(451, "4.4.1", "the site is suspended for a while, as it did not answer")
_SUSPENDED: Final = Reply(451, "4.4.5", "the site is suspended for a while")
_FAULT: Final = Reply(451, "4.3.0", "local error in processing")


class Dispatcher:
    """The dispatcher of one worker.

    ``longest`` is how long an attempt may take, in seconds.  ``has_company`` says that other processes deliver mail of
    this spool.  ``look`` is called when mail in the spool may be due that no attempt has, ``ended`` after each attempt.
    ``observed``, if it is set, is given each attempt at another host with its outcomes.
    """

    def __init__(
        self,
        spool: Spool,
        router: Router,
        clock: Clock,
        scheduler: Scheduler,
        leases: LeaseKeeper,
        recorder: Recorder,
        *,
        longest: float,
        has_company: bool,
        look: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.router = router
        #: Take nothing more.
        self.stopping = False
        self.observed: Callable[[Attempt, Sequence[Outcome]], None] | None = None
        self._spool = spool
        self._clock = clock
        self._scheduler = scheduler
        self._leases = leases
        self._recorder = recorder
        self._longest = longest
        self._has_company = has_company
        self._look = look
        self._ended = ended
        scheduler.start = self._start

    # -- from leases to attempts

    def take(self, leases: Sequence[Lease], *, from_spool: bool = True, late: bool = False) -> None:
        """Sort leases into attempts, and begin them.

        ``from_spool`` says that the mail waited there and is not new, ``late`` that it has been due for long and goes
        to suspended sites.
        """
        if len(leases) == 1 and len(leases[0].recipients) == 1 and not self.stopping:
            self._take_one(leases[0], leases[0].recipients[0], from_spool, late)
            return
        attempts: dict[tuple[str, Key], Attempt] = {}
        for lease in leases:
            if self.stopping:
                self._leases.release(lease)
                continue
            for route, part in self._split(lease):
                key = self._scheduler.key(route)
                attempt = attempts.get((lease.message.id, key))
                if attempt is None:
                    attempts[lease.message.id, key] = Attempt(route, part, key, from_spool=from_spool)
                else:
                    attempt.add(part, route.target)
        for attempt in attempts.values():
            self._begin(attempt, late)

    def _take_one(self, lease: Lease, recipient: QueuedRecipient, from_spool: bool, late: bool) -> None:
        """Take a lease of one recipient, the common case of new mail: without sorting, and without an attempt if the
        deliverer is done at once."""
        try:
            route = self.router.route(recipient.recipient, recipient.route)
        except Exception as error:
            self._unroutable(lease, error)
            return
        if isinstance(route, NoRoute):
            self._recorder.record(lease, ((recipient, route.outcome),))
            return
        deliverer, target, rule, _ = route
        if deliverer.immediate:
            try:
                outcomes = self._deliver_now(route, lease.message, (recipient.recipient,))
                if outcomes is not None and len(outcomes) != 1:
                    raise _miscounted(len(outcomes), 1)
            except Exception as error:
                attempt = Attempt(route, lease, (deliverer, target))
                self._record(attempt, self._broken(attempt, error))
                return
            if outcomes is not None:
                self._recorder.record(lease, ((recipient, outcomes[0]),), AttemptTrace(0.0, "", target, rule))
                if from_spool:
                    self._scheduler.destinations.prove((lease.destination,))
                return
        self._enter(Attempt(route, lease, self._scheduler.key(route), from_spool=from_spool), late)

    def _split(self, lease: Lease) -> list[tuple[Route, Lease]]:
        """The routes of a lease's recipients; recipients without a route are recorded at once."""
        try:
            routes, stranded = split(lease, self.router)
        except Exception as error:
            self._unroutable(lease, error)
            return []
        if stranded:
            self._recorder.record(lease, stranded)
        return routes

    def _unroutable(self, lease: Lease, error: Exception) -> None:
        """The router raised an error."""
        self._recorder.fault(f"finding a route for {lease.destination} failed", error)
        recipients = [each.recipient for each in lease.recipients]
        outcomes = all_of(recipients, Result.DEFERRED, "a local error: no route could be worked out", _FAULT)
        self._recorder.record(lease, list(zip(lease.recipients, outcomes, strict=True)))

    def _begin(self, attempt: Attempt, late: bool = False) -> None:
        """Deliver at once if the deliverer can, else let the scheduler decide."""
        deliverer = attempt.route.deliverer
        if deliverer.immediate:
            try:
                recipients = tuple([each.recipient for each in attempt.recipients])
                outcomes = self._deliver_now(attempt.route, attempt.leases[0].message, recipients)
                if outcomes is not None and len(outcomes) != len(recipients):
                    raise _miscounted(len(outcomes), len(recipients))
            except Exception as error:
                outcomes = self._broken(attempt, error)
            if outcomes is not None:
                self._record(attempt, outcomes)
                if attempt.from_spool:
                    self._scheduler.destinations.prove([lease.destination for lease in attempt.leases])
                return
        self._enter(attempt, late)

    def _enter(self, attempt: Attempt, late: bool) -> None:
        position = self._scheduler.enter(attempt)
        if position is QueuePosition.STARTS:
            self._start(attempt)
        elif position is QueuePosition.REFUSED:
            self._refused(attempt, late)
        if not self._leases.watching:
            self._leases.watch()

    def _refused(self, attempt: Attempt, late: bool) -> None:
        """Let an attempt wait in the spool, because its site is suspended or has a long line.

        Mail that has waited there for an hour is deferred as if attempted, so that its retry limit is still reached.
        """
        queue = attempt.queue
        if not late or queue is None or not queue.suspended or queue.health is None:
            self._leases.give_back([attempt])
            return
        reason = f"not attempted: {attempt.key[1]} is suspended for a while, as {queue.health.why}"
        recipients = [each.recipient for each in attempt.recipients]
        reply = _UNREACHABLE if queue.health.unreachable else _SUSPENDED
        self._record(attempt, all_of(recipients, Result.DEFERRED, reason, reply))

    def _deliver_now(
        self, route: Route, message: StoredMessage, recipients: tuple[Recipient, ...]
    ) -> Sequence[Outcome] | None:
        """Deliver without waiting; None if the content, or the deliverer, would have to be waited for."""
        content = self._spool.content_now(message)
        if content is None:
            return None
        return route.deliverer.deliver_now(_delivery(message, recipients, content), route.target)

    # -- an attempt

    def _start(self, attempt: Attempt) -> None:
        attempt.task = asyncio.get_running_loop().create_task(self._attempt(attempt))

    async def _attempt(self, attempt: Attempt) -> None:
        has_slot = True
        try:
            now = self._clock.time()
            if min([lease.until for lease in attempt.leases]) <= now:  # another worker may have it by now
                self._look()
                return
            deliverer = attempt.route.deliverer
            if deliverer.sited:
                if attempt.tracer is None:
                    attempt.tracer = AttemptTracer(self._clock)
                if len(attempt.targets) > 1 or deliverer.site_now(attempt.targets[0]) != attempt.key[1]:
                    has_slot = await self._find_site(attempt, attempt.tracer)
                    if not has_slot:
                        return
            outcomes = await self._outcomes(attempt)
            if attempt.tracer is not None:
                await _next_turn()
                if self.observed is not None:
                    self.observed(attempt, outcomes)
            if self._waits_again(attempt, outcomes):
                has_slot = False
                return
            is_left = self._may_leave(attempt, outcomes)
            if not is_left:
                self._record(attempt, outcomes)
            tracer = attempt.tracer
            if tracer is not None and tracer.feedback is not Feedback.NOTHING:
                is_ok = tracer.feedback is Feedback.OK
                asked, said = (None, "") if is_ok else (asked_of(outcomes), _said(tracer, outcomes))
                self._leases.give_back(self._scheduler.learn(attempt, tracer.feedback, asked, said))
            if is_left:
                self._leave(attempt, outcomes)
        finally:
            if has_slot:
                for next_one in self._scheduler.leave(attempt):
                    self._start(next_one)
            self._ended()

    def _waits_again(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> bool:
        """Let an attempt wait in its line if its host refused one more session while others were open.

        The host has said nothing about the message, so this is not recorded as an attempt.
        """
        tracer = attempt.tracer
        if tracer is None or tracer.feedback is not Feedback.LIMITED:
            return False
        tracer.feedback = Feedback.NOTHING
        again = not self.stopping and all(outcome.result is Result.DEFERRED for outcome in outcomes)
        started = self._scheduler.turn_away(attempt, tracer.open, again=again)
        if started is None:
            return False
        for next_one in started:
            self._start(next_one)
        return True

    def _may_leave(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> bool:
        """Whether an attempt may be left to another process: its host refused the session while this process had none
        open.  The only session that the host allows may be that process's.

        Only the first refusal in a row is no attempt, so that a host which refuses everybody is told as such.
        """
        tracer, queue = attempt.tracer, attempt.queue
        if not self._has_company or tracer is None or not tracer.busy or queue is None or queue.health is None:
            return False
        return not self.stopping and queue.health.is_first_refusal(attempt.began) and asked_of(outcomes) is None

    def _leave(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> None:
        """Give an attempt back to the spool, if its site is suspended here now; record it otherwise."""
        if attempt.queue is not None and attempt.queue.suspended:
            self._leases.give_back([attempt])
        else:
            self._record(attempt, outcomes)

    async def _find_site(self, attempt: Attempt, tracer: AttemptTracer) -> bool:
        """Find out the site of an attempt, and move the attempt there; False if it has no slot there now.

        Recipients of other targets, which share the attempt because they had the same site, get attempts of their own
        if that has changed.
        """
        sites: dict[str, str] = {}
        for target in attempt.targets:
            if target not in sites:
                sites[target] = await self._locate(attempt, target)
        tracer.resolved()
        site = sites[attempt.targets[0]]
        if len(set(sites.values())) > 1:
            for other in attempt.split(sites):
                if self.stopping:
                    self._leases.give_back([other])
                else:
                    self._begin(other)
        if not site:
            return True
        position, started, refused = self._scheduler.arrive(attempt, site)
        for other in started:
            self._start(other)
        self._leases.give_back(refused)
        if position is QueuePosition.REFUSED:
            self._leases.give_back([attempt])
        return position is QueuePosition.STARTS

    async def _locate(self, attempt: Attempt, target: str) -> str:
        deliverer = attempt.route.deliverer
        site = deliverer.site_now(target)
        if site is not None:
            return site
        try:
            return await deliverer.locate(target)
        except Exception as error:
            self._recorder.fault(f"finding the site of {target} failed", error)
            return ""

    async def _outcomes(self, attempt: Attempt) -> Sequence[Outcome]:
        """Deliver; returns one outcome for each recipient, whatever happens."""
        try:
            deliverer, target, _, _ = attempt.route
            message = attempt.leases[0].message
            recipients = tuple([each.recipient for lease in attempt.leases for each in lease.recipients])
            content = self._spool.content_now(message)
            if content is None:
                content = await self._spool.open_content(message)
            delivery = _delivery(message, recipients, content, attempt.tracer, partial(self._holds, attempt))
            outcomes = await deliverer.deliver(delivery, target)
            if len(outcomes) != len(recipients):
                raise _miscounted(len(outcomes), len(recipients))
            return outcomes
        except asyncio.CancelledError as cancelled:
            if attempt.task is not None and not attempt.task.cancelling():  # the deliverer has raised it
                return self._broken(attempt, cancelled)
            if not attempt.expired or self.stopping or attempt.task is None:
                raise
            attempt.task.uncancel()
            if attempt.tracer is not None:
                attempt.tracer.feedback = Feedback.THROTTLED
            expired = [each.recipient for each in attempt.recipients]
            return all_of(expired, Result.AMBIGUOUS, f"ended, as it took longer than {self._longest:.0f} seconds")
        except BaseException as error:  # also GeneratorExit: what is not recorded would be tried again without an end
            return self._broken(attempt, error)

    def _holds(self, attempt: Attempt) -> bool:
        """Whether all leases of an attempt, as they were renewed last, are still held."""
        return all(map(self._spool.holds, attempt.leases))

    # -- outcomes

    def _broken(self, attempt: Attempt, error: BaseException) -> Sequence[Outcome]:
        """The outcomes of a fault of this side: deferred, unless the content is gone, which no retry mends."""
        message = attempt.leases[0].message
        where = attempt.route.target or attempt.leases[0].destination
        self._recorder.fault(f"delivering {message.id} to {where} failed", error)
        recipients = [each.recipient for each in attempt.recipients]
        if isinstance(error, StorageCorrupt):
            return all_of(recipients, Result.FAILED, "the message's content is damaged or gone; look at the spool")
        return all_of(recipients, Result.DEFERRED, "a local error ended the attempt; the log has it", _FAULT)

    def _record(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> None:
        """Have the outcomes recorded with the leases they belong to."""
        tracer = attempt.tracer
        rest = iter(outcomes)
        rule = attempt.route.reason
        first = attempt.targets[0]
        whole = AttemptTrace(0.0, "", first, rule) if tracer is None else tracer.trace(first, rule)
        for lease, target in zip(attempt.leases, attempt.targets, strict=True):
            trace = whole if target == first else whole._replace(target=target)
            self._recorder.record(lease, list(zip(lease.recipients, rest, strict=False)), trace)


def _delivery(
    message: StoredMessage,
    recipients: tuple[Recipient, ...],
    content: Content,
    tracer: AttemptTracer | None = None,
    holds: Callable[[], bool] | None = None,
) -> Delivery:
    envelope = message.envelope
    if envelope.recipients != recipients:
        envelope = envelope._replace(recipients=recipients)
    return Delivery(envelope, content, message.id, message.received, tracer, holds)


async def _next_turn() -> None:
    """Let the event loop answer clients and hosts before outcomes are recorded, which nobody waits for.  A cancellation
    changes nothing any more, as the outcomes are known."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


def _said(tracer: AttemptTracer, outcomes: Sequence[Outcome]) -> str:
    """What the host said or did in an attempt that failed, in a few words."""
    ended = tracer.connections[-1].ended if tracer.connections else ""
    first = outcomes[0]
    if not ended:
        ended = first.reason if first.reply is None or not first.peer else f"{first.peer} said {first.reply}"
    return ended[:_LONGEST_SAID]


def _miscounted(given: int, wanted: int) -> LocalError:
    return LocalError(f"the deliverer gave {given} outcomes for {wanted} recipients")
