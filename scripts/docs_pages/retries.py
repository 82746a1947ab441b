"""docs/retries.md: what the relay does with mail that does not get through, lived through on virtual time.

A simulated house with the default settings has a letter for a destination of each kind, and six days to deliver it; the
page tells what it did and when.  Chance is seeded, so the page changes only when the relay's behaviour does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from docs_pages.markdown import GENERATED, table
from posthouse.spool import RecipientState
from posthouse.testing.simulation import Received, World

__all__ = ["page"]

_SEED = 5321
_DAY = 86_400.0
_LENGTH = 6 * _DAY

OPENING = """\
# Retries

What a house with its default settings does with a letter that does not get through at once. Each line is a letter to
a destination of another kind. [The simulator](simulation.md) made the table: the relay that you run, six days of
virtual time, hosts that follow a script."""

RULES = """\
The wait doubles from five minutes to four hours, less up to a fifth by chance, so that letters that failed together do
not come back together. After four hours the sender is warned, once; after five days the relay gives up, and the sender
gets the letter back. A temporary failure of the DNS is never more than that, and a permanent refusal is never tried
again. A second copy comes only from an end that nobody can know: the whole letter was sent, and the answer was lost.

A host that does not answer at all is left alone, and asked again now and then by a single letter; the other letters for
it wait without costing anything.

The settings are `retry_first`, `retry_max`, `warn_after` and `give_up_after` in `[relay]`, see
[configuration](configuration.md)."""


class _Case(NamedTuple):
    """A kind of destination.  ``step`` says what its host does at an attempt at so many seconds, ``prepare`` what is
    special about its world."""

    what: str
    step: Callable[[float], str] = lambda now: "ok"
    prepare: Callable[[World], object] = lambda world: None


class _Story(NamedTuple):
    """What became of a letter: its attempts, what its sender heard (both in seconds), its end."""

    what: str
    attempts: list[float]
    heard: list[tuple[float, str]]
    end: str


def page(_existing: str) -> str:
    """The page."""
    stories = [_live(case) for case in _CASES]
    longest = next(story for story in stories if story.what == _ALWAYS)
    head = ("The destination", "Attempts", "When", "The sender hears", "In the end")
    rows = [(s.what, str(len(s.attempts)), _when(s.attempts), _heard(s.heard), s.end) for s in stories]
    parts = [
        GENERATED,
        OPENING,
        table(head, rows),
        RULES,
        f"## Every attempt at a destination that {_ALWAYS}",
        table(("Attempt", "After", "Since the one before"), _each(longest.attempts)),
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
    world.destination("mx2.b.test", domains=["b.test"], preference=20)


_ALWAYS = "says 450 for ever"

_CASES = (
    _Case("takes it at once"),
    _Case("greylists: 450 for ten minutes", partial(_until, 600.0, "rcpt:450:4.7.1")),
    _Case("has a full mailbox for a day: 452", partial(_until, _DAY, "rcpt:452:4.2.2")),
    _Case("refuses connections for a day", partial(_until, _DAY, "refuse")),
    _Case("has a first exchanger that is down, and a second", lambda now: "silent", _second_host),
    _Case("has a DNS that fails for a day", prepare=_dns_fails),
    _Case("resets the connection before the letter, twice", _first(["drop:helo"] * 2)),
    _Case("takes the letter and is lost before its answer, once", _first(["lose"])),
    _Case("answers the letter after 15 minutes, once", _first(["wait:end:900"])),
    _Case(_ALWAYS, lambda now: "rcpt:450:4.3.0"),
    _Case("never answers", lambda now: "silent"),
    _Case("refuses the recipient: 550", lambda now: "rcpt:550:5.1.1"),
    _Case("refuses every session: 554", lambda now: "connect:554"),
    _Case("does not exist in the DNS", prepare=partial(_set_mx, ())),
    _Case("takes no mail (null MX)", prepare=partial(_set_mx, ("0 .",))),
)


def _live(case: _Case) -> _Story:
    with World(_SEED) as world:
        step = case.step
        world.destination("mx.b.test", domains=["b.test"], script=lambda: step(world.clock.monotonic()))
        people = world.destination("mx.a.test", domains=["a.test"])
        case.prepare(world)
        house = world.house("mail.a.test")
        world.send(house, "ann@a.test", ["bob@b.test"])
        world.run(_LENGTH)
        world.check(quiet=True)
        ends = [end for end in world.ends if str(end.outcome.recipient.address) == "bob@b.test"]
        tried = [end.time for end in ends if not end.outcome.reason.startswith("not attempted")]
        copies = sum(not arrival.report for arrival in world.arrivals)
        heard = [(each.time, _action(each)) for each in people.received]
        return _Story(case.what, tried, heard, _end(ends[-1].state, copies))


def _action(report: Received) -> str:
    """What a report says (RFC 3464 §2.3.3)."""
    match = re.search(rb"^Action: ([a-z]+)\r$", report.content, re.MULTILINE)
    return match[1].decode() if match else "something else"


def _end(state: RecipientState, copies: int) -> str:
    if state is RecipientState.DELIVERED:
        return "delivered" if copies == 1 else f"delivered, {copies} copies"
    return "returned to the sender" if copies == 0 else f"returned to the sender, {copies} copies delivered"


def _time(seconds: float) -> str:
    """A length of time as people say it, to about a hundredth."""
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
