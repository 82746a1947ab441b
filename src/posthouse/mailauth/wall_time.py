"""Time of day for signatures: the default of every ``now``."""

from __future__ import annotations

from time import time

__all__ = ["seconds_now"]


def seconds_now(now: float | None = None) -> int:
    """Seconds since 1970: ``now`` if it is given, else the system's time."""
    return int(time() if now is None else now)
