"""Faults that are switched on while a catcher runs: by address, by chance, a number of times, by rate, for a while.

A *switch* is one fault of the kind that a test stages (``sandbox.staged_faults``), with a name, and with limits that a
person or a program at an interface needs: it ends by itself after so many strikes, or at a time.  Of several that match
a moment the newest decides what is answered, and the longest delay counts.  Without one, the recipient's address may
ask for a fault (``sandbox.address_faults``).

Switches are kept in memory: a daemon that starts has none.  Each worker process has its own and counts its own strikes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from random import Random
from typing import Final, NamedTuple

from posthouse.core import Address, LocalError, SettingError
from posthouse.net import Clock
from posthouse.sandbox.address_faults import AddressFaults
from posthouse.sandbox.faulty_policy import Moment, Strike
from posthouse.sandbox.staged_faults import Fault

__all__ = ["EVERY_STAGE", "FaultSwitch", "MOST_SWITCHES", "SwitchState", "SwitchedFaults"]

#: The stage of a switch that delays every answer.
EVERY_STAGE: Final = "all"
#: Switches that may be on at one time.
MOST_SWITCHES: Final = 100
_STAGES: Final = ("connect", "helo", "auth", "mail", "rcpt", "data", "end")
_MOST_RATE: Final = 100_000
_MINUTE: Final = 60.0


class FaultSwitch(NamedTuple):
    """A fault to switch on.

    Args:
        name: Switching on another of this name replaces it; "" for a name that is made.
        stage: ``connect``, ``helo``, ``auth``, ``mail``, ``rcpt``, ``data``, ``end``, or ``all`` for a delay of each.
        reply: A code, or a whole reply (``451 4.7.1 Try again later``); "" for none.
        drop: The connection is cut.
        delay: Seconds that the answer takes longer.
        to: Only for recipients that fit this, with ``*`` and ``?``; "" for all.
        sender: Only for senders that fit this; "" for all.
        percent: How many of 100 moments it strikes.
        times: How often it strikes, then it ends; 0 without end.
        rate: It strikes only what exceeds so many moments a minute; 0 strikes each.
        until: When it ends, in calendar seconds; 0.0 without end.
    """

    name: str = ""
    stage: str = "rcpt"
    reply: str = ""
    drop: bool = False
    delay: float = 0.0
    to: str = ""
    sender: str = ""
    percent: int = 100
    times: int = 0
    rate: int = 0
    until: float = 0.0


class SwitchState(NamedTuple):
    """A switch that is on, and how often it has struck."""

    switch: FaultSwitch
    struck: int


class _Active:
    """A switch that is on; ``faults`` are one for each of its stages."""

    def __init__(self, switch: FaultSwitch, faults: Sequence[Fault]) -> None:
        self.switch = switch
        self.faults = faults
        self.struck = 0
        self._moments: deque[float] = deque(maxlen=switch.rate or 1)

    def strikes(self, moment: Moment, now: float, random: Random) -> Strike | None:
        """What it does at a moment, None if nothing; counted."""
        found = next((each for each in self.faults if each.matches(moment)), None)
        if found is None or not self._too_fast(now):
            return None
        if self.switch.percent < 100 and random.random() * 100 >= self.switch.percent:
            return None
        self.struck += 1
        return found.strike()._replace(why=f"the fault {self.switch.name} is switched on")

    def is_over(self, now: float) -> bool:
        """Whether it has ended by itself."""
        switch = self.switch
        return bool((switch.times and self.struck >= switch.times) or (switch.until and now >= switch.until))

    def _too_fast(self, now: float) -> bool:
        """Whether there were more moments than the rate allows; the moments within it are noted."""
        rate, moments = self.switch.rate, self._moments
        if not rate:
            return True
        if len(moments) == rate and now - moments[0] < _MINUTE:
            return True
        moments.append(now)
        return False


class SwitchedFaults:
    """The switches of one daemon, and the faults that addresses ask for; a ``FaultSource`` of all its listeners."""

    by_recipient = False

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._addresses = AddressFaults()
        self._active: list[_Active] = []  # the newest first
        self._made = 0

    def on(self, switch: FaultSwitch) -> FaultSwitch:
        """Switch a fault on; returns it with its name.  Raises ``SettingError`` if it cannot be meant."""
        name = switch.name
        if not name:
            self._made += 1
            name = f"fault-{self._made}"
        switch = switch._replace(name=name)
        active = _Active(switch, _faults_of(switch))
        kept = [each for each in self._active if each.switch.name != name]
        if len(kept) >= MOST_SWITCHES:
            raise SettingError(
                f"{MOST_SWITCHES} faults are switched on, which is the most", remedy="switch some off first"
            )
        self._active = [active, *kept]
        return switch

    def off(self, names: Collection[str] | None = None) -> int:
        """Switch off the faults of these names, or all; returns how many were on."""
        before = len(self._active)
        self._active = [] if names is None else [each for each in self._active if each.switch.name not in names]
        return before - len(self._active)

    @property
    def state(self) -> list[SwitchState]:
        """The switches that are on, the newest first."""
        self._tidy()
        return [SwitchState(each.switch, each.struck) for each in self._active]

    def strike(self, moment: Moment) -> Strike | None:
        if not self._active:
            return self._addresses.strike(moment)
        now = self._clock.time()
        answer: Strike | None = None
        longest: Strike | None = None
        for each in self._active:
            if each.is_over(now) or (answer is not None and not each.switch.delay):
                continue
            struck = each.strikes(moment, now, self._random)
            if struck is None:
                continue
            if answer is None and (struck.drop or struck.reply is not None):
                answer = struck
            if longest is None or struck.delay > longest.delay:
                longest = struck
        self._tidy()
        if answer is None:
            answer = self._addresses.strike(moment)
        if answer is None or longest is None:
            return answer or longest
        return answer._replace(delay=max(answer.delay, longest.delay))

    def watches(self, stage: str, recipients: Sequence[Address] = ()) -> bool:
        return bool(self._active) or self._addresses.watches(stage, recipients)

    def _tidy(self) -> None:
        now = self._clock.time()
        if any(each.is_over(now) for each in self._active):
            self._active = [each for each in self._active if not each.is_over(now)]


def _faults_of(switch: FaultSwitch) -> list[Fault]:
    """The faults of a switch, one for each stage.  Raises ``SettingError``."""
    if not (1 <= switch.percent <= 100):
        raise SettingError(f"{switch.percent} is no percentage from 1 to 100", where="percent")
    if switch.times < 0 or not (0 <= switch.rate <= _MOST_RATE):
        raise SettingError("a number of times is 0 or more, and a rate at most 100,000 a minute", where="times, rate")
    if not (switch.reply or switch.drop or switch.delay):
        raise SettingError("the fault does nothing", remedy="give a reply such as 451, a delay, or drop")
    if switch.reply and switch.drop:
        raise SettingError("a connection is cut without a reply", remedy="give a reply, or drop, and not both")
    everywhere = switch.stage == EVERY_STAGE
    if everywhere and (switch.reply or switch.drop or switch.times or switch.rate or switch.to or switch.sender):
        raise SettingError('the stage "all" is for a delay alone', remedy="name one stage, such as rcpt")
    try:
        return [_fault(switch, stage) for stage in (_STAGES if everywhere else (switch.stage,))]
    except LocalError as error:
        raise SettingError(str(error)) from error


def _fault(switch: FaultSwitch, stage: str) -> Fault:
    fault = Fault(stage, switch.to or None, switch.sender or None, None, _never_removed)
    if switch.delay:
        fault.delay(switch.delay)
    if switch.reply:
        fault.reply(switch.reply)
    elif switch.drop:
        fault.drop()
    return fault


def _never_removed(fault: Fault) -> None:
    """Nothing: switches are switched off by name."""
