"""The supervisor: several worker processes that share the ports and, by lease, the spool of one configuration.

Each worker is a complete ``Daemon`` (listeners, relay, spool writer) on an event loop of its own.  The kernel spreads
the connections over the workers (SO_REUSEPORT), the spool's leases spread the deliveries, and nothing else is shared.
The parent reserves the ports, forks, and then only watches: a worker that ends is replaced, with a growing delay if it
ended within 10 s; SIGTERM is passed on and waited for.  Workers exit at once when the parent has gone, because the pipe
that they watch ends: killing the parent stops the whole daemon, and accepted mail is on stable storage.

With one worker there is no parent, and ``run`` only calls ``serve``.  Forking happens before any thread or loop exists.
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

from msgspec.structs import replace

from posthouse.core import PosthouseError, SettingError, StorageError
from posthouse.net import Endpoint, SystemClock
from posthouse.net.system import listening_socket, not_listening, reserved_socket
from posthouse.service.config.model import Config
from posthouse.service.daemon.daemon import DRAIN, Daemon
from posthouse.service.daemon.event_log import EventLog
from posthouse.service.daemon.serve import serve
from posthouse.spool.sqlite.storage.data_dir import DataDirLock

__all__ = ["Opened", "cores", "run"]

_Loop = Callable[[Coroutine[Any, Any, None]], object]

#: Seconds after which the end of a worker is no early crash; after an early crash the replacement waits.
_PROVED = 10.0
_LONGEST_PAUSE = 30.0
#: Seconds beyond their own draining time that workers may take before they are killed.
_REST = 5.0


class Opened(NamedTuple):
    """What ``ready`` is called with: the configuration, the address of each listener by its name, and the number of
    worker processes."""

    config: Config
    endpoints: dict[str, Endpoint]
    workers: int = 1


def cores() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(config: Config, *, loop: _Loop, ready: Callable[[Opened], object], drain: float = DRAIN) -> None:
    """Run the daemon until SIGTERM or SIGINT; returns when it has drained.

    ``loop`` runs a coroutine to its end (``asyncio.run``, or uvloop's).  ``ready`` is called once, when all listeners
    of all workers are open.  Raises ``SettingError`` or ``StorageError`` if the daemon cannot start.
    """
    workers = config.workers or cores()
    if workers == 1 or not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        loop(serve(config, ready=lambda daemon: ready(_opened(daemon)), drain=drain))
        return
    _Supervisor(config, workers, loop, drain).run(ready)


def _opened(daemon: Daemon) -> Opened:
    return Opened(daemon.config, daemon.endpoints)


class _WorkerProcess:
    """One worker process: its pid, the pipe that it writes to, and when it was started."""

    def __init__(self, number: int, pid: int, pipe: int) -> None:
        self.number = number
        self.pid = pid
        self.pipe = pipe
        self.started = time.monotonic()
        self.ready = False
        self.output = b""


class _Supervisor:
    def __init__(self, config: Config, workers: int, loop: _Loop, drain: float) -> None:
        self._config = config
        self._count = workers
        self._loop = loop
        self._drain = drain
        self._log = EventLog(SystemClock(), config.log.format)
        self._workers: dict[int, _WorkerProcess] = {}  # by pipe
        self._reserved: list[socket.socket] = []
        self._endpoints: dict[str, Endpoint] = {}
        self._replace_at: list[tuple[float, int]] = []  # (when, worker number)
        self._early_crashes = 0
        self._signals = 0
        self._lock: DataDirLock
        self._out_of_order = ""  # why a worker's spool stored nothing any more
        self._selector = selectors.DefaultSelector()
        # Held open here and watched by every child: it ends when this process ends.
        self._alive_read, self._alive_write = os.pipe()

    def run(self, ready: Callable[[Opened], object]) -> None:
        self._lock = DataDirLock(self._config.data_dir)
        try:
            self._run(ready)
        finally:
            self._lock.release()
        if self._out_of_order:
            raise StorageError(self._out_of_order)

    def _run(self, ready: Callable[[Opened], object]) -> None:
        self._reserve()
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        # The handlers only count; the loop of ``_watch`` acts when it reads the wake-up pipe.
        before = {number: signal.signal(number, self._count_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        wakeup_before = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(wake_read, selectors.EVENT_READ)
        try:
            for number in range(self._count):
                self._fork(number)
            self._watch(ready)
        finally:
            self._kill()
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            for descriptor in (wake_read, wake_write, self._alive_read, self._alive_write):
                os.close(descriptor)
            for reserved in self._reserved:
                reserved.close()

    def _count_signal(self, number: int, frame: object) -> None:
        self._signals += 1
        if self._signals > 1:
            self._kill()
            os._exit(128 + number)

    # -- ports -----------------------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Bind every address without listening: port 0 becomes a real port, and no other process gets it.

        Workers of one daemon may share a port, two daemons may not: so an ordinary socket must be able to listen there
        first.
        """
        listeners = []
        for listener in self._config.listener:
            at = listener.bind
            if not at.is_path:
                try:
                    if at.port:
                        listening_socket(at, 1, reuse_port=False).close()
                    reserved = reserved_socket(at)
                except OSError as error:
                    raise not_listening(error, at) from error
                self._reserved.append(reserved)
                at = Endpoint(at.host, reserved.getsockname()[1])
            self._endpoints[listener.name] = at
            share = -(-listener.max_connections // self._count)
            listeners.append(replace(listener, bind=at, max_connections=share))
        self._config = replace(self._config, listener=tuple(listeners))

    # -- children --------------------------------------------------------------------------------------------------

    def _fork(self, number: int) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.close(read)
                status = self._child(number, write)
            finally:
                os._exit(status)
        os.close(write)
        os.set_blocking(read, False)
        self._workers[read] = _WorkerProcess(number, pid, read)
        self._selector.register(read, selectors.EVENT_READ)

    def _child(self, number: int, pipe: int) -> int:
        """Run a worker in the child process; returns its exit code."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._alive_write)
        for reserved in self._reserved:
            reserved.close()
        listeners = [each for each in self._config.listener if number == 0 or not each.bind.is_path]
        config = replace(self._config, listener=tuple(listeners))
        try:
            self._loop(
                serve(
                    config,
                    ready=lambda _: os.write(pipe, b"ready\n"),
                    drain=self._drain,
                    parent=self._alive_read,
                    worker=number,
                )
            )
        except StorageError as error:
            os.write(pipe, f"storage failed: {error}\n".encode()[:4000])
            return 1
        except PosthouseError as error:
            os.write(pipe, f"failed {error}\n".encode()[:4000])
            return 1
        return 0

    def _watch(self, ready: Callable[[Opened], object]) -> None:
        ready_called = False
        draining_until = 0.0
        while self._workers or self._replace_at:
            if self._signals and not draining_until:
                draining_until = time.monotonic() + self._drain + _REST
                self._replace_at.clear()
                self._signal_all(signal.SIGTERM)
            now = time.monotonic()
            if draining_until and now > draining_until:
                return
            for _, number in [each for each in self._replace_at if each[0] <= now]:
                self._fork(number)
            self._replace_at = [each for each in self._replace_at if each[0] > now]
            moments = [each[0] for each in self._replace_at] + ([draining_until] if draining_until else [])
            for key, _ in self._selector.select(max(0.0, min(moments) - now) if moments else None):
                self._read(key.fd, draining=bool(draining_until), started=ready_called)
            if (
                not ready_called
                and len(self._workers) == self._count
                and all(each.ready for each in self._workers.values())
            ):
                ready_called = True
                ready(Opened(self._config, dict(self._endpoints), self._count))

    def _read(self, descriptor: int, *, draining: bool, started: bool) -> None:
        worker = self._workers.get(descriptor)
        try:
            data = os.read(descriptor, 8192)
        except BlockingIOError:
            return
        if worker is None:
            return  # the wake-up pipe: signals are counted by their handler
        if data:
            worker.output += data
            worker.ready = worker.ready or b"ready\n" in worker.output
            return
        self._selector.unregister(descriptor)
        os.close(descriptor)
        del self._workers[descriptor]
        _, status = os.waitpid(worker.pid, 0)
        output = worker.output.decode("utf-8", "replace")
        _, failed, why = output.partition("failed ")
        storage = output.partition("storage failed: ")[2].strip()
        if draining:
            self._out_of_order = self._out_of_order or storage
            return
        if storage and not started:
            raise StorageError(storage)
        if failed and not started:
            raise SettingError(why.strip())
        self._replace(worker, status, storage or why.strip())

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
        self._log("worker died", worker=worker.number, pid=worker.pid, reason=how, again_in=pause)
        self._replace_at.append((time.monotonic() + pause, worker.number))

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
        self._workers.clear()
