"""``posthouse queue pause``, ``resume`` and ``paused``: destinations for which no attempts are made."""

from __future__ import annotations

import click

from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, safe, say, table, with_json
from posthouse.service.operations.spelling import as_written

__all__ = ["pause", "paused", "resume"]


@click.command("pause", short_help="Make no attempts for a destination for a while.")
@click.argument("destination")
@click.option("--for", "duration", default="", metavar="DURATION", help="For how long, as in 2h; else until resumed.")
@click.option("--why", default="", metavar="TEXT", help="The reason, which others see.")
@with_daemon
@with_json
def pause(
    destination: str, duration: str, why: str, config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Make no attempts for a DESTINATION (a domain), until it is resumed or the time is over; its mail waits.

    Attempts that are under way are finished. New mail is accepted and waits too.
    """
    given = {"destination": destination, "duration": duration, "why": why}
    found = operate("queue pause", DaemonOptions(config_file, data_dir), **given)
    if as_json:
        print_json(found)
        return
    until = next((each.until for each in found.pauses if each.at == found.now), None)
    say(f"{safe(destination)} is paused {'until it is resumed' if until is None else f'until {aware(until)}'}.")


@click.command("resume", short_help="End the pause of a destination.")
@click.argument("destination")
@with_daemon
@with_json
def resume(destination: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """End the pause of a DESTINATION: its mail is tried again as it is due."""
    found = operate("queue resume", DaemonOptions(config_file, data_dir), destination=destination)
    if as_json:
        print_json(found)
        return
    say(f"{safe(destination)} is resumed.")


@click.command("paused", short_help="Show the destinations that are paused.")
@with_daemon
@with_json
def paused(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the destinations that are paused: since when, until when, by whom and why."""
    found = operate("queue paused", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    table(
        ("DESTINATION", "SINCE", "UNTIL", "WHO", "WHY"),
        (
            (as_written(each.destination), aware(each.at), aware(each.until), each.who, each.why or "-")
            for each in found.pauses
        ),
        empty="No destination is paused.",
        styles="green dim yellow cyan -",
    )
