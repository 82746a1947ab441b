"""Simulated node: a machine with a disk and a daemon, which runs as one incarnation after the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, NamedTuple, TypeVar, cast

from posthouse.core import SettingError, StorageError
from posthouse.net import Endpoint, Resolver
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.config_file import parse
from posthouse.service.daemon.config_parts import horizon_of, kind_of
from posthouse.service.daemon.daemon import Daemon
from posthouse.spool.interface import MessageEntry, Spool
from posthouse.spool.sqlite.ownership import CATCHER, RELAY
from posthouse.testing.simulation.auditor import Auditor, SharedAudit
from posthouse.testing.simulation.ledger import Ledger
from posthouse.testing.simulation.loop import VirtualClock, VirtualLoop, VirtualProcess
from posthouse.testing.simulation.network import CrashKind, Port, SimulatedNetwork
from posthouse.testing.simulation.storage import DiskFaults, SimulatedSpool

__all__ = ["Environment", "SimulatedNode"]

T = TypeVar("T")

_TRUSTED = '[relay]\ntrusted_networks = ["10.0.0.0/8"]\n'
_START_AGAIN = 10.0  # seconds until a daemon that could not start for its disk is started again


class Environment(NamedTuple):
    """The parts of a world that all its nodes share."""

    loop: VirtualLoop
    network: SimulatedNetwork
    resolver: Resolver
    disk: DiskFaults
    ledger: Ledger


class SimulatedNode:
    """A node that can crash, restart and have its clock set.  ``World.node`` makes it.

    ``storage`` is its disk, which a crash does not erase; ``incarnations`` counts the starts of its daemon.
    """

    def __init__(
        self,
        environment: Environment,
        name: str,
        toml: str,
        address: str,
        *,
        random: Random,
        shares: SimulatedNode | None,
        beside: SimulatedNode | None = None,
        wrap: Callable[[Spool], Spool] | None,
    ) -> None:
        self.name = name
        self.address = address
        self.config = _config(name, toml, address)
        other = beside if shares is None else shares
        self.clock: VirtualClock = VirtualClock(environment.loop) if other is None else other.clock  # one machine
        self.incarnations = 0
        self.process = VirtualProcess(name)
        self.spool_name: str = name if other is None else other.spool_name
        self.storage: SimulatedSpool = SimulatedSpool(
            environment.disk,
            self.clock,
            random,
            shares=None if shares is None else shares.storage,
            beside=None if beside is None else beside.storage,
            kind=kind_of(self.config),
            horizon=horizon_of(self.config),
        )
        self._environment = environment
        self._loop = environment.loop
        self._ledger = environment.ledger
        self._random = random
        self._port: Port | None = None
        self._auditor: Auditor | None = None
        self._audit: SharedAudit = SharedAudit() if other is None else other._audit
        self._daemon: Daemon | None = None
        self._has_started = False
        self._next_crash: tuple[CrashKind, float] = (CrashKind.KILLED, 60.0)
        self._spool = cast(Spool, self.storage) if wrap is None else wrap(cast(Spool, self.storage))

    @property
    def endpoint(self) -> Endpoint:
        """Where its first listener accepts connections."""
        return self.config.listener[0].bind

    @property
    def running(self) -> bool:
        """Whether its daemon runs."""
        return self.process.alive and self._daemon is not None

    @property
    def _process_name(self) -> str:
        return f"{self.name} {self.incarnations}"

    @property
    def owns_spool(self) -> bool:
        """Whether its spool is its own, rather than that of another node."""
        return self.spool_name == self.name

    # -- what a test does to it ------------------------------------------------------------------------------------

    def crash(self, kind: CrashKind = CrashKind.KILLED, *, down: float | None = 60.0) -> None:
        """Stop the daemon between two of its steps; start it again after ``down`` seconds (None: at ``restart``)."""
        if not self.process.alive:
            return
        self._ledger.log(self.name, "crash", kind=kind.value, steps=self.process.steps)
        self._stop("crash", kind)
        if down is not None:
            self._loop.call_later(down, self.restart, context=contextvars.Context())

    def crash_at_step(self, step: int, kind: CrashKind = CrashKind.KILLED, *, down: float = 60.0) -> None:
        """CrashKind before the ``step``-th step from now; 0 cancels an earlier call."""
        self._next_crash = (kind, down)
        self.process.last_step = self.process.steps + step

    def restart(self) -> None:
        """Start a new incarnation if the last one has stopped; it begins while time passes."""
        if not self.process.alive:
            task = self._loop.create_task(self.started(), context=contextvars.Context())
            task.add_done_callback(self._began)

    def _began(self, task: asyncio.Future[None]) -> None:
        """Start a daemon again that could not start for its disk, or because another was being started on the same
        directory, as a service manager does."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StorageError) or (isinstance(error, SettingError) and self.storage.found_intruder):
            self._ledger.log(self.name, "failed to start", reason=error)
            self._stop("crash", CrashKind.KILLED)
            self._loop.call_later(_START_AGAIN, self.restart, context=contextvars.Context())
        elif error is not None:
            self._report(task)

    def drain_and_restart(self, seconds: float = 30.0) -> None:
        """Stop the daemon in good order, and start it again."""
        if not self.running or not self._has_started or self._daemon is None:
            return  # a daemon that is told to stop while it starts does so when it has started
        self._ledger.log(self.name, "drain")
        if self._auditor is not None:
            self._auditor.accident("drain", self._process_name)
        process = self.process
        draining = self._task(self._daemon.drain(seconds))
        if draining is None:
            return

        def drained(task: asyncio.Future[None]) -> None:
            self._report(task)
            if process.alive:
                self._stop("drained", CrashKind.KILLED)
                self.restart()

        draining.add_done_callback(drained, context=contextvars.Context())

    def jump(self, seconds: float) -> None:
        """Set its machine's calendar forward, or back.  That excuses no second copy."""
        self._ledger.log(self.name, "calendar", jump=seconds)
        self.clock.jump(seconds)

    def restore_spool(self, *, after: float = 60.0) -> None:
        """Replace the spool's directory by a copy while the daemon runs; kill the daemon ``after`` so many seconds and
        start it again."""
        self._ledger.log(self.name, "replaced")
        self.storage.restored()
        if self._auditor is not None:
            self._auditor.replaced(self._process_name)
        self._loop.call_later(after, partial(self.crash, down=1.0), context=contextvars.Context())

    def start_intruder(self) -> None:
        """Have ``intrude`` begin while time passes."""
        self._loop.create_task(self.intrude(), context=contextvars.Context()).add_done_callback(self._report)

    async def intrude(self) -> None:
        """Start a daemon of the other kind on the same directory, which must be refused."""
        kind = RELAY if kind_of(self.config) == CATCHER else CATCHER
        why = await self.storage.intruded(kind)
        self._ledger.log(self.name, "intruder", refused=bool(why))
        if not why:
            self._ledger.violation(self.name, f"a {kind} opened its spool")

    # -- what a test sees of it ------------------------------------------------------------------------------------

    def entries(self) -> list[MessageEntry]:
        """The unfinished messages of its spool."""
        return [entry for entry, _ in self._loop.run_until_complete(self.storage.look())]

    # -- incarnations ----------------------------------------------------------------------------------------------

    async def started(self) -> None:
        """Begin an incarnation; returns when its listeners are open, or when it has crashed before."""
        environment = self._environment
        self.incarnations += 1
        if self._port is not None:
            self._port.crash(CrashKind.RESET)  # after a silent crash
        self._daemon = None  # the last incarnation's; this one has none yet, and cannot be drained
        self._has_started = False
        process = self.process = VirtualProcess(self.name, self._crash_now)
        if self.owns_spool or self.incarnations > 1:
            await self._promise_unanswered()
            if not process.alive:  # it crashed meanwhile
                return
        self._port = Port(environment.network, self.address, self.process)
        self._auditor = Auditor(self._spool, self._ledger, self.spool_name, self._audit)
        self._daemon = Daemon(
            self.config,
            clock=self.clock,
            network=self._port,
            resolver=environment.resolver,
            spool=cast(Spool, self._auditor),
            log=self._log,
            random=Random(self._random.getrandbits(64)),
        )
        self._ledger.log(self.name, "start", incarnation=self.incarnations)
        opening = self._task(self._daemon.start())
        while opening is not None and not opening.done() and self.process.alive:
            await asyncio.sleep(0.01)
        if opening is not None and opening.done():
            opening.result()
            self._has_started = True

    async def _promise_unanswered(self) -> None:
        """Enter the messages that were committed just before a crash, and not answered, in the ledger."""
        if self._auditor is None:
            return
        for entry, content in await self.storage.look():
            self._auditor.promised(entry.message, content)

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run a coroutine in this process, unless the process stops with this very step."""
        made: list[asyncio.Task[None]] = []
        self.process.step(lambda: made.append(self._loop.create_task(coroutine)))
        if not made:
            coroutine.close()
            return None
        return made[0]

    def _crash_now(self) -> None:
        kind, down = self._next_crash
        self.crash(kind, down=down)

    def _stop(self, why: str, kind: CrashKind) -> None:
        self.process.stop()
        if self._auditor is not None:
            self._auditor.stopped(why, self._process_name)
        if self._port is not None:
            self._port.crash(kind)
        if why == "crash":
            self.storage.crashed()

    def close(self) -> None:
        """Stop the daemon and remove the disk, at the end of the world."""
        self.process.stop()
        self.storage.remove()

    def _log(self, event: str, /, **fields: Any) -> None:
        error = fields.pop("error", None)
        place = self.storage.directory.path  # which is another one in each process
        shown = {name: value for name, value in fields.items() if name != "text"}
        for name, value in shown.items():
            if isinstance(value, str) and place in value:
                shown[name] = value.replace(place, "data_dir")
        self._ledger.log(self.name, event, **shown)
        if event == "fault" and not isinstance(error, StorageError):
            self._ledger.violation(self.name, f"a fault: {fields.get('reason')}")

    def _report(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ledger.violation(self.name, f"it could not start or stop: {type(error).__name__}: {error}")


def _config(name: str, toml: str, address: str) -> Config:
    """The configuration, with the settings that the world decides."""
    config = parse(toml, where=name)
    relay = config.relay
    if not relay.trusted_networks:
        relay = _with(relay, trusted_networks=parse(_TRUSTED).relay.trusted_networks)
    listeners = (
        config.listener if "[[listener]]" in toml else (ListenerSettings(bind=Endpoint(address, 25), name="mx"),)
    )
    # The ledger compares octets, so nothing is added to what clients send.
    listeners = tuple(
        _with(each, bind=Endpoint(address, each.bind.port), complete_messages=False) for each in listeners
    )
    return _with(
        config,
        hostname=name,
        data_dir="/",  # never written to; only its free space is asked for
        listener=listeners,
        relay=_with(relay, source=address),
        spool=_with(config.spool, min_free=0),
    )


def _with(settings: T, **changes: Any) -> T:
    """Settings with some fields changed."""
    fields: tuple[str, ...] = settings.__struct_fields__  # type: ignore[attr-defined]
    return type(settings)(**{**{name: getattr(settings, name) for name in fields}, **changes})
