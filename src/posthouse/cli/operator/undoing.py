"""Commands that undo actions on the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, say, table, with_json

if TYPE_CHECKING:
    from posthouse.service.operations.results import QueueChange

__all__ = ["say_undoable", "undo", "undoable", "with_undo"]

#: The option of commands that can be undone.
with_undo = click.option(
    "--undo-for",
    metavar="TIME",
    default="",
    help="How long `posthouse queue undo` can undo it, such as 10m; mail to drop is held until then.",
)

#: What is said of recipients for whom an action was undone.
_UNDONE: Final = {
    "undo hold": "released",
    "undo release": "held again",
    "undo drop": "released",
    "undo retry": "waiting as before",
    "undo reroute": "waiting as before",
}


def say_undoable(changed: QueueChange) -> None:
    """Say how an action can be undone, and until when."""
    effect = "; until then it is held" if changed.act == "drop" else ""
    say(f"`posthouse queue undo {changed.undo}` undoes it until {aware(changed.until)}{effect}.", "dim")


@click.command("undo", short_help="Undo an action that was made with --undo-for.")
@click.argument("number", type=click.IntRange(1), required=False)
@with_daemon
@with_json
def undo(number: int | None, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Undo the action of this NUMBER, or else the last one, that was made with --undo-for.

    Held mail is released again, released mail is held again, and mail that was to be dropped stays in the queue. Mail
    that was to be tried now, or by another route, waits as before, unless its attempt has begun.
    """
    found = operate("queue undo", DaemonOptions(config_file, data_dir), number=number or 0)
    if as_json:
        print_json(found)
        return
    done = _UNDONE[found.act]
    say(f"{found.recipients:,} recipient{'' if found.recipients == 1 else 's'} {done}.")


@click.command("undoable", short_help="Show the actions that can be undone.")
@with_daemon
@with_json
def undoable(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the actions on the queue that can be undone: until when, by whom, and how many recipients."""
    found = operate("queue undoable", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    table(
        ("NUMBER", "ACTION", "WHEN", "UNTIL", "WHO", "COUNT", "FILTER"),
        (
            (each.number, each.act, aware(each.at), aware(each.until), each.who, each.recipients, each.filter)
            for each in found.actions
        ),
        empty="Nothing can be undone.",
        styles="bold magenta dim yellow cyan - -",
    )
