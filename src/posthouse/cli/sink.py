"""``posthouse sink``: a receiver that counts and drops, and fails on demand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli.context import run, signals
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import live, say, with_json
from posthouse.core.units import size_in_words

if TYPE_CHECKING:
    from posthouse.sandbox import Sink

__all__ = ["sink"]


@click.command(short_help="Receive mail, count it and drop it; fail on demand.")
@click.option("--bind", default="127.0.0.1:2525", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--lmtp", is_flag=True, help="Speak LMTP: one answer for each recipient.")
@click.option(
    "--fail",
    multiple=True,
    metavar="STAGE:CODE[@SHARE]",
    help="Refuse; rcpt:450@0.1 refuses each recipient with a chance of 1 in 10, connect:421 each connection.",
)
@click.option("--drop", multiple=True, metavar="STAGE[@SHARE]", help="Cut the connection.")
@click.option(
    "--delay", multiple=True, metavar="[STAGE:]SECONDS[@SHARE]", help="Answer late; without a stage, at the end."
)
@click.option(
    "--fault-addresses/--no-fault-addresses",
    default=True,
    show_default=True,
    help="Whether recipients such as tempfail+3@… fail on demand (tempfail, permfail, greylist, mailbox-full, "
    "reply-CODE, slow, drop; see the page about testing).",
)
@click.option("--seed", type=click.IntRange(0), help="Make the same chances come out in each run.")
@click.option("--messages", type=click.IntRange(1), help="Stop after this number of messages.")
@with_json
def sink(
    bind: str,
    lmtp: bool,
    fail: tuple[str, ...],
    drop: tuple[str, ...],
    delay: tuple[str, ...],
    fault_addresses: bool,
    seed: int | None,
    messages: int | None,
    as_json: bool,
) -> None:
    """Receive mail, count it and drop it, until SIGTERM or Ctrl-C.

    Nothing is stored: it is the peer for tests and measurements, never a place for real mail. Faults happen at a
    stage: connect, ehlo, mail, rcpt, data (before the content), end (after it). Delays come first, then dropped
    connections, then failures; within each kind, in the order given. A SHARE (from 0 to 1) makes a fault happen by
    chance. 421 ends the session.
    """
    from posthouse.sandbox import parse_delay, parse_drop, parse_fail

    faults = [*map(parse_delay, delay), *map(parse_drop, drop), *map(parse_fail, fail)]
    run(_sink(bind, lmtp, faults, fault_addresses, seed, messages, as_json))


async def _sink(
    bind: str, lmtp: bool, faults: list[Any], addresses: bool, seed: int | None, messages: int | None, as_json: bool
) -> None:
    from posthouse.sandbox import open_sink

    loop = asyncio.get_running_loop()
    with signals() as stop:
        sink, place = await open_sink(bind, lmtp=lmtp, faults=faults, seed=seed, fault_addresses=addresses)
        say(f"listening on {place}; mail is counted and dropped", "green", err=as_json)
        begun = loop.time()
        if messages is not None:
            sink.when(messages, stop.set)
        shown = asyncio.ensure_future(_count(sink)) if live() else None
        await stop.wait()
        seconds = loop.time() - begun
        if shown is not None:
            shown.cancel()
            click.echo("\r\x1b[K", nl=False, err=True)
        await sink.stop()
    counts = sink.counts
    if as_json:
        print_json({**counts._asdict(), "tolerated": sink.tolerated, "seconds": round(seconds, 3)})
        return
    say(_sentence(sink))


def _sentence(sink: Sink) -> str:
    counts = sink.counts
    parts = [
        _counted(counts.messages, "message"),
        _counted(counts.recipients, "recipient"),
        size_in_words(counts.octets),
        _counted(counts.connections, "connection"),
    ]
    if sink.tolerated:
        parts.append("tolerated: " + ", ".join(f"{kind} {times}" for kind, times in sink.tolerated.items()))
    if counts.refused or counts.dropped:
        parts += [_counted(counts.refused, "refusal"), f"{_counted(counts.dropped, 'connection')} cut"]
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


async def _count(sink: Sink) -> None:
    """Draw the counts, on a terminal, once a second."""
    before = 0
    while True:
        await asyncio.sleep(1.0)
        now = sink.counts.messages
        click.echo(f"\r\x1b[K{_sentence(sink)}; {now - before}/s", nl=False, err=True)
        before = now
