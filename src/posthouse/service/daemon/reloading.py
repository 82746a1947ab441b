"""Reloading: the configuration is read again while the daemon runs, and put into force as a whole or not at all.

Everything that can fail is done first: the file is read and checked, new ports are opened, certificates and accounts
are read.  Only then is anything replaced.  One reload runs at a time; requests that come meanwhile are answered by one
more after it, because the file may have changed since it was read.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from posthouse.core import EventSink, PosthouseError, SettingError
from posthouse.net import Endpoint
from posthouse.net.descriptors import raise_limit
from posthouse.service.config.changes import changed_settings, in_force
from posthouse.service.config.config_error import ConfigError
from posthouse.service.config.model import Config
from posthouse.service.daemon.daemon import Daemon
from posthouse.service.operations.reload import ReloadReport
from posthouse.service.process.descriptor_limit import fitted, wanted
from posthouse.service.process.notify import ServiceManager
from posthouse.service.process.ports import Ports

__all__ = ["ConfigSource", "NewConfig", "SingleProcess", "log_outcome", "prepared", "read_again"]

#: Names of one kind that a log line has at most.
_NAMED = 20
_NO_FILE = "this daemon was started without a configuration file, so there is none to read again"


class ConfigSource(NamedTuple):
    """Where a daemon has its configuration from: the file's name, and the function that reads it (it raises
    ``SettingError``)."""

    file: str
    read: Callable[[], Config]


class NewConfig(NamedTuple):
    """A configuration that was read again, with the settings that cannot change as they are."""

    config: Config
    report: ReloadReport


def read_again(source: ConfigSource | None, running: Config) -> NewConfig:
    """The configuration of ``source``, compared with the running one.  Raises ``ConfigError``."""
    if source is None:
        missing = SettingError(_NO_FILE, remedy="restart it with --config FILE")
        raise ConfigError([missing]) from FileNotFoundError(_NO_FILE)
    config, waiting = in_force(running, source.read())
    return NewConfig(config, ReloadReport(source.file, list(changed_settings(running, config)), list(waiting)))


async def prepared(daemon: Daemon, config: Config) -> Any:
    """The generation of a configuration, loaded, with no more sessions than this process has descriptors for."""
    config, problem = fitted(config, raise_limit(wanted(config)))
    generation = await daemon.prepare(config)
    if problem:
        daemon.log("fault", reason=problem)
    return generation


def log_outcome(log: EventSink, who: str, outcome: ReloadReport | PosthouseError) -> None:
    """One line about a reload: what has changed, or why nothing has."""
    if isinstance(outcome, ReloadReport):
        log("reload", by=who, changed=_joined(outcome.changed) or "nothing", waiting=_joined(outcome.waiting))
    else:
        log("reload", by=who, reason=f"nothing was changed: {'; '.join(str(outcome).splitlines())}")


def _joined(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    text = ", ".join(names[:_NAMED])
    return f"{text}, and {more:,} more" if more > 0 else text


class SingleProcess:
    """The process around a daemon that has no parent: its ports, and the reloads of its configuration.

    ``ports`` are open, for ``running``, the configuration as it was written.
    """

    def __init__(self, ports: Ports, running: Config, source: ConfigSource | None, manager: ServiceManager) -> None:
        self._manager = manager
        self._timer: asyncio.TimerHandle | None = None
        self._daemon: Daemon | None = None
        self._ports = ports
        self._running = running
        self._source = source
        self._lock = asyncio.Lock()
        self._begun = asyncio.Event()
        self._next: asyncio.Task[ReloadReport] | None = None
        self._tasks: set[asyncio.Task[ReloadReport]] = set()

    number = 0
    counts = None

    @property
    def sockets(self) -> dict[Endpoint, socket.socket]:
        """The listening sockets."""
        return self._ports.sockets[0]

    def watch(self, daemon: Daemon) -> None:
        """Work for this daemon."""
        self._daemon = daemon

    def ready(self) -> None:
        """The daemon is up: from now on what was asked for is done."""
        self._begun.set()
        self._manager.ready()
        self._alive()

    def draining(self) -> None:
        """Let connections be refused."""
        self._manager.stopping()
        self._ports.close()

    def close(self) -> None:
        """Close the ports."""
        if self._timer is not None:
            self._timer.cancel()
        self._ports.close()

    def _alive(self) -> None:
        """Tell the watchdog that the event loop runs, as often as it wants to know."""
        if self._manager.watchdog:
            self._manager.alive()
            self._timer = asyncio.get_running_loop().call_later(self._manager.pause(60.0), self._alive)

    async def reload(self, who: str) -> ReloadReport:
        """Read the configuration again, for ``who``; raises what is wrong with it."""
        task = self._next
        if task is None:
            task = self._next = asyncio.get_running_loop().create_task(self._whole(who))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def on_signal(self) -> None:
        """Reload for SIGHUP; the log has the outcome."""
        future = asyncio.ensure_future(self.reload("SIGHUP"))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _done(self, task: asyncio.Task[ReloadReport]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its callers may have gone; the log has it

    async def _whole(self, who: str) -> ReloadReport:
        assert self._daemon is not None
        async with self._lock:
            await self._begun.wait()
            self._next = None  # what is asked for from now on is answered by a reading from now on
            self._manager.reloading()
            try:
                report = await self._change(self._daemon)
            except PosthouseError as error:
                log_outcome(self._daemon.log, who, error)
                raise
            finally:
                self._manager.ready()
            log_outcome(self._daemon.log, who, report)
            return report

    async def _change(self, daemon: Daemon) -> ReloadReport:
        config, report = await asyncio.to_thread(read_again, self._source, self._running)
        opened = self._ports.open(config)
        try:
            await daemon.switch(await prepared(daemon, opened))
        except BaseException:
            self._ports.undo()
            raise
        self._ports.keep(config)
        self._running = config
        return report
