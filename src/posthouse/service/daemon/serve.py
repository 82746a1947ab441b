"""One process as the daemon: a ``Daemon`` runs until a signal asks it to stop.

Stopping is bounded.  The daemon drains in its time; if a function of the operator's own blocks the event loop, a thread
ends the process 5 s later.  What is left on the loop then is cancelled, and a task that ignores its cancellation is
left behind with the process.  All of that is safe: accepted mail is on stable storage.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from posthouse.core import EventSink, StorageError
from posthouse.net.descriptors import raise_limit
from posthouse.service.config.model import Config
from posthouse.service.daemon.daemon import DRAIN, Daemon
from posthouse.service.daemon.parent import ParentLink
from posthouse.service.daemon.protection import LoadedCertificates
from posthouse.service.daemon.reloading import ConfigSource, SingleProcess
from posthouse.service.process import forks
from posthouse.service.process.console_process import ConsoleProcess
from posthouse.service.process.descriptor_limit import fitted, wanted
from posthouse.service.process.notify import ServiceManager
from posthouse.service.process.ports import Ports
from posthouse.service.process.signals import Terminal, handled, meaning, signal_name
from posthouse.spool.sqlite.storage.data_dir import DataDirLock

__all__ = ["REST", "Resources", "serve"]

#: Seconds beyond its draining time that a daemon may take before it is ended.
REST: Final = 5.0
#: Seconds that sessions may take to finish when the spool has ended and their mail can only be refused.
_SOON: Final = 2.0
#: Seconds between two looks at the console's process.
_LOOK: Final = 1.0
#: Exit code of a daemon whose spool was out of order (EX_IOERR).
_FAILED: Final = 74
#: Seconds that tasks may take to be cancelled, and threads to end, after everything else has ended.
_LAST: Final = 2.0


class Resources(NamedTuple):
    """What a process has before its event loop: open ports, the lock on its data directory, certificates, and the
    console's process, which is not started."""

    ports: Ports
    lock: DataDirLock | None = None
    certificates: LoadedCertificates | None = None
    console: ConsoleProcess | None = None

    @property
    def console_address(self) -> str:
        """The address of the web console for a browser, "" without one."""
        return "" if self.console is None else self.console.address


async def serve(
    config: Config,
    *,
    ready: Callable[[Daemon], object] | None = None,
    drain: float = DRAIN,
    log: EventSink | Callable[..., object] | None = None,
    parent: ParentLink | None = None,
    resources: Resources | None = None,
    source: ConfigSource | None = None,
    manager: ServiceManager | None = None,
    ends_process: bool = False,
) -> None:
    """Run a daemon until SIGTERM, SIGINT or SIGQUIT, then drain it; a second signal ends the process at once.

    Args:
        ready: called when the listeners are open.
        drain: seconds that sessions and attempts may take to finish.
        parent: in a worker process, the link to its parent (``daemon.supervisor``), which stops it by SIGTERM; the
            worker ignores all other signals, and exits when the parent has gone.
        resources: what was opened and read before the event loop; without it, that is done here.
        source: where the configuration is read again.
        manager: the service manager that is told; without it, that of the environment.
        ends_process: whether the process ends with the daemon; then whatever still runs is ended as well.

    A daemon whose spool has ended by a fault of the program stops by itself, because another process can go on where
    this one can only refuse.

    Raises ``SettingError`` or ``StorageError`` as ``Daemon.start`` does, and ``StorageError`` at the end if the spool
    was out of order.
    """
    loop = asyncio.get_running_loop()
    link: ParentLink | SingleProcess
    if parent is not None:
        link = parent
    else:
        resources = Resources(Ports()) if resources is None else resources
        link = SingleProcess(resources.ports, config, source, ServiceManager() if manager is None else manager)
        config = resources.ports.open(config)
    try:
        file = "" if source is None else source.file
        await _serve(
            config, link, loop, resources, file=file, ready=ready, drain=drain, log=log, ends_process=ends_process
        )
    finally:
        link.close()
        loop.set_exception_handler(None)


async def _serve(
    config: Config,
    link: ParentLink | SingleProcess,
    loop: asyncio.AbstractEventLoop,
    resources: Resources | None,
    *,
    file: str,
    ready: Callable[[Daemon], object] | None,
    drain: float,
    log: EventSink | Callable[..., object] | None,
    ends_process: bool,
) -> None:
    config, problem = fitted(config, raise_limit(wanted(config)))
    single = isinstance(link, SingleProcess)
    daemon = Daemon(
        config,
        log=log,
        share_ports=not single,
        control=True,
        worker=link.number,
        listening=link.sockets,
        lock=None if resources is None else resources.lock,
        certificates=None if resources is None else resources.certificates,
        counts=link.counts,
    )
    if problem:
        daemon.log("fault", reason=problem)
    daemon.reload_on_request = link.reload
    daemon.config_file = file
    stop = _StopSignals(daemon, drain + REST if single and ends_process else None, link, ends_process)
    handlers = handled(stop.asked, stop.ignored) if single else handled(stop.only_by_parent, stop.unheard)
    loop.set_exception_handler(partial(_uncaught, daemon, stop))
    with _flushed(daemon.log), handlers, forks.watched(config.data_dir, lambda: daemon.endpoints.values()):
        link.watch(daemon)
        await daemon.start()
        if ends_process:
            _spare_what_stays()
        console = None if resources is None else resources.console
        watch = None if console is None else loop.create_task(_watch_console(console, file, daemon))
        if ready is not None:
            ready(daemon)
        link.ready()
        await stop.event.wait()
        link.draining()
        if console is not None and watch is not None:
            watch.cancel()
            console.ask_to_stop()
        await daemon.drain(min(drain, _SOON) if stop.spool_ended else drain)
        if console is not None:
            console.stop()
        if ends_process:
            await _end_the_rest(daemon.log, _FAILED if daemon.out_of_order else 0)
        if daemon.out_of_order:
            raise StorageError(daemon.out_of_order)


async def _watch_console(console: ConsoleProcess, file: str, daemon: Daemon) -> None:
    """Start the console's process, start it again if it ends, and when the configuration was read again."""
    console.start(file)
    config = daemon.config
    while True:
        await asyncio.sleep(_LOOK)
        if daemon.config is not config:
            config = daemon.config
            console.update(config)
        console.look()


@contextlib.contextmanager
def _flushed(log: EventSink) -> Iterator[None]:
    """Write what the log has gathered when the block ends, in whatever way."""
    try:
        yield
    finally:
        log.flush()


def _uncaught(daemon: Daemon, stop: _StopSignals, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    daemon.faults.write(reason=context["message"], error=context.get("exception"))
    if context.get("spool_ended"):
        stop.by_itself()


class _StopSignals:
    """The signals of one process: ``event`` is set by the first that stops the daemon.

    ``at_most`` are the seconds after which the process is ended then, even if its event loop is blocked.
    """

    def __init__(
        self, daemon: Daemon, at_most: float | None, link: ParentLink | SingleProcess, ends_process: bool
    ) -> None:
        self.event = asyncio.Event()
        self.spool_ended = False
        self._daemon = daemon
        self._at_most = at_most
        self._ends_process = ends_process
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._terminal = Terminal()
        self._stopping = False

    def asked(self, number: int) -> None:
        """A signal that stops the daemon."""
        if self._stopping:
            # Accepted mail is on stable storage, and the next start recovers the rest.  The log is written first.
            self._daemon.log("ended", reason="a second signal")
            self._daemon.log.flush()
            os._exit(128 + number)
        self._stopping = True
        if self._at_most is not None:
            _end_after(self._at_most, 70, self._daemon.log)
        self._loop.call_soon_threadsafe(self.event.set)

    def by_itself(self) -> None:
        """The spool has ended: the daemon stops, in less time than it is given by a signal."""
        if not self.event.is_set():
            self.spool_ended = True
            if self._ends_process:
                _end_after(_SOON + REST, _FAILED, self._daemon.log)
            self.event.set()

    def ignored(self, number: int) -> None:
        """Any other signal: it is logged.  SIGHUP reloads the configuration, or stops if the terminal has gone."""
        name = signal_name(number)
        closed = name == "SIGHUP" and self._terminal.gone()
        text = "the terminal was closed" if closed else meaning(number)
        self._loop.call_soon_threadsafe(lambda: self._daemon.log("signal", name=name, text=text))
        if closed:
            self.asked(number)
        elif name == "SIGHUP" and isinstance(self._link, SingleProcess):
            self._loop.call_soon_threadsafe(self._link.on_signal)

    def only_by_parent(self, number: int) -> None:
        """In a worker only SIGTERM stops: Ctrl-C reaches the whole group, and the parent decides."""
        if number == signal.SIGTERM:
            self.asked(number)

    def unheard(self, number: int) -> None:
        """In a worker the parent logs what is ignored."""


def _end_after(seconds: float, code: int, log: EventSink) -> None:
    """End the process in ``seconds``, even if the event loop is blocked then."""

    def end() -> None:
        log("ended", reason=f"the daemon had not stopped {seconds:g} s after it was asked to")
        log.flush()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # no thread can be started; a second signal still ends the process
        return


def _spare_what_stays() -> None:
    """Let the garbage collector pass over what lives as long as the process: modules, settings, the daemon itself.

    A message for 1,000 recipients makes thousands of objects, and each collection used to look through all modules for
    it: a seventh of the time of such messages.  The middle generation is small, because a collection stops all
    sessions: at ten times the youngest, as Python has it, one took 25 ms while 10,000 sessions were opened.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 3)


async def _end_the_rest(log: EventSink, code: int) -> None:
    """Cancel what still runs on the loop; end the process here, with this exit code, if something does not end."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=_LAST)
    if left:
        log("ended", reason=f"{len(left)} of the operator's own functions ignored their cancellation")
        log.flush()
        os._exit(code)
    timer = threading.Timer(_LAST, os._exit, (code,))  # threads that wait for a disk would be waited for
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        return
