"""The scenarios of the suite: the sides, their load, and the aims.

Our side is ``posthouse run`` with a configuration file unless the scenario says otherwise.  A table with both receivers
that store durably and receivers that drop says which is which.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from suite import authenticated, clients, commands, loads, peers, secured
from suite.backlog import backlog
from suite.idle import Idle, IdleSide
from suite.latency import Alone, Crowd, Relayed
from suite.running import Found, Loaded, Run, Scenario, Start, Throughput

__all__ = ["SCENARIOS"]

_Receiver = Callable[..., contextlib.AbstractContextManager[peers.Side]]


def _receiver(start: _Receiver, **load: object) -> Start[Loaded]:
    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with start(home) as running:
            yield Loaded(lambda amount: loads.smtp_source(running.port, amount, **load), running)  # type: ignore[arg-type]

    return side


def _relay(start: _Receiver, **load: object) -> Start[Loaded]:
    """A side that relays; the time ends when the sink behind it has all messages."""

    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with loads.CountingSink() as sink, start(home, sink=sink.port) as running:

            def run(amount: int) -> float:
                with sink.expecting(amount) as clock:
                    loads.smtp_source(running.port, amount, to="someone@sink.test", **load)  # type: ignore[arg-type]
                return clock.seconds

            yield Loaded(run, running)

    return side


def _relayed(start: _Receiver) -> Start[Relayed]:
    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Relayed]:
        with loads.CountingSink() as sink, start(home, sink=sink.port) as running:
            yield Relayed(running, sink)

    return side


def _workers(run: Run, found: Found) -> None:
    """Throughput with one worker and with two, at 20 and at 60 sessions."""
    for sessions in (20, 60):
        Throughput(
            {
                "posthouse": _receiver(functools.partial(peers.posthouse, workers=2), sessions=sessions),
                "one worker": _receiver(functools.partial(peers.posthouse, workers=1), sessions=sessions),
            },
            {},
            what=f"{sessions} sessions",
        ).measure(run, found)


def _compiled(run: Run, found: Found) -> None:
    """Throughput of the build of scripts/compile and of pure Python."""
    for what, way in (("accept", _receiver), ("relay", _relay)):
        Throughput(
            {
                "posthouse": way(functools.partial(peers.posthouse, build="build/compiled")),
                "pure Python": way(functools.partial(peers.posthouse, build="src")),
            },
            {},
            what=what,
        ).measure(run, found)


def _tls(run: Run, found: Found) -> None:
    """Throughput over TLS with a login for each message, and on sessions that are kept."""
    for what, way, kind in (
        ("STARTTLS and AUTH PLAIN for each message, P-256", secured.per_message, "P-256"),
        ("STARTTLS and AUTH PLAIN for each message, RSA-2048", secured.per_message, "RSA-2048"),
        ("implicit TLS, sessions kept", secured.kept, "P-256"),
    ):
        sides = {"posthouse": way(secured.posthouse, kind), "Postfix": way(secured.postfix, kind)}
        Throughput(sides, {"Postfix": 2.0}, first=40, what=what).measure(run, found)


def _large(way: Callable[..., Start[Loaded]]) -> Callable[[Run, Found], None]:
    """Throughput of 50 MiB messages, received or relayed."""
    load = {"size": 52_000_000, "sessions": 4, "limit": 120.0}
    return Throughput(
        {"posthouse": way(peers.posthouse, **load), "Postfix": way(peers.postfix, **load)},
        {"Postfix": 1.2},
        unit="MB/s",
        first=4,
        most=200,
        step=52.0,
        memory=32.0,
    ).measure


SCENARIOS: dict[str, Scenario] = {
    "accept": Scenario(
        "smtp-source, 20 sessions, 4 KiB, sessions kept: stored durably (ours, Postfix), discarded at once",
        Throughput(
            {
                "posthouse": _receiver(peers.posthouse),
                "Postfix": _receiver(peers.postfix),
                "aiosmtpd (drops)": _receiver(peers.aiosmtpd_drop),
                "smtp-sink (drops)": _receiver(peers.smtp_sink),
            },
            {"Postfix": 7.0},
        ).measure,
    ),
    "accept-auth": Scenario(
        "as accept, each message verified (SPF, DKIM, DMARC); Postfix with OpenDKIM and OpenDMARC",
        Throughput(
            {"posthouse": authenticated.posthouse, "Postfix": authenticated.postfix}, {"Postfix": 4.0}, first=100
        ).measure,
    ),
    "accept-new": Scenario(
        "as accept, with a connection for each message",
        Throughput(
            {
                "posthouse": _receiver(peers.posthouse, keep=False),
                "Postfix": _receiver(peers.postfix, keep=False),
                "aiosmtpd (drops)": _receiver(peers.aiosmtpd_drop, keep=False),
            },
            {"Postfix": 4.0},
        ).measure,
    ),
    "relay": Scenario(
        "as accept, each message relayed to a sink; until the sink has all",
        Throughput({"posthouse": _relay(peers.posthouse), "Postfix": _relay(peers.postfix)}, {"Postfix": 6.0}).measure,
    ),
    "discard": Scenario(
        "the server library with a handler that drops, 20 sessions, 4 KiB",
        Throughput(
            {
                "posthouse": _receiver(peers.posthouse_sink),
                "smtp-sink": _receiver(peers.smtp_sink),
                "aiosmtpd": _receiver(peers.aiosmtpd_drop),
            },
            {"smtp-sink": 1.0, "aiosmtpd": 7.0},
        ).measure,
    ),
    "client": Scenario(
        "4 KiB to a receiver that drops: sessions of the sending SMTP on 20 connections",
        Throughput(
            {
                "posthouse": loads.posthouse_client(20),
                "smtp-source -d": _receiver(peers.smtp_sink),
                "aiosmtplib": loads.aiosmtplib_client(20),
            },
            {"smtp-source -d": 1.3, "aiosmtplib": 3.5},
        ).measure,
    ),
    "library": Scenario(
        "4 KiB to a receiver that drops: Client and the pools beside other clients, in clear and over TLS",
        clients.library,
        limit=600.0,
    ),
    "client-one": Scenario(
        "one connection to smtp-sink, 4 KiB",
        Throughput(
            {"posthouse": loads.posthouse_client(1), "smtplib": loads.smtplib_client()}, {"smtplib": 2.0}
        ).measure,
    ),
    "large": Scenario(
        "50 MiB messages, 4 sessions: stored durably, discarded at once",
        _large(_receiver),
    ),
    "large-relay": Scenario(
        "as large, each message relayed to a sink; until the sink has all",
        _large(_relay),
    ),
    "many": Scenario(
        "messages with 1,000 recipients of 10 domains each, 4 KiB, relayed to a sink",
        Throughput(
            {"posthouse": loads.many(peers.posthouse), "Postfix": loads.many(peers.postfix)},
            {"Postfix": 20.0},
            unit="recipients/s",
            first=1,
            most=300,
            step=1000.0,
        ).measure,
    ),
    "sessions": Scenario(
        "accept with 1 to 200 sessions: throughput, and the time of a message from MAIL to its 250",
        Crowd({"posthouse": peers.posthouse, "Postfix": peers.postfix}, (1, 4, 20, 200)).measure,
    ),
    "workers": Scenario("accept with two worker processes beside one", _workers),
    "compiled": Scenario("ours with its hot modules compiled beside ours in pure Python", _compiled),
    "latency": Scenario(
        "one message at a time on a kept session, relayed: from MAIL to the 250, and to its arrival at a sink",
        Alone({"posthouse": _relayed(peers.posthouse), "Postfix": _relayed(peers.postfix)}, {"Postfix": 1.0}).measure,
    ),
    "idle": Scenario(
        "10,000 open sessions, idle after EHLO: resident memory for each",
        Idle(
            {
                "posthouse": IdleSide(peers.posthouse),
                "Postfix": IdleSide(peers.postfix, most=100, shared=True),
                "aiosmtpd": IdleSide(peers.aiosmtpd_drop),
                "smtp-sink": IdleSide(peers.smtp_sink),
            },
            sessions=10_000,
            limit=6.0,
        ).measure,
    ),
    "start": Scenario("commands beside python -c pass: from start to end", commands.start),
    "backlog": Scenario(
        "a million queued recipients in 3,000 domains whose hosts refuse, due within four hours, beside an empty queue",
        backlog,
        limit=400.0,
    ),
    "tls": Scenario(
        "4 KiB over TLS, 20 sessions, with a login; keys of P-256 and RSA-2048; Postfix asks Dovecot", _tls
    ),
}
