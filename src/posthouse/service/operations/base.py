"""What an operation is, and what operations work on.

An operation has a name, parameters and a help text, all declared once.  The command line prints its answer, the control
socket carries it as JSON, and the manual lists it; none of them knows more than the declaration.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from posthouse.core import SettingError

# The client of a running daemon needs the declarations only, and none of these packages.
if TYPE_CHECKING:
    import asyncio

    from posthouse.core import Envelope
    from posthouse.delivery import IsSelf
    from posthouse.net import Clock, Resolver
    from posthouse.relay import Route, Router
    from posthouse.relay.scheduling.outlook import AttemptPosition, SiteOutlook
    from posthouse.service.config.model import Config
    from posthouse.service.monitor.monitor import Monitor
    from posthouse.service.monitor.pauses import PauseKeeper
    from posthouse.service.monitor.queue_undo import UndoKeeper
    from posthouse.service.policy.switched_faults import SwitchedFaults
    from posthouse.spool import ChangedRecipient, Spool
    from posthouse.spool.interface import Compose

__all__ = ["Context", "Operation", "Parameter", "Reporting", "RoutingContext", "spool_or_none", "user_name"]

#: Makes the function that writes the reports about dropped recipients, for one spool and one moment.
Reporting = Callable[["Spool", float], "Compose"]


class RoutingContext(NamedTuple):
    """Where mail goes, and what senders are told of it, by the configuration of now.

    ``resolver``, ``random``, ``is_self`` and ``loopback`` find next hops as the relay does.
    """

    router: Router
    resolver: Resolver
    random: Random
    is_self: IsSelf
    reporting: Reporting
    loopback: bool = False


class Context(NamedTuple):
    """What operations work on: a running daemon, or the spool of a stopped one.

    Attributes:
        spool: opens the spool to read from it, and closes it again.
        writable_spool: opens the spool to change it, and closes it again.
        routing: makes the ``RoutingContext``.  Without a daemon this is expensive, so only operations that need it call
            it.
        who: the name of the user who asks, as the audit log has it.
        reopen: makes the relay try mail for these destinations now (for all, if none is named); None without a daemon.
        wake: tells the relay that there is new mail; None without a daemon.
        outlook: gives what mail for a destination would wait for on a route, at a site if that is known; None without a
            daemon.
        arrival: gives a future that is done when a message is next put into an inbox; None without a daemon.
        positions: gives the relay's attempts by queue id and recipient; None without a daemon.
        sites: gives the sites that the relay remembers, with the destinations that wait; None without a daemon.
        peers: asks the other worker processes what an operation says there.
        dropped: notes recipients that a user (named second) has given up, for webhooks and traces; None where neither
            asks for it, or without a daemon.
        undo: ends the actions on the queue that could be undone, at their time; None without a daemon.
        pauses: the pauses of destinations that are in force; None without a daemon.
        submit: judges and stores a message as one of this machine; gives its queue id ("" if all its recipients were
            refused, which its sender is told), and why it cannot be taken now; None without a daemon.
        monitor: what this worker process has noted of its sessions, attempts and events; None without a daemon.
        reload: has the configuration read again, for the user of this name; None without a daemon.
        faults: the faults that are switched on at this process's listeners; None without a daemon.
        config_file: the file that the configuration was read from; "" without one.
        views: the views of the inboxes that the one who asks may see; None for all of them.
    """

    config: Config
    clock: Clock
    spool: Callable[[], AbstractAsyncContextManager[Spool]]
    writable_spool: Callable[[], AbstractAsyncContextManager[Spool]]
    routing: Callable[[], RoutingContext]
    who: str = ""
    reopen: Callable[[Collection[str]], object] | None = None
    wake: Callable[[], object] | None = None
    arrival: Callable[[], asyncio.Future[None]] | None = None
    outlook: Callable[[Route, str, str], SiteOutlook] | None = None
    positions: Callable[[], Mapping[tuple[str, int], AttemptPosition]] | None = None
    sites: Callable[[], Sequence[tuple[SiteOutlook, Sequence[str]]]] | None = None
    peers: Callable[[Operation, Mapping[str, Any]], Coroutine[Any, Any, list[Any]]] | None = None
    reload: Callable[[str], Coroutine[Any, Any, Any]] | None = None
    submit: Callable[[Envelope, bytes], Coroutine[Any, Any, tuple[str, str]]] | None = None
    faults: SwitchedFaults | None = None
    monitor: Monitor | None = None
    pauses: PauseKeeper | None = None
    dropped: Callable[[Sequence[ChangedRecipient], str], object] | None = None
    undo: UndoKeeper | None = None
    config_file: str = ""
    views: tuple[str, ...] | None = None

    def drops_of(self, act: str, who: str) -> Callable[[Sequence[ChangedRecipient]], object] | None:
        """What an action's changed recipients are told to: for ``drop``, the notes of this user's drops."""
        noted = self.dropped
        return None if noted is None or act != "drop" else lambda changed: noted(changed, who)


class Parameter(NamedTuple):
    """One parameter.  ``kind`` is str, int, bool, or list for a list of numbers; without a ``default`` the parameter
    must be given."""

    name: str
    help: str
    kind: type = str
    default: str | int | bool | list[int] | None = None


class Operation(NamedTuple):
    """One operation.

    Attributes:
        run: takes the context (None where ``needs_context`` is False) and the parameters by name.  Raises
            ``SettingError`` if the request is wrong, and ``StorageError`` if the spool fails; every other end is an
            answer.
        answer: the type of the answer: a struct of ``operations.results``, or a list of them.
        live: whether a running daemon is asked, because it changes the queue or knows what only the daemon knows.
        reads: whether it changes nothing: only such an operation is offered to GET requests and to read-only tokens.
        local: whether it names files of the user who asks, so that it is never offered by HTTP.
        outward: whether it changes nothing here, but asks hosts that a message names: it runs in the process of the one
            who asks, and HTTP offers it to those only who may make changes.
        narrowed: whether it keeps to ``Context.views``: no other is run for one who may see some inboxes only.
    """

    name: str
    help: str
    run: Callable[..., Coroutine[Any, Any, Any]]
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    needs_context: bool = True
    live: bool = False
    reads: bool = False
    local: bool = False
    outward: bool = False
    narrowed: bool = False


@contextlib.asynccontextmanager
async def spool_or_none(context: Context) -> AsyncIterator[Spool | None]:
    """The spool, None where there is none.  Raises ``SettingError`` if there is one and this user may not read it."""
    async with contextlib.AsyncExitStack() as stack:
        spool = None
        try:
            spool = await stack.enter_async_context(context.spool())
        except SettingError as error:
            if isinstance(error.__cause__, PermissionError):
                raise
        yield spool


def user_name(number: int) -> str:
    """The name of a user of this machine, with the number: ``ann (uid 1000)``."""
    import pwd

    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:
        return f"uid {number}"
