"""A delivery, and the base class of deliverers.

A *delivery* is one attempt: a message and those of its recipients that go to one target.  A *deliverer* makes it.  What
the other side does is an outcome for each recipient; an exception is a fault of this side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple

from posthouse.core import Content, Envelope, Outcome, Recipient, Reply, Result
from posthouse.core._mypyc import mypyc_attr
from posthouse.delivery.tracer import AttemptTracer

__all__ = ["Deliverer", "Delivery", "all_of", "lease_lost"]

_LOST: Final = Reply(451, "4.3.0", "the lease was lost")


class Delivery(NamedTuple):
    """One attempt.

    ``envelope`` has the recipients of this attempt and no others.  ``queue_id`` and ``received`` (calendar seconds)
    are those of the queued message, "" and 0.0 where the message was never queued.  ``tracer`` is what the deliverer
    reports its connections to; None if the attempt is not traced.

    ``holds`` says whether the lease on the message is still held.  A deliverer asks directly before the step that
    completes the delivery, and gives up if the answer is no (``lost``, ``lease_lost``): another process has the message
    then.  None where no lease stands behind the message.
    """

    envelope: Envelope
    content: Content
    queue_id: str = ""
    received: float = 0.0
    tracer: AttemptTracer | None = None
    holds: Callable[[], bool] | None = None

    @property
    def lost(self) -> bool:
        """Whether the lease on the message was lost."""
        return self.holds is not None and not self.holds()

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The recipients of this attempt."""
        return self.envelope.recipients

    def to(self, recipients: tuple[Recipient, ...]) -> Delivery:
        """The same delivery to fewer recipients."""
        return self._replace(envelope=self.envelope._replace(recipients=recipients))


@mypyc_attr(allow_interpreted_subclasses=True)
class Deliverer:
    """A deliverer for one kind of target.  A subclass implements ``deliver``; the other methods have defaults."""

    #: The deliverer waits for the daemon's spool only, so the scheduler's limits, which protect hosts, do not apply.
    local: ClassVar[bool] = False
    #: Targets lead to *sites* (a next hop, or the set of mail exchangers that several domains share).  The scheduler
    #: limits the attempts at each site, and recipients of one message at one site share a delivery.
    sited: ClassVar[bool] = False
    #: ``deliver_now`` may be done at once.  The worker asks no other deliverer.
    immediate: ClassVar[bool] = False

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        """Attempt ``delivery`` at ``target`` (a domain, a ``host:port``, a path).

        Returns one outcome for each recipient, in their order.  An exception is a fault of this side, and the worker
        defers the recipients.  A cancelled attempt closes what it opened.
        """
        raise NotImplementedError

    def deliver_now(self, delivery: Delivery, target: str) -> Sequence[Outcome] | None:
        """``deliver`` without waiting; None if it would have to wait, and then nothing was done."""
        return None

    def site_now(self, target: str) -> str | None:
        """The site of ``target``: "" if it has none, None if that cannot be known without waiting."""
        return None

    async def locate(self, target: str) -> str:
        """The site of ``target``: "" if it has none, or none can be found now (``deliver`` then says why)."""
        return ""

    async def close(self) -> None:
        """Close idle connections.  No attempt is under way any more."""


def all_of(
    recipients: Sequence[Recipient], result: Result, reason: str, reply: Reply | None = None, peer: str = ""
) -> tuple[Outcome, ...]:
    """One outcome for each recipient, all alike."""
    return tuple([Outcome(recipient, result, reply, reason, peer) for recipient in recipients])


def lease_lost(delivery: Delivery, target: str) -> tuple[Outcome, ...]:
    """The outcomes of a delivery that was given up because the lease on its message was lost."""
    reason = "the lease was lost before the message was complete; nothing was delivered by this attempt"
    return all_of(delivery.recipients, Result.DEFERRED, reason, _LOST, target)
