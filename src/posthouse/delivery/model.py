"""What the relay hands to whoever delivers: a job, a route to it, and the deliverer's one method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from posthouse.core import Address, Content, Envelope, Outcome, Recipient, Reply, Result
from posthouse.delivery.trace import AttemptTracer
from posthouse.spool.interface import StoredMessage

__all__ = [
    "Deliverer",
    "Delivery",
    "InstantDeliverer",
    "LocalDeliverer",
    "NoRoute",
    "Route",
    "Router",
    "SitedDeliverer",
    "all_of",
]


class Delivery(NamedTuple):
    """One attempt: a message and those of its recipients that share a route, or a site.

    ``notes`` is where the deliverer writes how it went, if somebody wants to know.
    """

    message: StoredMessage
    recipients: tuple[Recipient, ...]
    content: Content
    notes: AttemptTracer | None = None

    @property
    def envelope(self) -> Envelope:
        """The message's envelope with only this job's recipients."""
        return self.message.envelope._replace(recipients=self.recipients)


class Deliverer(Protocol):
    """Takes mail to one kind of place."""

    async def deliver(self, job: Delivery, target: str) -> Sequence[Outcome]:
        """Attempt ``job`` at ``target`` (a domain, a ``host:port``, a path; see ``Route``).

        One outcome for each recipient, in their order.  Whatever the other side does is an outcome; an exception
        is a fault of ours, and the worker turns it into *deferred*.  Cancelled, it ends what it holds open.
        """
        ...

    async def close(self) -> None:
        """Finish idle sessions; nothing is under way any more."""
        ...


class InstantDeliverer(Deliverer, Protocol):
    """A deliverer that is sometimes done at once.  The worker looks for the method, and then needs no task."""

    def deliver_now(self, job: Delivery, target: str) -> Sequence[Outcome] | None:
        """As ``deliver``, without waiting for anything; None if it would have to, and then nothing was done."""
        ...


class LocalDeliverer(Deliverer, Protocol):
    """A deliverer that waits for our own spool only: the worker's bounds, meant for the world outside, do not bind
    it (see ``lanes``)."""

    local: bool


class SitedDeliverer(Deliverer, Protocol):
    """A deliverer to the world outside, whose targets lead to *sites* (see ``sites``): the worker asks each site only
    for what it can take, and joins what goes to the same one.  It tells in ``Delivery.notes`` how the site behaved."""

    def site_now(self, target: str) -> str | None:
        """The identity of the next hop for ``target``, if that is known without waiting; "" if there is none."""
        ...

    async def locate(self, target: str) -> str:
        """The same, found out; "" if there is none, or none can be found now (``deliver`` then says why)."""
        ...


class Route(NamedTuple):
    """Where a recipient goes: which deliverer, and the target it is given.

    Recipients of a message with equal routes travel in one job.  ``reason`` says which rule chose it, for people;
    ``shared`` that everybody in the recipient's domain goes this way now (but for those an operator sent elsewhere).
    """

    deliverer: Deliverer
    target: str
    reason: str = ""
    shared: bool = False


class NoRoute(NamedTuple):
    """There is no way for this recipient: an outcome without an attempt."""

    outcome: Outcome


class Router(Protocol):
    """Decides at each attempt, from today's configuration, where a recipient goes."""

    def route(self, recipient: Recipient, override: str = "") -> Route | NoRoute:
        """The way for one recipient.  ``override`` is where an operator sent it ("" for nowhere in particular); it
        goes before all rules, and where it cannot be understood the recipient waits."""
        ...

    def destination(self, address: Address) -> str:
        """The key by which the queue groups and leases this recipient: its domain in A-labels and lower case."""
        ...


def all_of(
    recipients: Sequence[Recipient], result: Result, reason: str, reply: Reply | None = None, peer: str = ""
) -> tuple[Outcome, ...]:
    """The same end for each of some recipients."""
    return tuple(Outcome(recipient, result, reply, reason, peer) for recipient in recipients)
