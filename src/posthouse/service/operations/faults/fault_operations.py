"""The operations on faults that are switched on while a catcher runs: list, on, off.

Every worker process has its own switches; one of them is asked, and passes on what is switched.  A rate or a number of
times counts in each process alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.core.units import read_duration
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.no_daemon import no_daemon

if TYPE_CHECKING:
    from posthouse.service.policy.switched_faults import SwitchedFaults

__all__ = ["FAULT_OPERATIONS", "FaultEntry", "FaultReport"]


class FaultEntry(Struct, frozen=True, kw_only=True):
    """A fault that is switched on.

    ``delay`` in seconds, ``percent`` of the moments at ``stage``, ``left``: how often it still strikes (-1: without
    end), ``rate`` a minute (0: each), ``until`` in calendar seconds (0.0: without end), ``struck``: how often it has
    struck, in all worker processes.
    """

    name: str
    stage: str
    reply: str
    drop: bool
    delay: float
    to: str
    sender: str
    percent: int
    left: int
    rate: int
    until: float
    struck: int


class FaultReport(Struct, frozen=True, kw_only=True):
    """The faults that are switched on; ``possible``: whether a listener here can have any (``fault_addresses``);
    ``changed``: how many were just switched on or off."""

    faults: list[FaultEntry]
    possible: bool
    changed: int = 0


def _possible(context: Context) -> bool:
    return any(each.fault_addresses for each in context.config.listener)


def _switches(context: Context) -> SwitchedFaults:
    """The switches of this process.  Raises ``SettingError`` where no fault can be switched on."""
    if context.faults is None:
        raise no_daemon(context.config.data_dir, "start one: posthouse run")
    if not _possible(context):
        raise SettingError(
            "no listener of this daemon can have faults",
            where="listener[].fault_addresses",
            remedy="run the catcher (posthouse run without a configuration), or switch it on for a listener",
        )
    return context.faults


def _entries(switches: SwitchedFaults) -> list[FaultEntry]:
    return [
        FaultEntry(
            name=switch.name,
            stage=switch.stage,
            reply=switch.reply,
            drop=switch.drop,
            delay=switch.delay,
            to=switch.to,
            sender=switch.sender,
            percent=switch.percent,
            left=switch.times - struck if switch.times else -1,
            rate=switch.rate,
            until=switch.until,
            struck=struck,
        )
        for switch, struck in switches.state
    ]


async def _list(context: Context, peers: bool = True) -> FaultReport:
    if context.faults is None:
        return FaultReport(faults=[], possible=_possible(context))
    entries = _entries(context.faults)
    if peers and context.peers is not None:
        struck: dict[str, int] = {}
        for report in await context.peers(_LIST, {"peers": False}):
            for each in report.faults:
                struck[each.name] = struck.get(each.name, 0) + each.struck
        entries = [_with_more(each, struck.get(each.name, 0)) for each in entries]
    return FaultReport(faults=entries, possible=_possible(context))


def _with_more(entry: FaultEntry, struck: int) -> FaultEntry:
    from msgspec.structs import replace

    return replace(entry, struck=entry.struck + struck) if struck else entry


async def _on(
    context: Context,
    stage: str = "rcpt",
    reply: str = "",
    drop: bool = False,
    delay: str = "",
    to: str = "",
    sender: str = "",
    percent: int = 100,
    times: int = 0,
    rate: int = 0,
    lasts: str = "",
    fault: str = "",
    peers: bool = True,
) -> FaultReport:
    from posthouse.service.policy.switched_faults import FaultSwitch  # it needs the sandbox, and a listing does not

    switches = _switches(context)
    switch = switches.on(
        FaultSwitch(
            name=_proper(fault),
            stage=stage.strip().lower(),
            reply=reply.strip(),
            drop=drop,
            delay=_seconds(delay, "delay"),
            to=to.strip(),
            sender=sender.strip(),
            percent=percent,
            times=times,
            rate=rate,
            until=context.clock.time() + _seconds(lasts, "lasts") if lasts else 0.0,
        )
    )
    if peers and context.peers is not None:
        given = {"stage": stage, "reply": reply, "drop": drop, "delay": delay, "to": to, "sender": sender}
        given |= {"percent": percent, "times": times, "rate": rate, "lasts": lasts}
        await context.peers(_ON, {**given, "fault": switch.name, "peers": False})
    report = await _list(context, peers)
    return FaultReport(faults=report.faults, possible=True, changed=1)


async def _off(context: Context, fault: str = "", all: bool = False, peers: bool = True) -> FaultReport:  # noqa: A002
    if bool(fault) is all:
        raise SettingError("no fault is named, or in two ways", remedy="give a name of `posthouse fault list`, or all")
    switches = _switches(context)
    changed = switches.off(None if all else [fault])
    if not all and not changed:
        raise SettingError(f'no fault "{fault[:60]}" is switched on', remedy="see: posthouse fault list")
    if peers and context.peers is not None:
        await context.peers(_OFF, {"fault": fault, "all": all, "peers": False})
    return FaultReport(faults=_entries(switches), possible=True, changed=changed)


def _seconds(text: str, where: str) -> float:
    """A duration as people write it; 0.0 for nothing."""
    if not text:
        return 0.0
    try:
        return read_duration(text)
    except ValueError:
        raise SettingError(
            f'"{text[:60]}" is no duration', where=where, remedy="write a number and a unit (s m h d), as in 5s"
        ) from None


def _proper(name: str) -> str:
    """A name that a person can type again."""
    name = name.strip()
    if len(name) > 60 or not all(each.isalnum() or each in "-_." for each in name):
        raise SettingError(
            f'"{name[:60]}" is no name of a fault', where="name", remedy="use at most 60 letters, digits and - _ ."
        )
    return name


_PEERS: Final = Parameter("peers", "Whether the other worker processes are asked too.", bool, True)

_LIST: Final = Operation(
    "fault list", "Show the faults that are switched on.", _list, FaultReport, (_PEERS,), live=True, reads=True
)
_ON: Final = Operation(
    "fault on",
    "Switch a fault on at the listeners of the catcher.",
    _on,
    FaultReport,
    (
        Parameter("stage", "connect, helo, auth, mail, rcpt, data, end, or all (for a delay).", str, "rcpt"),
        Parameter("reply", 'A code such as 451, or a whole reply such as "451 4.7.1 Try later"; 421 ends it.', str, ""),
        Parameter("drop", "Cut the connection in place of a reply.", bool, False),
        Parameter("delay", "How much later the answer comes, as in 5s; alone, or with a reply or a cut.", str, ""),
        Parameter("to", "Only recipients that fit this, with * and ?.", str, ""),
        Parameter("sender", "Only senders that fit this, with * and ?.", str, ""),
        Parameter("percent", "How many of 100 moments it strikes.", int, 100),
        Parameter("times", "How often it strikes, then it ends; 0 without end.", int, 0),
        Parameter("rate", "Only what exceeds so many moments a minute; 0 for each.", int, 0),
        Parameter("lasts", "When it ends by itself, as in 10m; without end, if empty.", str, ""),
        Parameter("fault", "A name, which replaces the fault of this name; one is made, if empty.", str, ""),
        _PEERS,
    ),
    live=True,
)
_OFF: Final = Operation(
    "fault off",
    "Switch faults off.",
    _off,
    FaultReport,
    (
        Parameter("fault", "Its name, as in `fault list`.", str, ""),
        Parameter("all", "Instead of a name: all faults.", bool, False),
        _PEERS,
    ),
    live=True,
)
#: The operations of this module.
FAULT_OPERATIONS: Final = (_LIST, _ON, _OFF)
