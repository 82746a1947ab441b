"""The context of operations without a daemon: the spool is opened for each operation.

Reading a queue or a history needs a few tables; building a ``Daemon`` for it took longer than the rest of the command.
So a ``Daemon`` is made (and never started) only for an operation that asks for its routing.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from posthouse.net import SystemClock
from posthouse.service.config.model import Config
from posthouse.service.operations.base import Context, RoutingContext, user_name
from posthouse.spool import Spool, SqliteSpool

__all__ = ["context"]


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
        from posthouse.service.daemon.daemon import spool_of

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
