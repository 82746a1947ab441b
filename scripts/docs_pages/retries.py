"""docs/retries.md: what the relay does with mail that is not delivered at once, measured in the simulation.

A simulated daemon with the default settings has one message for a destination of each kind, and six days to deliver it.
The page shows its attempts and their times.  All random choices come from a seed, so the page changes only when the
relay's behaviour does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from docs_pages.markdown import GENERATED, table
from posthouse.spool import RecipientState
from posthouse.testing.simulation import ReceivedMessage, World

__all__ = ["page"]

_SEED = 5321
_DAY = 86_400.0
_LENGTH = 6 * _DAY

OPENING = """\
# Retries

What a daemon with default settings does with a message that is not delivered at once. Each line of the table is one
message to a different kind of destination. [The simulation](simulation.md) made the table: the real relay, six days of
virtual time, and hosts that follow a script."""

RULES = """\
The delay doubles from 5 minutes to 4 hours. A random part of up to 1/5 is taken off, so that messages that failed
together are not all tried again at the same moment. After 4 hours the sender is warned, once. After 5 days the relay
gives up, and the message is returned to the sender. A temporary failure of the DNS stays temporary, and a permanent
refusal is never tried again.

A second copy is made only if the outcome is ambiguous: the whole message was sent, and the reply was lost. The message
may have arrived, and then each further attempt makes a further copy. So the delays are longer after such an end: 30
minutes, 2 hours, 8 hours, then 24 hours (6 times `retry_first`, 4 times as long each time, at most 6 times
`retry_max`). With the default settings a host that always breaks off there gets at most 10 copies in 5 days. The
message's history gives this reason.

A host may refuse a session (421, "too many connections") while others to it are open. Then the relay opens no more
sessions with this host than it allows, and sends the message in one of those that are open. This is not an attempt, and
nothing waits. Only if no session is open is the host suspended for a time.

A host that does not answer is suspended, and probed by single attempts. The other messages for it wait without any
cost.

The settings are `retry_first`, `retry_max`, `warn_after` and `give_up_after` in `[relay]`, see
[configuration](configuration.md)."""


class _Case(NamedTuple):
    """A kind of destination.

    ``step`` returns what its host does at an attempt, given the seconds since the start; ``prepare`` changes the world.
    """

    what: str
    step: Callable[[float], str] = lambda now: "ok"
    prepare: Callable[[World], object] = lambda world: None


class _Course(NamedTuple):
    """The course of one message: times of its attempts and of its reports, in seconds, and its end."""

    what: str
    attempts: list[float]
    heard: list[tuple[float, str]]
    end: str


def page(_existing: str) -> str:
    """The page."""
    courses = [_simulate(case) for case in _CASES]
    longest = next(course for course in courses if course.what == _ALWAYS)
    head = ("The destination", "Attempts", "When", "Reports to the sender", "Result")
    rows = [(s.what, str(len(s.attempts)), _when(s.attempts), _heard(s.heard), s.end) for s in courses]
    parts = [
        GENERATED,
        OPENING,
        table(head, rows),
        RULES,
        f"## Every attempt at a destination that {_ALWAYS}",
        table(("Attempt", "Time", "Delay"), _each(longest.attempts)),
    ]
    return "\n\n".join(parts) + "\n"


def _until(end: float, step: str, now: float) -> str:
    return step if now < end else "ok"


def _first(steps: Sequence[str]) -> Callable[[float], str]:
    rest = iter(steps)
    return lambda now: next(rest, "ok")


def _dns_fails(world: World) -> None:
    world.resolver.failing.add("b.test")
    world.at(_DAY, lambda: world.resolver.failing.clear())


def _set_mx(records: Sequence[str], world: World) -> None:
    if records:
        world.resolver.zone["b.test"] = {"MX": list(records)}
    else:
        del world.resolver.zone["b.test"]


def _second_host(world: World) -> None:
    world.remote_host("mx2.b.test", domains=["b.test"], preference=20)


_ALWAYS = "always replies 450"

_CASES = (
    _Case("accepts it at once"),
    _Case("greylists: 450 for 10 minutes", partial(_until, 600.0, "rcpt:450:4.7.1")),
    _Case("has a full mailbox for a day: 452", partial(_until, _DAY, "rcpt:452:4.2.2")),
    _Case("refuses connections for a day", partial(_until, _DAY, "refuse")),
    _Case("has two mail exchangers, and the first is down", lambda now: "silent", _second_host),
    _Case("has a DNS that fails for a day", prepare=_dns_fails),
    _Case("resets the connection before the content, twice", _first(["drop:helo"] * 2)),
    _Case("accepts the message and loses the connection before its reply, once", _first(["lose"])),
    _Case("accepts the message and loses the connection before its reply, always", lambda now: "lose"),
    _Case("replies to the content after 15 minutes, once", _first(["wait:end:900"])),
    _Case(_ALWAYS, lambda now: "rcpt:450:4.3.0"),
    _Case("never answers", lambda now: "silent"),
    _Case("refuses the recipient: 550", lambda now: "rcpt:550:5.1.1"),
    _Case("refuses every session: 554", lambda now: "connect:554"),
    _Case("does not exist in the DNS", prepare=partial(_set_mx, ())),
    _Case("accepts no mail (null MX)", prepare=partial(_set_mx, ("0 .",))),
)


def _simulate(case: _Case) -> _Course:
    with World(_SEED) as world:
        step = case.step
        world.remote_host("mx.b.test", domains=["b.test"], script=lambda: step(world.clock.monotonic()))
        people = world.remote_host("mx.a.test", domains=["a.test"])
        case.prepare(world)
        node = world.node("mail.a.test")
        world.send(node, "ann@a.test", ["bob@b.test"])
        world.run(_LENGTH)
        world.check(quiet=True)
        ends = [end for end in world.outcomes if str(end.outcome.recipient.address) == "bob@b.test"]
        tried = [end.time for end in ends if not end.outcome.reason.startswith("not attempted")]
        copies = sum(not copy.report for copy in world.copies)
        heard = [(each.time, _action(each)) for each in people.received]
        return _Course(case.what, tried, heard, _end(ends[-1].state, copies))


def _action(report: ReceivedMessage) -> str:
    """The action of a delivery report (RFC 3464 §2.3.3)."""
    match = re.search(rb"^Action: ([a-z]+)\r$", report.content, re.MULTILINE)
    return match[1].decode() if match else "something else"


def _end(state: RecipientState, copies: int) -> str:
    if state is RecipientState.DELIVERED:
        return "delivered" if copies == 1 else f"delivered, {copies} copies"
    return "returned to the sender" if copies == 0 else f"returned to the sender, {copies} copies delivered"


def _time(seconds: float) -> str:
    """A duration in one unit, to about 1 %."""
    if seconds < 1:
        return "at once"
    for unit, name in ((_DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def _when(moments: Sequence[float]) -> str:
    shown = [_time(moment) for moment in moments]
    return ", ".join(shown if len(shown) <= 7 else [*shown[:5], "…", shown[-1]])


def _heard(reports: Sequence[tuple[float, str]]) -> str:
    return ", ".join(
        f"*{action}* after {_time(moment)}".replace("after at once", "at once") for moment, action in reports
    )


def _each(moments: Sequence[float]) -> list[tuple[str, str, str]]:
    before = [0.0, *moments]
    return [
        (str(number), _time(moment), _time(moment - earlier) if number > 1 else "")
        for number, (moment, earlier) in enumerate(zip(moments, before, strict=False), start=1)
    ]
