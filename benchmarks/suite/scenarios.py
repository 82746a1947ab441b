"""What is measured.  A scenario names its sides; a side is a function that takes a place to work in and a scale, and
gives a figure (messages a second unless the scenario says otherwise).

The scale is found by the runner: each side is first tried small, then given as much as it can do in its share of the
time, so that a slow side is not waited for and a fast one is not over before it has begun.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from suite import loads, peers

__all__ = ["SCENARIOS", "Scenario", "Ready"]

#: A side that has been started: called with a number of messages (or what the scenario counts), gives seconds.
Ready = Callable[[int], float]


class Scenario(NamedTuple):
    """``sides``: name → context manager that starts it.  ``ours`` is the name of our side; ``aims`` the least ratio
    ours / theirs by name.  ``unit`` is what a figure counts; ``first`` how much the first try does."""

    about: str
    sides: dict[str, Callable[[Path], contextlib.AbstractContextManager[Ready]]]
    aims: dict[str, float]
    unit: str = "messages/s"
    first: int = 400
    most: int = 200_000
    step: float = 1.0  # figure = amount * step / seconds
    durable: str = ""


def _receiver(
    start: Callable[..., contextlib.AbstractContextManager[peers.Side]], **load: object
) -> Callable[[Path], contextlib.AbstractContextManager[Ready]]:
    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Ready]:
        with start(home) as running:
            yield lambda amount: loads.smtp_source(running.port, amount, **load)  # type: ignore[arg-type]

    return side


def _relay(
    start: Callable[..., contextlib.AbstractContextManager[peers.Side]], **load: object
) -> Callable[[Path], contextlib.AbstractContextManager[Ready]]:
    """Until the sink behind it has taken everything."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Ready]:
        with loads.CountingSink() as sink, start(home, sink=sink.port) as running:

            def run(amount: int) -> float:
                with sink.expecting(amount) as clock:
                    loads.smtp_source(running.port, amount, to="someone@sink.test", **load)  # type: ignore[arg-type]
                return clock.seconds

            yield run

    return side


SCENARIOS: dict[str, Scenario] = {
    "accept": Scenario(
        "smtp-source, 20 sessions, 4 KiB, sessions kept: stored durably (ours, Postfix), discarded at once",
        {
            "posthouse": _receiver(peers.posthouse),
            "Postfix": _receiver(peers.postfix),
            "aiosmtpd (drops)": _receiver(peers.aiosmtpd_drop),
            "smtp-sink (drops)": _receiver(peers.smtp_sink),
        },
        {"Postfix": 7.0},
    ),
    "accept-new": Scenario(
        "the same, a connection for each message",
        {
            "posthouse": _receiver(peers.posthouse, keep=False),
            "Postfix": _receiver(peers.postfix, keep=False),
            "aiosmtpd (drops)": _receiver(peers.aiosmtpd_drop, keep=False),
        },
        {"Postfix": 4.0},
    ),
    "relay": Scenario(
        "the same, each forwarded to a sink; until the sink has all",
        {"posthouse": _relay(peers.posthouse), "Postfix": _relay(peers.postfix)},
        {"Postfix": 6.0},
    ),
    "discard": Scenario(
        "the server library with a handler that drops, 20 sessions, 4 KiB",
        {
            "posthouse": _receiver(peers.posthouse_sink),
            "smtp-sink": _receiver(peers.smtp_sink),
            "aiosmtpd": _receiver(peers.aiosmtpd_drop),
        },
        {"smtp-sink": 1.0, "aiosmtpd": 7.0},
    ),
    "client": Scenario(
        "20 connections to smtp-sink, 4 KiB",
        {
            "posthouse": loads.posthouse_client(20),
            "smtp-source -d": _receiver(peers.smtp_sink),
            "aiosmtplib": loads.aiosmtplib_client(20),
        },
        {"smtp-source -d": 1.3, "aiosmtplib": 3.5},
    ),
    "client-one": Scenario(
        "one connection to smtp-sink, 4 KiB",
        {"posthouse": loads.posthouse_client(1), "smtplib": loads.smtplib_client()},
        {"smtplib": 2.0},
    ),
    "large": Scenario(
        "50 MiB messages, 4 sessions: stored durably, discarded at once",
        {
            "posthouse": _receiver(peers.posthouse, size=52_000_000, sessions=4, limit=120.0),
            "Postfix": _receiver(peers.postfix, size=52_000_000, sessions=4, limit=120.0),
        },
        {"Postfix": 1.2},
        unit="MB/s",
        first=4,
        most=200,
        step=52.0,
    ),
    "many": Scenario(
        "messages with 1,000 recipients of 10 domains each, 4 KiB, relayed to a sink; recipients a second",
        {
            "posthouse": loads.many(peers.posthouse),
            "Postfix": loads.many(peers.postfix),
        },
        {"Postfix": 20.0},
        unit="recipients/s",
        first=1,
        most=300,
        step=1000.0,
    ),
}
