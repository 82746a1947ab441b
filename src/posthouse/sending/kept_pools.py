"""Pools of an application, kept for its life: one for each server that it sends to.

The way of sending is looked up at each message, so that a test, or a setting that changes, takes effect at once.
Messages for ``spool:``, ``memory:`` and ``file:`` need no connection, and go there directly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from posthouse.sending.transports import SCHEMES, scheme_of
from posthouse.sending.via import Via, default_via

if TYPE_CHECKING:
    from posthouse.sending.messages.message_forms import EnvelopeLike, MessageLike
    from posthouse.sending.pool import AsyncPool, Pool
    from posthouse.sending.results import SendResult

__all__ = ["AsyncKeptPools", "KeptPools"]

#: Pools of one application; the one that was used longest ago is closed for a further one.
_MOST: Final = 8


class KeptPools:
    """Pools that threads share.

    Args:
        via: A URL or another way of ``posthouse.send``, or a function that gives one at each message; None is what
            ``posthouse.send`` takes then.
        **options: Those of ``Pool``.
    """

    def __init__(self, via: Via | Callable[[], Via] | None = None, **options: Any) -> None:
        self._via = via
        self._options = options
        self._pools: dict[Via, Pool] = {}
        self._lock = threading.Lock()

    def send(
        self, message: MessageLike, *, via: Via | None = None, envelope: EnvelopeLike | None = None, **more: Any
    ) -> SendResult:
        """Send one message as ``posthouse.send`` does, over a connection that is kept; ``more`` are its options."""
        route = _now(self._via) if via is None else via
        if _needs_no_pool(route):
            from posthouse.sending.one_message import send

            return send(message, route, envelope=envelope, **more)
        return self._pool(route, more).send(message, envelope=envelope)

    def _pool(self, route: Via, more: dict[str, Any]) -> Pool:
        from posthouse.sending.pool import Pool

        old: Pool | None = None
        with self._lock:
            pool = self._pools.pop(route, None) or Pool(route, **{**self._options, **more})
            self._pools[route] = pool
            if len(self._pools) > _MOST:
                old = self._pools.pop(next(iter(self._pools)))
        if old is not None:
            old.close()
        return pool

    def close(self) -> None:
        """Close every pool: QUIT is said, and waited for at most 1 s.  The next message begins anew."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for each in pools:
            each.close()


class AsyncKeptPools:
    """Pools that the tasks of one event loop share; arguments as for ``KeptPools``."""

    def __init__(self, via: Via | Callable[[], Via] | None = None, **options: Any) -> None:
        self._via = via
        self._options = options
        self._pools: dict[Via, AsyncPool] = {}

    async def send(
        self, message: MessageLike, *, via: Via | None = None, envelope: EnvelopeLike | None = None
    ) -> SendResult:
        """Send one message as ``posthouse.asend`` does, over a connection that is kept."""
        route = _now(self._via) if via is None else via
        if _needs_no_pool(route):
            from posthouse.sending.one_message import asend

            return await asend(message, route, envelope=envelope)
        from posthouse.sending.pool import AsyncPool

        pool = self._pools.pop(route, None) or AsyncPool(route, **self._options)
        self._pools[route] = pool
        old = self._pools.pop(next(iter(self._pools))) if len(self._pools) > _MOST else None
        if old is not None:
            await old.close()
        return await pool.send(message, envelope=envelope)

    async def close(self) -> None:
        """Close every pool: QUIT is said, and waited for at most 1 s."""
        pools, self._pools = list(self._pools.values()), {}
        for each in pools:
            await each.close()


def _now(via: Via | Callable[[], Via] | None) -> Via:
    if via is None:
        return default_via()
    if callable(via) and not hasattr(via, "deliver"):
        return via()
    return via  # type: ignore[return-value]


def _needs_no_pool(route: Via) -> bool:
    return hasattr(route, "deliver") or (isinstance(route, str) and scheme_of(route) in SCHEMES)
