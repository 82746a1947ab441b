"""The daemon: constructs the listeners, the spool and the relay of one configuration, and starts and stops them.

Clock, network, resolver, spool, log and random source can be handed in; the default is the real one.  Nothing is opened
before ``start`` and nothing is left open after ``drain``; two daemons in one event loop are independent.
Start order: spool, relay worker, listeners, so that mail is accepted only when it can be stored and delivered.  Stop
order: listeners, attempts under way, spool.  Mail that is still queued is on stable storage until the next start.

Over budget: the parts are made, started and stopped in one place, because each of the three needs their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import Any

from posthouse.core import Bytes, Envelope, EventSink, StorageBusy, StorageCorrupt
from posthouse.delivery import (
    DiscardDeliverer,
    LmtpDeliverer,
    LocalIdentity,
    MaildirDeliverer,
    PythonDeliverer,
    SmtpDeliverer,
)
from posthouse.delivery.security import InClear
from posthouse.message.compose import Composed
from posthouse.net import (
    Clock,
    Endpoint,
    Network,
    Resolver,
    SocketNetwork,
    SystemClock,
    Timer,
)
from posthouse.protocol import Transcript
from posthouse.relay import DsnWriter, MailboxDeliverer, Worker
from posthouse.relay.recording.dsn import original_of
from posthouse.relay.scheduling.outlook import views_of
from posthouse.server import CheckFactory
from posthouse.service.config.model import Config
from posthouse.service.control.client import ask_peers
from posthouse.service.control.server import ControlSocket
from posthouse.service.control.wire import control_path
from posthouse.service.daemon.config_parts import log_of, resolver_of, schedule_of, spool_of
from posthouse.service.daemon.generation import Generation, Lasting
from posthouse.service.daemon.inbox_keeper import InboxKeeper
from posthouse.service.daemon.inbox_watch import InboxWatch
from posthouse.service.daemon.listeners import OpenListeners
from posthouse.service.daemon.protection import LoadedCertificates
from posthouse.service.daemon.report_submission import submit_own
from posthouse.service.daemon.route_security import PLAIN_ROUTE, SecurityKey, keys_of, security_of_route, timeouts_of
from posthouse.service.daemon.routing import ConfiguredRouter, Deliverers
from posthouse.service.directory.directory import Directory
from posthouse.service.directory.expansion import addressees
from posthouse.service.mailauth.mail_auth import MailAuth
from posthouse.service.maildrop.drop_file import DropFile, MemoryDrop
from posthouse.service.maildrop.local_intake import Taken, accept
from posthouse.service.maildrop.maildrop import MAILDROP, Terms
from posthouse.service.maildrop.pickup import KEYS, Pickup
from posthouse.service.monitor.delivery_journal import drop_notes, journaled
from posthouse.service.monitor.monitor import Monitor
from posthouse.service.monitor.pauses import PauseKeeper
from posthouse.service.monitor.queue_undo import UndoKeeper
from posthouse.service.operations.base import Context, RoutingContext
from posthouse.service.operations.monitor.undo_operations import give_up
from posthouse.service.policy.listener_policy import InboxUsage
from posthouse.service.policy.log_rate import LogRate
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.service.policy.switched_faults import SwitchedFaults
from posthouse.service.process.descriptor_limit import DescriptorWatch
from posthouse.service.process.ports import ListenerKey
from posthouse.service.process.start_and_stop import StartAndStop
from posthouse.spool import Spool
from posthouse.spool.interface import Compose, QueuedRecipient, Report, StoredMessage
from posthouse.spool.sqlite.storage.data_dir import DataDirLock

__all__ = ["DRAIN", "Daemon"]

#: Seconds that sessions and attempts may take to finish when the daemon drains.
DRAIN = 30.0
#: Seconds between two looks at certificates, and at whether the sessions of replaced generations have ended.
_LOOK_AGAIN = 60.0


class Daemon:
    """The listeners, the spool and the relay of one configuration.

    Args:
        spool: opened and closed by the daemon, also if it was handed in.  Without it, the daemon has the spool in
            ``data_dir``, and locks that directory unless it shares its ports.
        transcript: called with the name of a listener for each session; returns the session's transcript
            (``TranscriptRecorder`` is one).
        share_ports: whether other processes may listen at the same addresses.
        control: whether operations are offered on the control socket of this ``worker``; users are answered by 0.
        listening: sockets that listen already, by address; the daemon's listeners use them instead of their own.
        certificates: those that were read already, before the process became another user.
        lock: the lock on ``data_dir``, where it is held already; the daemon releases it at its end.
        counts: the counts of limits that all workers share.
        loopback: whether a mail exchanger may have an address of loopback (for a network of its own, as in the demo).
    """

    _keeper: InboxKeeper | None = None

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        network: Network | None = None,
        resolver: Resolver | None = None,
        spool: Spool | None = None,
        log: EventSink | Callable[..., object] | None = None,
        transcript: Callable[[str], Transcript] | None = None,
        random: Random | None = None,
        share_ports: bool = False,
        control: bool = False,
        worker: int = 0,
        listening: Mapping[Endpoint, socket.socket] | None = None,
        checks: Sequence[CheckFactory] = (),
        loopback: bool = False,
        counts: SharedCounts | None = None,
        lock: DataDirLock | None = None,
        certificates: LoadedCertificates | None = None,
    ) -> None:
        self.config = config
        self._counts = SharedCounts() if counts is None else counts
        self._checks, self._loopback, self._has_company = checks, loopback, share_ports
        self._lock, self._locks = lock, spool is None and not share_ports  # workers have a parent that holds the lock
        #: Reads the configuration again for a user, where that is possible; set by whoever runs the daemon.
        self.reload_on_request: Callable[[str], Coroutine[Any, Any, Any]] | None = None
        #: The file that the configuration was read from, "" without one; set by whoever runs the daemon.
        self.config_file = ""
        #: Why the spool stored nothing any more when the daemon ended, in a sentence; "" if it did.
        self.out_of_order = ""
        self.clock = clock or SystemClock()
        self.log = journaled(log_of(config, self.clock, log, self._counts.tally), config, self.clock, worker)
        #: The log of faults, bounded.
        self.faults = LogRate(self.log, self.clock, "fault", per_second=1.0, burst=50)
        self.spool: Spool = spool or spool_of(config, shared=share_ports)
        self._network = network or SocketNetwork(on_error=self._fault, reuse_port=share_ports, prepared=listening)
        self._random = random or SystemRandom()
        self._transcript, self._switches = transcript, SwitchedFaults(self.clock, self._random)
        self._resolver = resolver or resolver_of(config, self.clock)
        tell, own = self._tell_operator, partial(_submit, self)
        self._mail_auth = MailAuth(config, resolver, self.clock, lambda: self._generation, tell, own, sends=not worker)
        self._inbox_watch = InboxWatch(self.spool, self.clock, shared=share_ports)
        self._generation: Generation = self._make_generation(config, loaded=certificates)
        self._generation.protections.speaks = worker == 0
        self._schedule, self._dsn_writer = schedule_of(config), self._make_dsn_writer()
        self.worker = self._make_worker()
        self.monitor = Monitor(self.clock, self._counts.tally, self.worker, number=worker)
        self._pauses = PauseKeeper(config.data_dir, self.clock, self.worker.scheduler.destinations, self._tell_operator)
        self._undo = UndoKeeper(config.data_dir, self.clock, partial(give_up, self.context), self._tell_operator)
        self._local_identity = LocalIdentity([config.hostname])
        self._control_path = control_path(config.data_dir, worker)
        self._control = ControlSocket(self._control_path, self.context, self.log) if control else None
        self._pickup = _pickup_of(self) if control and not worker else None
        self._usage, self._listeners = InboxUsage(self.spool, self.clock), OpenListeners(self._network)
        self._retired: list[Generation] = []  # with sessions that began in them
        self._endings: list[asyncio.Future[None]] = []  # of listeners, connections and accounts that were given up
        self._endpoints: dict[str, Endpoint] = {}
        self._timer: Timer | None = None
        self._life = StartAndStop(self._open, self._close, partial(_release, lock))

    @property
    def directory(self) -> Directory:
        """The addresses of this server, by the configuration of now."""
        return self._generation.directory

    @property
    def router(self) -> ConfiguredRouter:
        """Where mail goes, by the configuration of now."""
        return self._generation.router

    def _make_generation(self, config: Config, **known: Any) -> Generation:
        return Generation(config, self._make_deliverers, clock=self.clock, log=self.log, **known)

    def _lasting(self) -> Lasting:
        return Lasting(
            clock=self.clock,
            network=self._network,
            log=self.log,
            spool=self.spool,
            worker=self.worker,
            usage=self._usage,
            dsn_writer=self._dsn_writer,
            fault=self._fault,
            sweep=DescriptorWatch(lambda reason: self.log("fault", reason=reason), self.clock.monotonic),
            checks=self._checks,
            transcript=self._transcript,
            counts=self._counts,
            mail_resolver=self._mail_auth.resolver,
            key_fault=self._tell_operator,
            judged=self._mail_auth.judged,
            switches=self._switches,
            monitor=self.monitor,
        )

    def _make_deliverers(self, config: Config) -> Deliverers:
        kind = {
            "network": self._network,
            "clock": self.clock,
            "random": self._random,
            "hostname": config.hostname,
            "source": config.relay.source,
            "loopback": self._loopback,
        }
        kind |= {
            "in_clear": InClear(self.clock, lambda text: self.log("tls", reason=text)),
            "tell": self._tell_operator,
        }

        def smtp_by(key: SecurityKey) -> SmtpDeliverer:
            more = {"is_self": lambda place: self._local_identity(place), "timeouts": timeouts_of(key)}
            more |= {"leaving": self._mail_auth.leaving, "converted": self._mail_auth.converted}
            return SmtpDeliverer(self._resolver, security=security[key], **more, **kind)  # type: ignore[arg-type]

        keys = keys_of(config)
        security = {key: security_of_route(key) for key in (*keys, PLAIN_ROUTE)}
        secured = {key: smtp_by(key) for key in keys}
        smtp = smtp_by(PLAIN_ROUTE)
        lmtp = LmtpDeliverer(self._resolver, **kind)  # type: ignore[arg-type]
        maildir = MaildirDeliverer(
            self.clock, config.hostname, pid=os.getpid(), random=lambda: f"{self._random.getrandbits(64):016x}"
        )
        return Deliverers(
            smtp,
            lmtp,
            maildir,
            MailboxDeliverer(self._inbox_watch),
            DiscardDeliverer(),
            PythonDeliverer(self.clock),
            secured,
            security,
        )

    def _tell_operator(self, text: str) -> None:
        self.faults.write(reason=text)

    def _make_dsn_writer(self) -> DsnWriter:
        return DsnWriter(
            hostname=self.config.hostname,
            postmaster=self.config.postmaster,
            destination=lambda address: self.router.destination(address),
            random=self._random,
            addressees=lambda address: addressees(self.directory, address),
            signatures=self._mail_auth.own_fields,
        )

    def _make_worker(self) -> Worker:
        relay = self.config.relay
        return Worker(
            self.spool,
            self.router,
            clock=self.clock,
            random=self._random,
            owner=f"{self.config.hostname}-{os.getpid()}-{self._random.getrandbits(32):08x}",
            schedule=lambda message, waiting: self._schedule,
            dsn_writer=self._dsn_writer,
            log=self.log,
            concurrency=relay.concurrency,
            per_destination=relay.concurrency_per_destination,
            has_company=self._has_company,
        )

    def _fault(self, error: BaseException) -> None:
        self.faults.write(reason=f"{type(error).__name__}: {error}", error=error)

    # -- operations ------------------------------------------------------------------------------------------------

    def context(self, who: str = "") -> Context:
        """The context of operations that ``who`` asks for."""

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Spool]:
            yield self.spool

        async def submit(envelope: Envelope, octets: bytes) -> tuple[str, str]:
            policy = self._generation.local_policy
            if policy is None:
                return "", "the daemon starts"
            taken = await accept(policy, MemoryDrop(envelope, octets, who or "console"), "")
            return taken.queue_id, taken.later

        return Context(
            config=self.config,
            clock=self.clock,
            spool=opened,
            writable_spool=opened,
            routing=self.routing,
            who=who,
            reopen=self.worker.reopen,
            wake=self.worker.wake,
            arrival=self._inbox_watch.next,
            **views_of(self.worker.scheduler),
            peers=partial(ask_peers, self._control_path),
            monitor=self.monitor,
            pauses=self._pauses,
            dropped=drop_notes(self.log),
            undo=self._undo,
            reload=self.reload_on_request,
            faults=self._switches,
            config_file=self.config_file,
            submit=submit,
        )

    def routing(self) -> RoutingContext:
        """Where mail goes, and what senders are told of it, by this configuration."""
        return RoutingContext(
            router=self.router,
            resolver=self._resolver,
            random=self._random,
            is_self=lambda place: self._local_identity(place),
            reporting=self._reporting,
            loopback=self._loopback,
        )

    def _reporting(self, queue: Spool, now: float) -> Compose:
        """The function that writes the delivery reports about dropped recipients."""

        async def report(message: StoredMessage, recipients: Sequence[QueuedRecipient]) -> Sequence[Report]:
            try:
                content = await queue.open_content(message)
                made = partial(original_of, message, content)
                original = made() if isinstance(content, Bytes) else await asyncio.to_thread(made)  # it reads a disk
            except StorageCorrupt:
                original = original_of(message, None)
            return self._dsn_writer.dropped(original, recipients, now=now)

        return report

    # -- start and stop --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the spool, start the relay, open the listeners.

        Raises ``StorageError``, or ``SettingError`` (also if ``data_dir`` is in use), and ``LocalError`` if the daemon
        was started or stopped before, or is stopped meanwhile; nothing is left open then.
        """
        await self._life.start()

    async def _open(self, undo: contextlib.AsyncExitStack) -> None:
        if self._locks and self._lock is None:
            self._lock = DataDirLock(self.config.data_dir)
        if self._lock is not None:
            undo.callback(self._lock.release)
        undo.push_async_callback(self.spool.close)
        for sentence in await self.spool.open(self.clock.time()):
            self.log("spool", text=sentence)
        self._life.go_on()
        self._pauses.load()
        undo.callback(self._pauses.stop)
        undo.push_async_callback(self.worker.stop, 0.0)
        await self.worker.start()
        undo.push_async_callback(self._close_listeners, 0.0)
        await self._generation.load_handlers(self._tell_operator)
        self._life.go_on()
        self._generation.load(self._lasting())
        self._tell_open(await self._listeners.put(self._generation.servers))
        undo.pop_all()
        undo.push_async_callback(self._life.close, 0.0)
        self._life.go_on()
        self._endpoints = self._listeners.addresses(self._generation.servers)
        self._local_identity = LocalIdentity([self.config.hostname], list(self._endpoints.values()))
        await self._open_control()
        self._life.go_on()
        await self._open_pickup()
        self._life.go_on()
        self._look_at_certificates()
        self._mail_auth.start()
        self.monitor.certificates = lambda: self._generation.protections.certificates()
        if self._control is not None and not self.monitor.number:
            self.monitor.history.start()

    def _look_at_certificates(self) -> None:
        """Look at the files of certificates every minute, also while no client connects."""
        if self._life.running:
            self._generation.protections.look()
            if self._generation.protections.has_certificates:
                self._timer = self.clock.call_later(_LOOK_AGAIN, self._look_at_certificates)

    async def _open_control(self) -> None:
        """Open the control socket.  A failure is logged and not raised, because the daemon delivers mail without it."""
        if self._control is None:
            return
        try:
            await self._control.open()
        except OSError as error:
            self.log("control", reason=f"the socket {self._control_path} cannot be opened: {error.strerror or error}")
            self._control = None

    async def _open_pickup(self) -> None:
        policy = self._generation.local_policy
        if self._pickup is not None and policy is not None:
            self._undo.start()  # as each of these, in one worker only
            await self._pickup.open(Terms(self.config.hostname, policy.settings.max_message_size))
            if self._keeper is None:  # the same worker has it
                arrived = self._inbox_watch.next
                self._keeper = InboxKeeper(self.spool, self.clock, lambda: self.config, arrived, self.log)

    # -- change ----------------------------------------------------------------------------------------------------

    async def prepare(self, config: Config) -> Generation:
        """What ``config`` needs, read and made; nothing is in use yet.  Raises ``SettingError``."""
        if not self._life.running:
            raise StorageBusy("the daemon is stopping; start it again when it has ended")
        generation = self._make_generation(config, before=self._generation)
        await generation.load_handlers(self._tell_operator)
        generation.load(self._lasting())
        return generation

    async def switch(self, generation: Generation) -> None:
        """Put a generation that was prepared into force: for new sessions and new attempts.

        Open sessions keep the terms under which they began; those of a listener that is gone end in order.  Raises
        ``SettingError`` if a new listener cannot be opened; then nothing has changed.
        """
        if not self._life.running:
            raise StorageBusy("the daemon is stopping; start it again when it has ended")
        fresh = await self._listeners.put(generation.servers)
        before, self._generation = self._generation, generation
        self.config = generation.config
        self._schedule = schedule_of(generation.config)
        self._dsn_writer.postmaster = generation.config.postmaster
        self.worker.router = generation.router
        self._tell_open(fresh)
        gone = self._listeners.close_others(generation.servers.keys())
        for key in gone:
            left = before.servers[key]
            left.policy.draining = True
            self.log("closed", name=left.settings.name, kind=left.settings.kind, at=str(left.settings.bind))
            self._endings.append(asyncio.ensure_future(left.server.drain(DRAIN / 2)))
        self._endpoints = self._listeners.addresses(self._generation.servers)
        self._local_identity = LocalIdentity([self.config.hostname], list(self._endpoints.values()))
        if before.deliverers is not generation.deliverers:
            self._endings.append(asyncio.ensure_future(before.deliverers.close()))
        self._retired.append(before)
        self._let_go()
        if self._timer is not None:
            self._timer.cancel()
        self._look_at_certificates()
        await self._open_pickup()
        self.worker.wake()

    def _let_go(self) -> None:
        """Forget the generations whose last session has ended, and look again after a while if there are more."""
        self._endings = [each for each in self._endings if not each.done()]
        for generation in self._retired.copy():
            if not generation.sessions:
                self._retired.remove(generation)
                generation.end()
                self._endings.append(asyncio.ensure_future(generation.protections.close(self._generation.protections)))
        if self._retired and self._life.running:
            self.clock.call_later(_LOOK_AGAIN, self._let_go)

    def _tell_open(self, fresh: Collection[ListenerKey]) -> None:
        for key in fresh:
            settings = self._generation.servers[key].settings
            self.log("listening", name=settings.name, kind=settings.kind, at=str(self._listeners.address(key)))

    async def take(self, worker: int, sockets: Mapping[Endpoint, socket.socket]) -> None:
        """Accept the connections of another worker as well, until ``leave``."""
        if self._life.running:
            await self._listeners.take(worker, sockets)

    def leave(self, worker: int) -> None:
        """Accept the connections of another worker no longer; those that were accepted stay."""
        self._listeners.leave(worker)

    async def _close_listeners(self, seconds: float) -> None:
        self._listeners.close()
        generations = [self._generation, *self._retired]
        servers = [each.server for generation in generations for each in generation.servers.values()]
        await asyncio.gather(*(server.drain(seconds) for server in servers))

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """The address of each listener, by its name, with the real port."""
        return dict(self._endpoints)

    @property
    def sessions(self) -> int:
        """Open sessions."""
        return self._generation.sessions + sum(each.sessions for each in self._retired)

    async def wait_idle(self) -> None:
        """Return when the relay has no attempt under way and no mail due; mail for a later time may remain."""
        await self.worker.idle()

    async def drain(self, timeout: float = DRAIN) -> None:
        """Stop: accept no new sessions, let transactions and attempts under way finish, close the spool.

        Takes at most about ``timeout`` seconds.  While ``start`` is under way, that call ends with ``LocalError``.  A
        further call returns when the first has ended; a caller that is cancelled does not stop it.
        """
        await self._life.stop(timeout)

    async def _close(self, timeout: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._mail_auth.stop()
        self.log("draining", sessions=self.sessions)
        self.monitor.history.stop()
        self._pauses.stop()
        await self._undo.stop()
        end = self.clock.monotonic() + timeout
        if self._control is not None:
            await self._control.close()
        if self._pickup is not None:
            await self._pickup.close()
        if self._keeper is not None:
            await self._keeper.stop()
        generations = [*self._retired, self._generation]
        for generation in generations:
            generation.stop_accepting()
        await self._close_listeners(timeout / 2)
        for generation in generations:
            generation.end()
        self.faults.flush()
        left = max(0.0, end - self.clock.monotonic())
        await self.worker.stop(0.0 if self.spool.out_of_order() else left)  # nothing can be recorded any more
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._generation.deliverers.close()
        for generation in self._retired:
            await generation.protections.close(self._generation.protections)
        await self._generation.protections.close()
        await self.spool.close()
        self.out_of_order = self.spool.out_of_order()
        _release(self._lock)
        self.log("ended")


async def _submit(daemon: Daemon, own: Composed) -> None:
    """Put a report of message authentication into the queue."""
    await submit_own(daemon._generation.local_policy, own, "dmarc")


def _pickup_of(daemon: Daemon) -> Pickup:
    """The way of files in the maildrop into the queue."""

    async def accepted(file: DropFile, name: str) -> Taken:
        policy = daemon._generation.local_policy
        return Taken(later="the daemon starts") if policy is None else await accept(policy, file, name)

    where = daemon.config.maildrop or os.path.join(daemon.config.data_dir, MAILDROP)
    keys = os.path.join(daemon.config.data_dir, KEYS)
    return Pickup(where, keys, accepted, queries=daemon.spool.queries, clock=daemon.clock, log=daemon.log)


def _release(lock: DataDirLock | None) -> None:
    if lock is not None:
        lock.release()
