"""Pools of connections: ``Pool`` for threads, ``AsyncPool`` for asyncio, over one engine without I/O."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.sending.pool.async_pool import AsyncPool
    from posthouse.sending.pool.blocking_pool import Pool
    from posthouse.sending.pool.pool_engine import PoolStatus
    from posthouse.sending.pool.progress import Progress
    from posthouse.sending.pool.send_many import SendManyOptions

__all__ = ["AsyncPool", "Pool", "PoolStatus", "Progress", "SendManyOptions"]

__getattr__ = lazily(
    __name__,
    {
        "async_pool": "AsyncPool",
        "pool_engine": "PoolStatus",
        "progress": "Progress",
        "send_many": "SendManyOptions",
        "blocking_pool": "Pool",
    },
)
