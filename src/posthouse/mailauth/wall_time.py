"""Time of day for signatures: the default of every ``now``."""

from __future__ import annotations

from time import time

__all__ = ["seconds_now"]


def seconds_now(now: float | None = None) -> int:
    """Seconds since 1970: ``now`` if it is given, else the system's time.

    Raises:
        TypeError: ``now`` is no number.
        ValueError: ``now`` is before 1970, or has more than the 12 digits that signatures have room for.
    """
    if now is None:
        return int(time())
    if not isinstance(now, (int, float)):
        raise TypeError(f"now is a number of seconds since 1970, not {type(now).__name__}; a datetime has timestamp()")
    if not 0 <= now < 1e12:
        raise ValueError(f"now is a number of seconds since 1970, 0 or more, and {now} is none")
    return int(now)
