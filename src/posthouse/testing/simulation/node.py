"""A post house in a simulated world: one machine, one disk, and one incarnation of the house after the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from posthouse.core import StorageError
from posthouse.net import Endpoint
from posthouse.service.config.model import Config, ListenerSettings
from posthouse.service.config_file import parse
from posthouse.service.daemon.daemon import Daemon
from posthouse.spool.interface import MessageEntry, Spool
from posthouse.testing.simulation.ledger import Auditor, Held, token_of
from posthouse.testing.simulation.loop import Life, VirtualClock
from posthouse.testing.simulation.network import Death, Port
from posthouse.testing.simulation.storage import SimulatedSpool

if TYPE_CHECKING:
    from posthouse.testing.simulation.world import World

__all__ = ["SimulatedNode"]

T = TypeVar("T")

_MACHINES = '[relay]\ntrusted_networks = ["10.0.0.0/8"]\n'


class SimulatedNode:
    """A house that can be crashed, restarted, and have its clock set.  Made by ``World.house``.

    ``store`` is its disk: what it shows survives.  ``incarnations`` counts its lives.
    """

    def __init__(
        self,
        world: World,
        name: str,
        toml: str,
        address: str,
        *,
        shares: SimulatedNode | None,
        wrap: Callable[[Spool], Spool] | None,
    ) -> None:
        self.name = name
        self.address = address
        self.config = _config(name, toml, address)
        self.clock: VirtualClock = VirtualClock(world.loop) if shares is None else shares.clock  # one machine
        self.incarnations = 0
        self.life = Life(name)
        self.deaths: list[float] = []
        self._world = world
        self._random = Random(world.random.getrandbits(64))
        self._port: Port | None = None
        self._witness: Auditor | None = None
        self._house: Daemon | None = None
        self._crash_at = 0
        self._crash_how: tuple[Death, float] = (Death.KILLED, 60.0)
        self.spool: str = name if shares is None else shares.spool
        self._held: dict[tuple[str, int], Held] = {} if shares is None else shares._held
        self._kept: set[tuple[str, str]] = set() if shares is None else shares._kept
        self.store: SimulatedSpool = SimulatedSpool(
            _Disk(world), self.clock, self._random, shares=None if shares is None else shares.store
        )
        self._queue = cast(Spool, self.store) if wrap is None else wrap(cast(Spool, self.store))

    @property
    def endpoint(self) -> Endpoint:
        """Where its first listener takes mail."""
        return self.config.listener[0].bind

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self.life.alive and self._house is not None

    # -- what can be done to it ------------------------------------------------------------------------------------

    def crash(self, death: Death = Death.KILLED, *, down: float | None = 60.0) -> None:
        """It vanishes between two of its steps; after ``down`` seconds a new incarnation opens its spool (None: not
        before ``restart``)."""
        if not self.life.alive:
            return
        self._world.book.tell(self.name, "crash", death=death.value, steps=self.life.steps)
        self._stop("crash", death)
        if down is not None:
            self._world.loop.call_later(down, self.restart, context=contextvars.Context())

    def crash_at_step(self, step: int, death: Death = Death.KILLED, *, down: float = 60.0) -> None:
        """Crash before the ``step``-th step from now."""
        self._crash_how = (death, down)
        self.life.last_step = self.life.steps + step

    def restart(self) -> None:
        """A new incarnation, where the old one has died; it begins while time passes."""
        if not self.life.alive:
            task = self._world.loop.create_task(self.started(), context=contextvars.Context())
            task.add_done_callback(self._began)

    def _began(self, task: asyncio.Future[None]) -> None:
        """A daemon that cannot start for its disk is started again by whoever watches over it."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StorageError):
            self._world.book.tell(self.name, "failed to start", reason=error)
            self._stop("crash", Death.KILLED)
            self._world.loop.call_later(10.0, self.restart, context=contextvars.Context())
        elif error is not None:
            _report(self._world, self.name, task)

    def drain_and_restart(self, seconds: float = 30.0) -> None:
        """What an operator does: an orderly end, and a new start."""
        if not self.running or self._house is None:
            return
        self._world.book.tell(self.name, "drain")
        if self._witness is not None:
            self._witness.accident("drain", self.incarnations)
        life = self.life
        draining = self._task(self._house.drain(seconds))
        if draining is None:
            return

        def drained(task: asyncio.Future[None]) -> None:
            _report(self._world, self.name, task)
            if life.alive:
                self._stop("drained", Death.KILLED)
                self.restart()

        draining.add_done_callback(drained, context=contextvars.Context())

    def jump(self, seconds: float) -> None:
        """Its machine's calendar is put forward, or back.  That excuses nothing, and confuses nobody."""
        self._world.book.tell(self.name, "calendar", jump=seconds)
        self.clock.jump(seconds)

    # -- what can be seen of it ------------------------------------------------------------------------------------

    def entries(self) -> list[MessageEntry]:
        """What is in its queue and not finished."""
        return [entry for entry, _ in self._world.do(self.store.look())]

    # -- its lives -------------------------------------------------------------------------------------------------

    async def started(self) -> None:
        """Begin an incarnation; returns when its doors are open, or it has died before."""
        world = self._world
        self.incarnations += 1
        if self._port is not None:
            self._port.die(Death.RESET)  # of a silent death
        self.life = Life(self.name, self._crash_now)
        if self.spool == self.name or self.incarnations > 1:
            await self._recovered()
        self._port = Port(world.wires, self.address, self.life)
        self._witness = Auditor(self._queue, world.book, self.spool, self._held, self._kept)
        self._house = Daemon(
            self.config,
            clock=self.clock,
            network=self._port,
            resolver=world.resolver,
            queue=cast(Spool, self._witness),
            log=self._log,
            random=Random(self._random.getrandbits(64)),
        )
        world.book.tell(self.name, "start", incarnation=self.incarnations)
        opening = self._task(self._house.start())
        while opening is not None and not opening.done() and self.life.alive:
            await asyncio.sleep(0.01)
        if opening is not None and opening.done():
            opening.result()

    async def _recovered(self) -> None:
        """What was committed just before a crash, and nobody heard of, has been promised too."""
        if self._witness is None:
            return
        for entry, content in await self.store.look():
            self._witness.enter(entry.message, token_of(content))

    def _task(self, story: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run something as part of this life, if that has not ended with this very step."""
        made: list[asyncio.Task[None]] = []
        self.life.step(lambda: made.append(self._world.loop.create_task(story)))
        if not made:
            story.close()
            return None
        return made[0]

    def _crash_now(self) -> None:
        death, down = self._crash_how
        self.crash(death, down=down)

    def _stop(self, why: str, death: Death) -> None:
        self.deaths.append(self._world.loop.time())
        self.life.end()
        if self._witness is not None:
            self._witness.died(why, self.incarnations)
        if self._port is not None:
            self._port.die(death)
        if why == "crash":
            self.store.crashed()

    def bury(self) -> None:
        """The world ends."""
        self.life.end()
        self.store.remove()

    def _log(self, event: str, /, **fields: Any) -> None:
        error = fields.pop("error", None)
        self._world.book.tell(self.name, event, **{name: value for name, value in fields.items() if name != "text"})
        if event == "fault" and not isinstance(error, StorageError):
            self._world.book.wrong(self.name, f"a fault: {fields.get('reason')}")


class _Disk:
    """A disk in a world's weather."""

    def __init__(self, world: World) -> None:
        self._world = world

    def pause(self) -> float:
        """See ``storage.Disk``."""
        return self._world.weather.disk_pause(self._world.random)

    def trouble(self) -> StorageError | None:
        """See ``storage.Disk``."""
        return self._world.weather.disk_trouble(self._world.random)


def _report(world: World, name: str, task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        world.book.wrong(name, f"it could not start or end: {type(error).__name__}: {error}")


def _config(name: str, toml: str, address: str) -> Config:
    """The configuration, with what the world decides."""
    config = parse(toml, where=name)
    relay = config.relay
    if not relay.trusted_networks:
        relay = _with(relay, trusted_networks=parse(_MACHINES).relay.trusted_networks)
    listeners = (
        config.listener if "[[listener]]" in toml else (ListenerSettings(bind=Endpoint(address, 25), name="mx"),)
    )
    listeners = tuple(_with(each, bind=Endpoint(address, each.bind.port)) for each in listeners)
    return _with(
        config,
        hostname=name,
        data_dir="/",  # nothing is written there; only asked how much room it has
        listener=listeners,
        relay=_with(relay, source=address),
        spool=_with(config.spool, min_free=0),
    )


def _with(settings: T, **changes: Any) -> T:
    """The same settings, but for some."""
    fields: tuple[str, ...] = settings.__struct_fields__  # type: ignore[attr-defined]
    return type(settings)(**{**{name: getattr(settings, name) for name in fields}, **changes})
