"""The supervisor: several worker processes that share the ports and, by lease, the spool of one configuration.

Each worker is a complete ``Daemon`` (listeners, relay, spool writer) on an event loop of its own.  The parent opens one
listening socket for each worker at each address (SO_REUSEPORT), so the kernel spreads the connections over the workers;
the spool's leases spread the deliveries.  Limits on clients are counted in memory that all share
(``policy.shared_counts``), and nothing else is shared.  The parent forks, and then only watches:

* A worker that ends is replaced, with a growing delay if it ended within 10 s.  Its end is asked of the kernel
  (``waitpid`` at each SIGCHLD), so a child of the worker that keeps its pipe open hides nothing.
* A worker that has not been heard for 5 s hangs.  The others accept its connections, also those that wait already,
  until it is heard again; after 60 s it is killed and replaced, also while it starts.  The connections of a dead worker
  are accepted by the others until its replacement is ready.
* SIGTERM is passed on and waited for; SIGHUP begins a ``rollout`` of the configuration.

Workers exit at once when the parent has gone, because the pipe that they read ends: killing the parent stops the whole
daemon, and accepted mail is on stable storage.

With one worker there is no parent, and ``run`` only calls ``serve``.  Forking happens before any thread or loop exists.

Over budget: one loop watches signals, workers and pipes, and what each of them asks for stands beside it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from posthouse.core import PosthouseError, SettingError, StorageError
from posthouse.net import Endpoint, SystemClock
from posthouse.service.config.config_error import ConfigError
from posthouse.service.config.model import Config
from posthouse.service.control.wire import error_of, kind_of
from posthouse.service.daemon.daemon import DRAIN, Daemon
from posthouse.service.daemon.event_log import EventLog
from posthouse.service.daemon.parent import (
    BEAT,
    ParentLink,
    config_of,
    decoded_outcome,
    encoded_outcome,
    send_change,
)
from posthouse.service.daemon.protection import certificates_of
from posthouse.service.daemon.reloading import ConfigSource
from posthouse.service.daemon.rollout import Rollouts
from posthouse.service.daemon.serve import REST, Resources, serve
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.service.process import signals
from posthouse.service.process.activation import InheritedSockets
from posthouse.service.process.console_process import ConsoleProcess
from posthouse.service.process.notify import ServiceManager
from posthouse.service.process.ports import Ports
from posthouse.service.process.privileges import become, give_data_dir, identity_of
from posthouse.spool.sqlite.storage.data_dir import DataDirLock

__all__ = ["ConsoleProgram", "Opened", "cores", "run"]

_Loop = Callable[[Coroutine[Any, Any, None]], object]

#: Seconds after which the end of a worker is no early crash; after an early crash the replacement waits.
_PROVED = 10.0
_LONGEST_PAUSE = 30.0
#: Seconds without a beat after which a worker hangs, and after which it is killed.
_HANGS = 5 * BEAT
_KILLED = 60 * BEAT
#: Seconds for the workers to write their logs when a second signal ends everything.
_LAST_LINES = 0.25
#: Seconds between two looks at the files of certificates.
_LOOK_AGAIN = 60.0
#: Connections that wait in one listening socket until they are accepted.
_BACKLOG = 512


class ConsoleProgram(NamedTuple):
    """The program of the web console: its function as ``module:function``, and how many ports behind the configured one
    are tried if that is taken."""

    target: str
    spare_ports: int = 0


class Opened(NamedTuple):
    """What ``ready`` is called with: the configuration, the address of each listener by its name, the number of worker
    processes, and the address of the web console, "" without one."""

    config: Config
    endpoints: dict[str, Endpoint]
    workers: int = 1
    console: str = ""


def cores() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    config: Config,
    *,
    loop: _Loop,
    ready: Callable[[Opened], object],
    drain: float = DRAIN,
    source: ConfigSource | None = None,
    console: ConsoleProgram | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; returns when it has drained.

    ``loop`` runs a coroutine to its end (``asyncio.run``, or uvloop's).  ``ready`` is called once, when all listeners
    of all workers are open.  ``source`` is where the configuration is read again.  ``console`` is the program of the
    web console, where there is one.  Raises ``SettingError`` or ``StorageError`` if the daemon cannot start.
    """
    workers = config.workers or cores()
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        workers = 1
    manager = ServiceManager()
    log = EventLog(SystemClock(), config.log.format)
    try:
        resources = _resources(config, workers, log, console)
    except SettingError as error:
        if isinstance(error, ConfigError) or isinstance(error.__cause__, OSError):
            raise
        raise ConfigError([error]) from None  # such as user, or the name of a listener
    try:
        if workers > 1:
            _Supervisor(config, workers, loop, drain, resources, source, log, manager).run(ready)
            return

        def opened(daemon: Daemon) -> None:
            ready(Opened(daemon.config, daemon.endpoints, console=resources.console_address))

        given = {"resources": resources, "source": source, "manager": manager}
        loop(serve(config, ready=opened, drain=drain, ends_process=True, **given))  # type: ignore[arg-type]
    finally:
        resources.ports.close()
        if resources.console is not None:
            resources.console.stop()
        if resources.lock is not None:
            resources.lock.release()


def _resources(config: Config, workers: int, log: EventLog, program: ConsoleProgram | None) -> Resources:
    """Take what the daemon needs, as root where the process is root, and become the configured user."""
    identity = identity_of(config.user, config.group)
    inherited = InheritedSockets.of_this_process()
    if identity is not None:
        give_data_dir(config.data_dir, identity)
    lock = DataDirLock(config.data_dir)
    ports = Ports(workers, inherited=inherited, warn=lambda text: log("listener", text=text))
    console = None
    if program is not None and config.console.enabled:
        console = ConsoleProcess(program.target, log, spare_ports=program.spare_ports)
    try:
        ports.open(config)
        if console is not None:
            console.open(config)
        certificates = {}
        if identity is not None:
            certificates = certificates_of(config, log, own=False)
            become(identity)
        if workers > 1:  # a worker that is started later serves these, as the others do
            certificates |= certificates_of(config, log, named=identity is None)
    except BaseException:
        ports.close()
        if console is not None:
            console.stop()
        lock.release()
        raise
    return Resources(ports, lock, certificates, console)


class _WorkerProcess:
    """One worker process: its pid, the pipes from it and to it, when it was started and when it was last heard."""

    def __init__(self, number: int, pid: int, status: int, orders: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.status = status
        self.orders = orders
        self.line = b""  # its beginning
        self.started = self.heard = time.monotonic()
        self.open = True
        self.ready = False
        self.drains = False
        self.hangs = False
        self.killed = False
        self.output = b""

    def close(self) -> None:
        os.close(self.status)
        self.orders.close()


def _runs(pid: int) -> bool:
    """Whether a child has not ended; one that has stays to be waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


class _Supervisor:
    def __init__(
        self,
        config: Config,
        workers: int,
        loop: _Loop,
        drain: float,
        resources: Resources,
        source: ConfigSource | None,
        log: EventLog,
        manager: ServiceManager,
    ) -> None:
        self._config = config
        self._count = workers
        self._loop = loop
        self._source = source
        self._drain = drain
        self._log = log
        self._manager = manager
        self._resources = resources
        self._workers: dict[int, _WorkerProcess] = {}  # by number
        self._counts = SharedCounts(workers)
        self._ports = resources.ports
        self._console = resources.console
        self._rollouts = Rollouts(
            source,
            config,
            self._ports,
            self._log,
            prepare=self._prepare,
            switch=self._switch,
            abandon=lambda number: self._order(f"abandon {number}"),
            manager=manager,
        )
        self._certificates = resources.certificates or {}
        self._looked = 0.0  # when the files of certificates were looked at
        self._replace_at: list[tuple[float, int]] = []  # (when, worker number)
        self._early_crashes = 0
        assert resources.lock is not None
        self._lock = resources.lock
        self._out_of_order = ""  # why a worker's spool stored nothing any more
        self._stop_signals = 0
        self._other_signals: list[int] = []
        self._terminal = signals.Terminal()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._ready: Callable[[Opened], object] | None = None
        self._draining_until = 0.0

    def run(self, ready: Callable[[Opened], object]) -> None:
        self._run(ready)
        if self._out_of_order:
            raise StorageError(self._out_of_order)

    def _run(self, ready: Callable[[Opened], object]) -> None:
        self._ready = ready
        wakeup_before = -1
        child_before = signal.getsignal(signal.SIGCHLD)
        try:
            self._config = self._ports.open(self._config)
            os.set_blocking(self._wake_read, False)
            os.set_blocking(self._wake_write, False)
            self._selector.register(self._wake_read, selectors.EVENT_READ)
            # The handlers only count; the loop of ``_watch`` acts when it reads the wake-up pipe.
            with signals.handled(self._stop_signal, self._other_signals.append):
                wakeup_before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
                signal.signal(signal.SIGCHLD, lambda number, frame: None)
                for number in range(self._count):
                    self._fork(number)
                if self._console is not None:
                    self._console.start("" if self._source is None else self._source.file)
                self._watch()
        finally:
            self._kill()
            signal.set_wakeup_fd(wakeup_before)
            signal.signal(signal.SIGCHLD, child_before)
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._ports.close()

    def _stop_signal(self, number: int) -> None:
        self._stop_signals += 1
        if self._stop_signals > 1:
            self._log("ended", reason="a second signal")
            self._log.flush()
            self._let_end()
            self._kill()
            os._exit(128 + number)

    def _let_end(self) -> None:
        """Give the workers a moment to write their logs and end, as they do when the parent has gone."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):
                worker.orders.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + _LAST_LINES
        while any(_runs(worker.pid) for worker in self._workers.values()) and time.monotonic() < end:
            time.sleep(0.005)

    # -- children --------------------------------------------------------------------------------------------------

    def _fork(self, number: int) -> None:
        status_read, status_write = os.pipe()
        orders, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.close(status_read)
                orders.close()
                code = self._child(number, status_write, theirs)
            finally:
                os._exit(code)
        os.close(status_write)
        theirs.close()
        os.set_blocking(status_read, False)
        orders.setblocking(False)
        self._workers[number] = _WorkerProcess(number, pid, status_read, orders)
        self._selector.register(status_read, selectors.EVENT_READ)

    def _child(self, number: int, status: int, orders: socket.socket) -> int:
        """Run a worker in the child process; returns its exit code."""
        signals.reset()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, lambda number, frame: None)  # Ctrl-C reaches the whole group; the parent decides
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        for other in self._workers.values():
            other.close()
        self._workers.clear()
        link = ParentLink(number, self._ports.sockets, status, orders, self._counts)
        if self._console is not None:
            self._console.leave_to_parent()
        # The lock and the console are the parent's.
        own = self._resources._replace(lock=None, console=None, certificates=self._certificates)
        try:
            config, given = config_of(number, self._config), {"resources": own, "source": self._source}
            self._loop(serve(config, drain=self._drain, parent=link, ends_process=True, **given))  # type: ignore[arg-type]
        except PosthouseError as error:
            link.failed(f"failed {kind_of(error)} {error}\n")
            return 1
        return 0

    # -- the watch -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while self._workers or self._replace_at:
            if self._stop_signals and not self._draining_until:
                self._drain_all()
            self._tell_signals()
            now = time.monotonic()
            if self._draining_until and now > self._draining_until:
                return
            self._rollouts.step(range(self._count), self._not_up())
            if not self._rollouts.under_way:
                due = [number for at, number in self._replace_at if at <= now]
                if due or now - self._looked >= _LOOK_AGAIN:
                    self._look_at_certificates(now)
                for number in due:
                    self._fork(number)
                self._replace_at = [each for each in self._replace_at if each[0] > now]
            moments = [each[0] for each in self._replace_at]
            if self._draining_until:
                moments.append(self._draining_until)
            pause = min([self._manager.pause(BEAT), *(moment - now for moment in moments)])
            for key, _ in self._selector.select(max(0.0, pause)):
                self._read(key.fd)
            self._reap()
            self._look_for_hanging()
            if self._console is not None:
                self._console.look()
            self._log.flush()
            self._manager.alive()
            if (
                self._ready is not None
                and len(self._workers) == self._count
                and all(each.ready for each in self._workers.values())
            ):
                ready, self._ready = self._ready, None
                self._manager.ready()
                ready(
                    Opened(
                        self._config,
                        {each.name: each.bind for each in self._config.listener},
                        self._count,
                        self._resources.console_address,
                    )
                )

    def _drain_all(self) -> None:
        self._draining_until = time.monotonic() + self._drain + REST
        self._replace_at.clear()
        self._manager.stopping()
        self._ports.close()
        self._rollouts.stop()
        if self._console is not None:
            self._console.ask_to_stop()
        self._signal_all(signal.SIGTERM)

    def _tell_signals(self) -> None:
        while self._other_signals:
            number = self._other_signals.pop(0)
            name = signals.signal_name(number)
            if name == "SIGHUP" and self._terminal.gone():
                self._log("signal", name=name, text="the terminal was closed")
                if not self._stop_signals:
                    self._stop_signals = 1
                    self._drain_all()
            else:
                self._log("signal", name=name, text=signals.meaning(number))
                if name == "SIGHUP" and not self._draining_until:
                    self._rollouts.ask("SIGHUP", lambda outcome: None)

    # -- changes of the configuration --

    def _not_up(self) -> str:
        """Why not every worker can take a change of the configuration now, or ""."""
        for number in range(self._count):
            worker = self._workers.get(number)
            if worker is None or not worker.ready:
                return f"worker {number} is being started"
            if worker.hangs or worker.drains:
                return f"worker {number} {'hangs' if worker.hangs else 'is stopping'}"
        return ""

    def _prepare(self, number: int, config: Config) -> None:
        for worker in self._workers.values():
            send_change(worker.orders, number, config, self._ports.fresh())

    def _switch(self, number: int, config: Config) -> None:
        self._config = config
        self._order(f"switch {number}")
        with contextlib.suppress(SettingError):  # the workers have loaded them
            self._certificates = certificates_of(config, self._log, self._certificates)
        if self._console is not None:
            self._console.update(config)

    def _look_at_certificates(self, now: float) -> None:
        """Keep the newest certificates that could be used: a worker that is started while a renewal is half done, or
        broken, serves these as the others do."""
        self._looked = now
        for each in self._certificates.values():
            each.reload()

    def _read(self, descriptor: int) -> None:
        if descriptor == self._wake_read:  # signals are counted by their handlers
            with contextlib.suppress(BlockingIOError):
                while os.read(descriptor, 4096):
                    pass
            return
        worker = next((each for each in self._workers.values() if each.open and each.status == descriptor), None)
        if worker is not None:
            self._hear(worker)

    def _hear(self, worker: _WorkerProcess) -> None:
        """Read what a worker has written."""
        try:
            data = os.read(worker.status, 65_536)
        except BlockingIOError:
            return
        if not data:  # closed, or the end of the process, of which the kernel tells
            worker.open = False
            self._selector.unregister(worker.status)
            return
        worker.heard = time.monotonic()
        *lines, worker.line = (worker.line + data).split(b"\n")
        for line in lines:
            if line != b".":  # a beat
                self._take_line(worker, line)

    def _take_line(self, worker: _WorkerProcess, line: bytes) -> None:
        """Take one line of a worker."""
        verb, _, what = line.decode("utf-8", "replace").partition(" ")
        number, _, rest = what.partition(" ")
        if verb == "ready" and not worker.ready:
            worker.ready = True
            self._order(f"leave {worker.number}")
            for each in range(self._count):
                other = self._workers.get(each)
                if other is None or other.hangs or other.drains:
                    self._order(f"take {each}", worker)
        elif verb == "draining" and not worker.drains and not self._draining_until:
            worker.drains = True
            self._order(f"take {worker.number}")
        elif verb == "prepared":
            self._rollouts.prepared(worker.number, int(number))
        elif verb == "refused":
            self._rollouts.refused(int(number), decoded_outcome(rest))
        elif verb == "reload":
            self._rollouts.ask(
                rest, lambda outcome: self._order(f"reloaded {number} {encoded_outcome(outcome)}", worker)
            )
        else:
            worker.output = (worker.output + line + b"\n")[-8192:]

    def _reap(self) -> None:
        """Notice the workers that have ended."""
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            while worker.open:
                before = worker.output, worker.heard
                self._hear(worker)
                if worker.open and before == (worker.output, worker.heard):
                    self._selector.unregister(worker.status)
                    break
            worker.close()
            del self._workers[worker.number]
            self._rollouts.worker_ended(worker.number)
            self._counts.worker_died(worker.number)
            _, failed, why = worker.output.decode("utf-8", "replace").partition("failed ")
            kind, _, why = why.partition(" ")
            why = why.strip()
            if self._draining_until:
                if failed and isinstance(error_of(kind, why), StorageError):
                    self._out_of_order = self._out_of_order or why
                continue
            if failed and self._ready is not None:
                raise error_of(kind, why)
            self._replace(worker, status, why)

    def _replace(self, worker: _WorkerProcess, status: int, why: str) -> None:
        lived = time.monotonic() - worker.started
        self._early_crashes = 0 if lived >= _PROVED else self._early_crashes + 1
        pause = min(_LONGEST_PAUSE, 0.5 * 2.0 ** (self._early_crashes - 1)) if self._early_crashes else 0.0
        code = os.waitstatus_to_exitcode(status)
        if not self._lock.in_place:
            where = self._config.data_dir
            self._out_of_order = f"{where} was replaced while the daemon ran; no worker is started there"
            self._log("fault", reason=self._out_of_order)
            return
        how = why or (f"signal {-code}" if code < 0 else f"exit code {code}")
        if worker.killed:
            how = f"killed, because it had not been heard for {_KILLED:g} s"
        self._log("worker died", worker=worker.number, pid=worker.pid, reason=how, again_in=pause)
        self._order(f"take {worker.number}")
        self._replace_at.append((time.monotonic() + pause, worker.number))

    def _look_for_hanging(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            silent = now - worker.heard
            if self._draining_until:
                continue
            if silent >= _KILLED and not worker.killed:
                worker.killed = True
                os.kill(worker.pid, signal.SIGKILL)
            elif not worker.ready:
                continue
            elif silent >= _HANGS and not worker.hangs:
                worker.hangs = True
                text = f"not heard for {_HANGS:g} s; others take its connections, and it is killed after {_KILLED:g} s"
                self._log("worker hangs", worker=worker.number, pid=worker.pid, text=text)
                self._order(f"take {worker.number}")
            elif silent < _HANGS and worker.hangs and not worker.killed:
                worker.hangs = False
                self._log("worker hangs", worker=worker.number, pid=worker.pid, text="it is heard again")
                self._order(f"leave {worker.number}")

    def _order(self, text: str, only: _WorkerProcess | None = None) -> None:
        """Tell all workers, or one; a worker whose pipe is full hangs, and is killed."""
        for worker in self._workers.values() if only is None else (only,):
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                worker.orders.send(f"{text}\n".encode())

    def _signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, number)

    def _kill(self) -> None:
        """Kill the workers that are left; accepted mail is on stable storage."""
        self._signal_all(signal.SIGKILL)
        for worker in self._workers.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
            worker.close()
        self._workers.clear()
