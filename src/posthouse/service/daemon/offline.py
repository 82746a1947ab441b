"""The context of operations without a daemon: the spool is opened for each operation.

Reading a queue or a history needs a few tables; building a ``Daemon`` for it took longer than the rest of the command.
So a ``Daemon`` is made (and never started) only for an operation that asks for its routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from posthouse.net import SystemClock
from posthouse.service.config.model import Config
from posthouse.service.operations.base import Context, RoutingContext, user_name
from posthouse.spool import Spool, SqliteSpool

__all__ = ["KeptReader", "context"]


def context(config: Config, config_file: str = "") -> Context:
    """The context of a configuration whose daemon does not run.

    An operation that changes the spool opens it as one more process beside others.
    """
    clock = SystemClock()

    def opening(make: Callable[[], Spool]) -> Callable[[], AbstractAsyncContextManager[Spool]]:
        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Spool]:
            spool = make()
            await spool.open(clock.time())
            try:
                yield spool
            finally:
                await spool.close()

        return opened

    def read_only() -> Spool:
        return SqliteSpool.read_only(config.data_dir)

    def existing() -> Spool:
        if not os.path.isdir(os.path.join(config.data_dir, "spool")):
            return read_only()  # raises that there is none; a spool is not created
        from posthouse.service.daemon.config_parts import spool_of

        return spool_of(config, owned=False)

    @functools.cache
    def routing() -> RoutingContext:
        from posthouse.service.daemon.daemon import Daemon

        return Daemon(config).routing()

    return Context(
        config=config,
        clock=clock,
        spool=opening(read_only),
        writable_spool=opening(existing),
        routing=routing,
        who=user_name(os.getuid()),
        config_file=config_file,
    )


class KeptReader:
    """A context over a read-only connection to the spool that stays open, for many questions of one process.

    The spool is opened at the first question, because the daemon may still be making it.

    Args:
        config: the daemon's configuration.
        config_file: the file that it was read from, "" without one.
    """

    def __init__(self, config: Config, config_file: str = "") -> None:
        self.config = config
        self.clock = SystemClock()
        self._base = context(config, config_file)
        self._spool: SqliteSpool | None = None
        self._lock = asyncio.Lock()

    def context(self, who: str) -> Context:
        """The context of operations that ``who`` asks for, and that only read."""
        return self._base._replace(spool=self._opened, who=who)

    async def spool(self) -> Spool:
        """The spool, opened.  Raises ``SettingError`` or ``StorageError`` while it cannot be opened."""
        async with self._lock:
            if self._spool is None:
                spool = SqliteSpool.read_only(self.config.data_dir)
                await spool.open(self.clock.time())
                self._spool = spool
            return self._spool

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Spool]:
        yield await self.spool()

    async def close(self) -> None:
        """Close the spool."""
        async with self._lock:
            if self._spool is not None:
                await self._spool.close()
                self._spool = None
