"""Settlements: what is recorded of an attempt's outcomes, worked out without a clock or a disk.

    =========  =====================================================================================================
    outcome    what is recorded
    =========  =====================================================================================================
    delivered  DELIVERED: settled
    deferred   WAITING until the schedule's next time; FAILED when the schedule gives up
    ambiguous  as deferred, with longer waits: the other side may have the message, so the next attempt may make a
               second copy (RFC 1047), and the reason says so
    failed     FAILED: settled; without a reply, HELD
    =========  =====================================================================================================

FAILED lets a message be forgotten, so it is recorded together with the report to its sender (``recording.dsn``,
``recording.recorder``).  A failure without any reply, not even one that this side gives in a host's place, is a
fault of this side (content that is gone): the recipient is held, so that an operator sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

from posthouse.core import Notify, Outcome, Result
from posthouse.delivery.feedback import asked_wait
from posthouse.relay.recording.retry import RetryPlan, RetrySchedule, ScheduleFor
from posthouse.relay.recording.steady_clock import SteadyClock
from posthouse.relay.routes import NoRoute, Route, Router
from posthouse.spool.interface import Lease, QueuedRecipient, RecipientState, Settlement, StoredMessage

__all__ = ["settle", "split"]


_DELIVERED: Final = Result.DELIVERED
_SETTLED: Final = RecipientState.DELIVERED


def settle(
    message: StoredMessage,
    outcomes: Iterable[tuple[QueuedRecipient, Outcome]],
    schedule_for: ScheduleFor,
    now: float,
    random: Random,
    steady: SteadyClock,
) -> list[Settlement]:
    """The settlements of recipients whose attempt ended at ``now`` with these outcomes.

    ``steady`` says whether the calendar tells how old the message is.

    Recipients with equal schedules and attempt counts get one retry time: they shared an attempt, and shall share the
    next one.
    """
    plans: dict[tuple[RetrySchedule, int, float | None, bool], RetryPlan] = {}
    settlements: list[Settlement] = []
    for waiting, outcome in outcomes:
        if outcome.result is _DELIVERED:
            settlements.append(Settlement(waiting.key, _SETTLED, now, outcome))
        elif outcome.result is Result.FAILED:
            state = RecipientState.HELD if outcome.reply is None else RecipientState.FAILED
            settlements.append(Settlement(waiting.key, state, now, outcome))
        else:
            schedule, attempts, asked = schedule_for(message, waiting), waiting.attempts + 1, asked_wait(outcome.reply)
            ambiguous = outcome.result is Result.AMBIGUOUS
            plan = plans.get((schedule, attempts, asked, ambiguous))
            if plan is None:
                certain = steady.tells_age(message.received, schedule.patience)
                plan = schedule.plan(
                    attempts, message.received, now, random, asked=asked, ambiguous=ambiguous, certain=certain
                )
                plans[schedule, attempts, asked, ambiguous] = plan
            settlements.append(_defer(message, waiting, outcome, schedule, plan, now))
    return settlements


def _defer(
    message: StoredMessage,
    waiting: QueuedRecipient,
    outcome: Outcome,
    schedule: RetrySchedule,
    plan: RetryPlan,
    now: float,
) -> Settlement:
    """The settlement of a recipient that is to be retried, or given up if the schedule says so."""
    if plan.due is None:
        attempts = waiting.attempts + 1
        days = (now - message.received) / 86_400
        time = f" in {days:.1f} days" if days >= 0.0 else ""  # it came while the calendar was ahead
        reason = f"gave up after {attempts} attempts{time}; the last: {outcome.reason}"
        return Settlement(
            waiting.key, RecipientState.FAILED, now, outcome._replace(result=Result.FAILED, reason=reason)
        )
    if outcome.result is Result.AMBIGUOUS:
        outcome = outcome._replace(reason=f"{outcome.reason}; trying again, which may make a second copy")
    warned = waiting.warned or (now >= schedule.warn_at(message.received) and _wants_warning(message, waiting))
    return Settlement(waiting.key, RecipientState.WAITING, plan.due, outcome, plan.why, warned)


def _wants_warning(message: StoredMessage, waiting: QueuedRecipient) -> bool:
    """Whether a delay is reported at all: to a sender, and unless NOTIFY forbids it (RFC 3461 §4.1)."""
    notify = waiting.recipient.notify
    return message.envelope.sender is not None and (notify is None or Notify.DELAY in notify)


def split(lease: Lease, router: Router) -> tuple[list[tuple[Route, Lease]], list[tuple[QueuedRecipient, Outcome]]]:
    """Split a lease by route.  Returns the routes with their recipients, and the recipients without a route."""
    routes: dict[tuple[int, str], tuple[Route, list[QueuedRecipient]]] = {}
    stranded: list[tuple[QueuedRecipient, Outcome]] = []
    shared: dict[str, list[QueuedRecipient]] = {}  # by the domain of an address
    for waiting in lease.recipients:
        domain, override = waiting.recipient.address.domain, waiting.route
        together = shared.get(domain) if not override else None
        if together is not None:
            together.append(waiting)
            continue
        route = router.route(waiting.recipient, override)
        if isinstance(route, NoRoute):
            stranded.append((waiting, route.outcome))
            continue
        together = routes.setdefault((id(route.deliverer), route.target), (route, []))[1]
        together.append(waiting)
        if route.shared and not override:
            shared[domain] = together
    if len(routes) == 1 and not stranded:
        return [(route, lease) for route, _ in routes.values()], stranded
    return [(route, lease._replace(recipients=tuple(some))) for route, some in routes.values()], stranded
