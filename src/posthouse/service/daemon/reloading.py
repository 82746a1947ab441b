"""Reloading: the configuration is read again while the daemon runs, and put into force as a whole or not at all.

Everything that can fail is done first: the file is read and checked, new ports are opened, certificates and accounts
are read.  Only then is anything replaced.  One reload runs at a time; requests that come meanwhile are answered by one
more after it, because the file may have changed since it was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from posthouse.core import EventSink, PosthouseError, SettingError
from posthouse.net.descriptors import raise_limit
from posthouse.service.config.changes import changed_settings, in_force
from posthouse.service.config.model import Config
from posthouse.service.daemon.daemon import Daemon
from posthouse.service.daemon.descriptor_limit import fitted, wanted
from posthouse.service.operations.reload import ReloadReport
from posthouse.service.process.ports import Ports

__all__ = ["NO_FILE", "Change", "ConfigSource", "Reloader", "log_outcome", "prepared", "read_again"]

#: Names of one kind that a log line has at most.
_TOLD = 20
NO_FILE = "this daemon was started without a configuration file, so there is none to read again"


class ConfigSource(NamedTuple):
    """Where a daemon has its configuration from: the file's name, and the function that reads it (it raises
    ``SettingError``)."""

    file: str
    read: Callable[[], Config]


class Change(NamedTuple):
    """A configuration that was read again, with the settings that cannot change as they are."""

    config: Config
    report: ReloadReport


def read_again(source: ConfigSource | None, running: Config) -> Change:
    """The configuration of ``source``, compared with the running one.  Raises ``SettingError``."""
    if source is None:
        raise SettingError(NO_FILE, remedy="restart it with --config FILE")
    config, waiting = in_force(running, source.read())
    return Change(config, ReloadReport(source.file, list(changed_settings(running, config)), list(waiting)))


def prepared(daemon: Daemon, config: Config) -> Any:
    """The generation of a configuration, loaded, with no more sessions than this process has descriptors for."""
    config, problem = fitted(config, raise_limit(wanted(config)))
    generation = daemon.prepare(config)
    if problem:
        daemon.log("fault", reason=problem)
    return generation


def log_outcome(log: EventSink, who: str, outcome: ReloadReport | PosthouseError) -> None:
    """One line about a reload: what has changed, or why nothing has."""
    if isinstance(outcome, ReloadReport):
        log("reload", by=who, changed=_told(outcome.changed) or "nothing", waiting=_told(outcome.waiting))
    else:
        log("reload", by=who, reason=f"nothing was changed: {'; '.join(str(outcome).splitlines())}")


def _told(names: Sequence[str]) -> str:
    more = len(names) - _TOLD
    text = ", ".join(names[:_TOLD])
    return f"{text}, and {more:,} more" if more > 0 else text


class Reloader:
    """Reloads the configuration of a daemon that is one process."""

    def __init__(self, daemon: Daemon, ports: Ports, running: Config, source: ConfigSource | None) -> None:
        self._daemon = daemon
        self._ports = ports
        self._running = running
        self._source = source
        self._lock = asyncio.Lock()
        self._begun = asyncio.Event()
        self._next: asyncio.Task[ReloadReport] | None = None
        self._tasks: set[asyncio.Task[ReloadReport]] = set()

    def begin(self) -> None:
        """The daemon is up: from now on what was asked for is done."""
        self._begun.set()

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
        async with self._lock:
            await self._begun.wait()
            self._next = None  # what is asked for from now on is answered by a reading from now on
            try:
                report = await self._change()
            except PosthouseError as error:
                log_outcome(self._daemon.log, who, error)
                raise
            log_outcome(self._daemon.log, who, report)
            return report

    async def _change(self) -> ReloadReport:
        config, report = await asyncio.to_thread(read_again, self._source, self._running)
        opened = self._ports.open(config)
        try:
            await self._daemon.switch(prepared(self._daemon, opened))
        except BaseException:
            self._ports.undo()
            raise
        self._ports.keep(config)
        self._running = config
        return report
