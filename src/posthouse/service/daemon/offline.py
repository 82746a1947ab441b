"""What operations work on where no daemon can be asked: the spool itself, and a house only for what needs one.

Listing a queue, or telling a message's story, needs a few tables; building a house for it took longer than the rest of
the command.  So the spool is opened for each operation, and the house is made (never started) when it is asked which
way mail would go, or what senders would be told.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from posthouse.net import SystemClock
from posthouse.service.config.model import Config
from posthouse.service.control.server import user_name
from posthouse.service.operations.base import Context, RoutingContext
from posthouse.spool import Spool, SqliteSpool

__all__ = ["context"]


def context(config: Config) -> Context:
    """What the operations of ``operations.registry`` work on: the spool of ``config.config_file``, opened for each, to
    look at or, as one more process on it, to change."""
    clock = SystemClock()

    def opening(make: Callable[[], Spool]) -> Callable[[], AbstractAsyncContextManager[Spool]]:
        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Spool]:
            queue = make()
            await queue.open(clock.time())
            try:
                yield queue
            finally:
                await queue.close()

        return opened

    def looking() -> Spool:
        return SqliteSpool.read_only(config.data_dir)

    def existing() -> Spool:
        if not os.path.isdir(os.path.join(config.data_dir, "spool")):
            return looking()  # which says that there is none; nothing is made
        from posthouse.service.daemon.daemon import spool_of

        return spool_of(config)

    @functools.cache
    def ways() -> RoutingContext:
        from posthouse.service.daemon.daemon import Daemon

        return Daemon(config).ways()

    return Context(
        config=config,
        clock=clock,
        queue=opening(looking),
        changing=opening(existing),
        ways=ways,
        who=user_name(os.getuid()),
    )
