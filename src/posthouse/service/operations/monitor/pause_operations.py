"""The operations on pauses: stop the attempts for a destination, until a time or until it is resumed."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.core.units import read_duration
from posthouse.protocol.grammar import GrammarError, domain_to_ascii
from posthouse.service.monitor.pauses import MOST_PAUSES, DestinationPause, read_pauses, write_pauses
from posthouse.service.operations.base import Context, Operation, Parameter

__all__ = ["PAUSE_OPERATIONS", "PausesReport"]

_LONGEST_WHY: Final = 500


class PausesReport(Struct, frozen=True, kw_only=True):
    """The destinations that are paused at ``now``."""

    now: float
    pauses: list[DestinationPause]


async def _pause(context: Context, destination: str, duration: str = "", why: str = "") -> PausesReport:
    name = _name(destination)
    now = context.clock.time()
    pauses = read_pauses(context.config.data_dir, now)
    if name not in pauses and len(pauses) >= MOST_PAUSES:
        raise SettingError(f"{MOST_PAUSES:,} destinations are paused", remedy="resume some, or hold their mail instead")
    if len(why) > _LONGEST_WHY:
        raise SettingError(f"the reason is longer than {_LONGEST_WHY} characters", remedy="make it shorter")
    until = None
    if duration:
        try:
            until = now + read_duration(duration)
        except ValueError:
            remedy = "write a number and a unit (s m h d w), as in 90s, 2h or 1d12h"
            raise SettingError(f'"{duration}" is no duration', remedy=remedy) from None
    pauses[name] = DestinationPause(destination=name, at=now, until=until, who=context.who, why=" ".join(why.split()))
    return await _in_force(context, pauses, now)


async def _resume(context: Context, destination: str) -> PausesReport:
    name = _name(destination)
    now = context.clock.time()
    pauses = read_pauses(context.config.data_dir, now)
    if pauses.pop(name, None) is None:
        named = f"paused are {', '.join(list(pauses)[:10])}" if pauses else "no destination is paused"
        raise SettingError(f"{name} is not paused", remedy=named)
    return await _in_force(context, pauses, now)


async def _in_force(context: Context, pauses: dict[str, DestinationPause], now: float) -> PausesReport:
    write_pauses(context.config.data_dir, pauses)
    if context.pauses is not None:
        context.pauses.load()
        if context.peers is not None:
            await context.peers(_PAUSED, {"again": True})
    return PausesReport(now=now, pauses=list(pauses.values()))


async def _paused(context: Context, again: bool = False) -> PausesReport:
    now = context.clock.time()
    if again and context.pauses is not None:
        context.pauses.load()
    pauses = read_pauses(context.config.data_dir, now)
    return PausesReport(now=now, pauses=sorted(pauses.values(), key=lambda each: each.destination))


def _name(destination: str) -> str:
    """The destination as the spool has it.  Raises ``SettingError``."""
    try:
        name = domain_to_ascii(destination.strip().removesuffix(".")).lower()
    except GrammarError:
        name = ""
    if not name or len(name) > 255 or any(sign in name for sign in " @*/:"):
        remedy = (
            "write one domain, such as example.org; to hold other choices of mail, use `posthouse queue hold FILTER`"
        )
        raise SettingError(f'"{destination[:60]}" is no destination', remedy=remedy)
    return name


_DESTINATION: Final = Parameter("destination", "The domain that the mail goes to.")
_PAUSED: Final = Operation(
    "queue paused",
    "Show the destinations that are paused.",
    _paused,
    PausesReport,
    (Parameter("again", "Whether the daemon reads its list of pauses again.", bool, False),),
    live=True,
)

#: The operations of this module.
PAUSE_OPERATIONS: Final = (
    Operation(
        "queue pause",
        "Make no attempts for a destination, until a time or until it is resumed; its mail waits.",
        _pause,
        PausesReport,
        (
            _DESTINATION,
            Parameter("duration", "For how long, as in 2h; empty, until it is resumed.", str, ""),
            Parameter("why", "The reason, which others see.", str, ""),
        ),
        live=True,
    ),
    Operation("queue resume", "End the pause of a destination.", _resume, PausesReport, (_DESTINATION,), live=True),
    _PAUSED,
)
