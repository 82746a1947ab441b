"""``posthouse queue``: the messages that are not finished."""

from __future__ import annotations

import click

from posthouse.cli.house import configured, operate, with_house
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, octets, safe, say, table, with_json

__all__ = ["queue"]

_LIMIT = click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="How many at most.")


@click.group(short_help="Look at the messages that wait to go on.")
def queue() -> None:
    """Look at the messages that wait to go on."""


@queue.command("list", short_help="Show the messages that are not finished, oldest first.")
@_LIMIT
@with_house
@with_json
def list_(limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the messages that are not finished, oldest first."""
    found = operate("queue list", configured(config_file, data_dir), limit=limit)
    if as_json:
        print_json(found)
        return
    table(
        ("ID", "RECEIVED", "SIZE", "FROM", "TO", "TRIES", "NEXT", "LAST"),
        (
            (
                each.id,
                aware(each.received),
                octets(each.size),
                f"<{each.sender}>" if not each.sender else each.sender,
                each.recipients[0] + (f" +{len(each.recipients) - 1}" if len(each.recipients) > 1 else ""),
                each.attempts,
                aware(each.due),
                each.last,
            )
            for each in found
        ),
        empty="The queue is empty.",
        styles="bold dim - cyan green - yellow -",
    )


@queue.command("show", short_help="Show one message and each of its recipients.")
@click.argument("id")
@with_house
@with_json
def show(id: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002 - as people say
    """Show one message and each of its recipients."""
    found = operate("queue show", configured(config_file, data_dir), id=id)
    if as_json:
        print_json(found)
        return
    say(found.id, "bold")
    say(f"from      {safe(found.sender) or '<>'}")
    say(f"received  {aware(found.received)} by {safe(found.source)}")
    say(f"size      {octets(found.size)}")
    if found.corrupt:
        say("Its content is missing or damaged; it is kept for you to look at.", "bold red")
    say("")
    table(
        ("TO", "STATE", "TRIES", "NEXT", "LAST"),
        (
            (each.address, each.state, each.attempts, aware(each.due) if each.state == "waiting" else "-", each.last)
            for each in found.recipients
        ),
        styles="green bold - yellow -",
    )
