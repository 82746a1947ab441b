"""``posthouse bench``: send many messages, and measure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import not_empty, run, signals, unless
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import live, safe, say, with_json
from posthouse.core.units import read_size, size_in_words

if TYPE_CHECKING:
    from posthouse.sandbox import Load, LoadReport

__all__ = ["bench"]


def _size(text: str) -> int:
    try:
        return read_size(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no size; write it like 4096, 64KiB or 10M") from None


@click.command(short_help="Send many messages and measure.")
@click.option(
    "--server", required=True, metavar="URL", callback=not_empty, help="smtp://host:port or lmtp://host:port."
)
@click.option("--messages", default=1000, show_default=True, type=click.IntRange(1), help="How many.")
@click.option(
    "--connections", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Sessions open at one time."
)
@click.option(
    "--size", default="4096", show_default=True, type=_size, metavar="SIZE", help="Octets of one: 4096, 64KiB, 10M."
)
@click.option(
    "--recipients", default=1, show_default=True, type=click.IntRange(1, 1000), help="Recipients of a message."
)
@click.option("--from", "sender", default="bench@posthouse.test", show_default=True, help="The sender.")
@click.option(
    "--to", default="sink@posthouse.test", show_default=True, help="The recipient; numbered if there are several."
)
@click.option("--new-connection", is_flag=True, help="A new connection for each message.")
@click.option(
    "--ahead",
    default=0,
    show_default=True,
    type=click.IntRange(0, 100),
    help="Messages queued in each session behind the one that waits for its reply. Their time counts from queueing.",
)
@with_json
def bench(**given: Any) -> int:
    """Send many messages, and measure how many are accepted per second and how long each takes.

    Use it on your own servers only. The exit code is 75 if a message was not accepted.
    """
    report = run(_bench(given))
    if report is None:
        raise exit_codes.CommandFailed("posthouse bench was interrupted", exit_codes.SIGNALLED)
    if given["as_json"]:
        print_json(_facts(report))
    else:
        _tell(report)
    return exit_codes.OK if report.delivered == given["messages"] else exit_codes.TEMPFAIL


async def _bench(given: dict[str, Any]) -> LoadReport | None:
    from posthouse.sandbox import measure
    from posthouse.sending import parse_server

    load = measure(
        parse_server(given["server"]),
        sender=given["sender"],
        recipient=given["to"],
        recipients=given["recipients"],
        size=given["size"],
        messages=given["messages"],
        connections=given["connections"],
        reconnect=given["new_connection"],
        ahead=given["ahead"],
    )
    shown = asyncio.ensure_future(_progress(load)) if live() else None
    try:
        with signals() as stop:
            return await unless(stop, load.run())
    finally:
        if shown is not None:
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)


async def _progress(load: Load) -> None:
    """Draw a progress bar, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("messages"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as drawn:
        task = drawn.add_task("messages", total=load.plan.messages)
        while True:
            await asyncio.sleep(0.2)
            drawn.update(task, completed=load.done, refresh=True)


def _facts(report: LoadReport) -> dict[str, Any]:
    return {
        "messages": report.messages,
        "delivered": report.delivered,
        "recipients": report.recipients,
        "octets": report.octets,
        "seconds": round(report.seconds, 6),
        "messages_per_second": round(report.rate, 1),
        "latency": {"p50": round(report.p50, 6), "p99": round(report.p99, 6), "max": round(report.longest, 6)},
        "errors": report.errors,
    }


def _tell(report: LoadReport) -> None:
    say(f"{report.delivered} of {report.messages} messages accepted in {report.seconds:.2f} s")
    speed = size_in_words(round(report.octets / max(report.seconds, 1e-9)))
    say(f"{report.rate:,.0f} messages/s, {speed}/s", "bold")
    times = f"p50 {report.p50 * 1000:.2f} ms, p99 {report.p99 * 1000:.2f} ms, longest {report.longest * 1000:.2f} ms"
    say(f"latency: {times}")
    for why, number in report.errors.items():
        say(safe(f"{number} × {why}"), "red")
