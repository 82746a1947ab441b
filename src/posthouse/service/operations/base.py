"""What an operation is, and what operations work on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

# Whoever asks a running daemon needs to know what an operation is, and none of this.
if TYPE_CHECKING:
    from posthouse.delivery import IsSelf
    from posthouse.net import Clock, Resolver
    from posthouse.relay import Router
    from posthouse.relay.scheduling.site_health import SiteStatus
    from posthouse.service.config.model import Config
    from posthouse.spool import Spool
    from posthouse.spool.interface import QueuedRecipient, Report, StoredMessage

__all__ = ["Context", "Operation", "Parameter", "Reporting", "RoutingContext"]

#: What is reported about dropped recipients; made for one queue and one moment, and called in the storage's thread.
Reporting = Callable[["Spool", float], Callable[["StoredMessage", Sequence["QueuedRecipient"]], Sequence["Report"]]]


class RoutingContext(NamedTuple):
    """Where mail goes and what is told of it: ``router`` is today's; ``resolver``, ``random`` and ``is_self`` find next
    hops as the relay does; ``reporting`` makes what senders are told of recipients that are dropped."""

    router: Router
    resolver: Resolver
    random: Random
    is_self: IsSelf
    reporting: Reporting


class Context(NamedTuple):
    """What operations work on: a running house, or the spool of one that is stopped.

    ``queue`` opens the queue to look at, ``changing`` to change it, and both close it again.  ``ways`` gives what only
    a whole house has; where none runs it is made for that, so operations that need none do not ask.  ``who`` is asking,
    by name.
    ``reopen`` tells the relay that mail for these destinations (for any, if none is named) is to be tried now, ``wake``
    that there is new mail, and ``sites`` how the next hops stand that it met, by name; None where no relay runs.
    """

    config: Config
    clock: Clock
    queue: Callable[[], AbstractAsyncContextManager[Spool]]
    changing: Callable[[], AbstractAsyncContextManager[Spool]]
    ways: Callable[[], RoutingContext]
    who: str = ""
    reopen: Callable[[Collection[str]], object] | None = None
    wake: Callable[[], object] | None = None
    sites: Callable[[], Mapping[str, SiteStatus]] | None = None


class Parameter(NamedTuple):
    """One parameter.  ``kind`` is str, int or bool; without a ``default`` it must be given."""

    name: str
    help: str
    kind: type = str
    default: str | int | bool | None = None


class Operation(NamedTuple):
    """One operation.

    ``run`` takes the context (or None where ``needs_context`` is False) and the parameters by name, and answers with
    an ``answer``, a struct of ``operations.results`` or a list of them.  One that is ``live`` is better asked of the
    daemon, if one runs: it changes the queue, or knows what only the daemon knows.
    """

    name: str
    help: str
    run: Callable[..., Coroutine[Any, Any, Any]]
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    needs_context: bool = True
    live: bool = False
