"""File descriptors of a daemon: as many as its settings may need, or fewer sessions.

Without descriptors a listener cannot even refuse a connection, and asyncio's loop and uvloop do not say so.  So the
limit is raised at the start.  Where the system does not allow that, fewer sessions are accepted than are configured,
and a line of the log says how many and what to change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from posthouse.net.descriptors import exhausted
from posthouse.service.config.model import Config

__all__ = ["DescriptorWatch", "OUT_OF_DESCRIPTORS", "fitted", "wanted"]

OUT_OF_DESCRIPTORS: Final = (
    "this process has no file descriptor left, and new connections cannot be accepted; raise its limit of open files "
    "(LimitNOFILE= in systemd, ulimit -n), or lower max_connections and concurrency"
)
#: Descriptors for the spool, the log, the control socket, the DNS.
_OTHERS: Final = 100
#: Sockets for each attempt: up to twice as many more wait for hosts that do not answer.
_FOR_AN_ATTEMPT: Final = 3
#: Sessions that are accepted however low the limit is.
_LEAST_SESSIONS: Final = 16


def wanted(config: Config) -> int:
    """The descriptors that the daemon of this configuration can use: a socket and a file of content for each session
    and each attempt."""
    sessions = sum(each.max_connections for each in config.listener)
    return 2 * sessions + (_FOR_AN_ATTEMPT + 1) * config.relay.concurrency + _OTHERS


def fitted(config: Config, limit: int) -> tuple[Config, str]:
    """The configuration with no more sessions than ``limit`` descriptors allow, and a sentence about it, or ""."""
    sessions = sum(each.max_connections for each in config.listener)
    allowed = max(_LEAST_SESSIONS, limit - _OTHERS - _FOR_AN_ATTEMPT * config.relay.concurrency)
    if sessions <= allowed:
        return config, ""
    listeners = tuple(
        replace(each, max_connections=max(1, each.max_connections * allowed // sessions)) for each in config.listener
    )
    why = (
        f"this process may open {limit:,} files only, so its listeners accept {allowed:,} sessions instead of "
        f"{sessions:,}; raise the limit of open files to {wanted(config):,} (LimitNOFILE= in systemd, ulimit -n), or "
        "lower max_connections and concurrency"
    )
    return replace(config, listener=listeners), why


class DescriptorWatch:
    """Says, at most once a minute, that no descriptor is left; called every few seconds while sessions are open."""

    def __init__(self, say: Callable[[str], object], monotonic: Callable[[], float]) -> None:
        self._say = say
        self._monotonic = monotonic
        self._written: float | None = None

    def __call__(self) -> None:
        now = self._monotonic()
        if self._written is not None and now - self._written < 60.0:
            return
        if exhausted():
            self._written = now
            self._say(OUT_OF_DESCRIPTORS)
