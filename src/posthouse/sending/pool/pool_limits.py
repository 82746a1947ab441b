"""Limits of a connection pool, as the caller writes them: ``"60s"``, ``"10min"``, ``"20/s"``."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, NamedTuple

from posthouse.core import LocalError
from posthouse.core.units import read_duration

__all__ = ["Duration", "PoolLimits", "Rate", "is_number", "read_limits", "read_seconds"]

#: A length of time: seconds, ``timedelta``, or text as ``core.units`` reads it (``"90s"``, ``"10min"``, ``"1h30m"``).
Duration = float | str | timedelta

_RATE: Final = re.compile(r"([0-9]{1,6})\s?/\s?([0-9.]*[a-z]+)")
_MOST_CONNECTIONS: Final = 1_000
_MOST_IN_A_PERIOD: Final = 100_000


class Rate(NamedTuple):
    """At most ``messages`` in any stretch of ``seconds``."""

    messages: int
    seconds: float


class PoolLimits(NamedTuple):
    """What a pool allows itself.

    Args:
        size: Connections at one time.
        idle: Seconds for which a connection without work is kept.
        max_age: Seconds after which a connection is not used again, varied by 10 % either way, so that connections
            which were opened together do not end together.
        messages: Messages that one connection carries.
        rate: The most messages in a period; None for no limit.
    """

    size: int = 5
    idle: float = 60.0
    max_age: float = 600.0
    messages: int = 100
    rate: Rate | None = None


def read_limits(
    size: int, idle: Duration, max_age: Duration | None, messages: int | None, rate: str | None
) -> PoolLimits:
    """The limits of a pool from its arguments; None means no limit.  Raises ``LocalError``, which names the
    argument."""
    if not is_number(size) or not 1 <= size <= _MOST_CONNECTIONS:
        raise LocalError(f"size={size!r}: a pool has 1 to {_MOST_CONNECTIONS:,} connections")
    if messages is not None and not (is_number(messages) and messages >= 1):
        raise LocalError(f"messages={messages!r}: a connection carries at least 1 message")
    return PoolLimits(
        size,
        read_seconds(idle, "idle"),
        math.inf if max_age is None else read_seconds(max_age, "max_age"),
        2**62 if messages is None else messages,
        None if rate is None else _read_rate(rate),
    )


def is_number(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def read_seconds(value: Duration, name: str) -> float:
    """A length of time in seconds, 0 or more.  Raises ``LocalError``, which names the argument."""
    try:
        if isinstance(value, bool):
            raise TypeError
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, str):
            seconds = read_duration(value.strip().replace("min", "m"))
        else:
            seconds = float(value)
    except (TypeError, ValueError):
        raise LocalError(f'{name}={value!r} is no length of time; write seconds, or text like "90s", "10min"') from None
    if not seconds >= 0:  # refuses NaN too
        raise LocalError(f"{name}={value!r}: a length of time is 0 or more")
    return seconds


def _read_rate(text: str) -> Rate:
    match = _RATE.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if match is not None:
        number, period = int(match[1]), match[2].replace("min", "m")
        try:
            seconds = read_duration(period if period[0].isdigit() else f"1{period}")
        except ValueError:
            seconds = 0.0
        if seconds > 0 and 1 <= number <= _MOST_IN_A_PERIOD:
            return Rate(number, seconds)
    raise LocalError(
        f'rate={text!r} is no rate; write messages and a period, like "20/s", "100/min" or "500/1h" '
        f"(1 to {_MOST_IN_A_PERIOD:,} messages)"
    )
