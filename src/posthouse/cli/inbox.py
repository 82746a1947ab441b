"""``posthouse inbox``: the messages that were delivered into the local inboxes."""

from __future__ import annotations

import sys

import click

from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, safe, table, with_json
from posthouse.core.units import size_in_words

__all__ = ["inbox"]


@click.group(short_help="Read what was delivered into the local inboxes.")
def inbox() -> None:
    """Read what was delivered into the local inboxes."""


@inbox.command("summary", short_help="Show the inboxes and how much is in them.")
@with_daemon
@with_json
def summary(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the inboxes and how much is in them."""
    found = operate("inbox summary", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    table(
        ("INBOX", "MESSAGES", "SIZE"),
        ((each.name, each.messages, size_in_words(each.octets)) for each in found),
        empty="The inboxes are empty.",
        styles="green",
    )


@inbox.command("list", short_help="Show the messages in the inboxes, oldest first.")
@click.argument("inbox", default="")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1), help="How many at most.")
@with_daemon
@with_json
def list_(inbox: str, limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the messages in the inboxes, oldest first; or those of one INBOX (an address)."""
    found = operate("inbox list", DaemonOptions(config_file, data_dir), inbox=inbox.casefold(), limit=limit)
    if as_json:
        print_json(found)
        return
    table(
        ("NO", "INBOX", "RECEIVED", "SIZE", "FROM", "SUBJECT"),
        (
            (
                each.number,
                each.inbox,
                aware(each.received),
                size_in_words(each.size),
                each.written_by or each.sender or "<>",
                each.subject,
            )
            for each in found
        ),
        empty="No messages.",
        styles="bold green dim - cyan -",
    )


@inbox.command("show", short_help="Show one message as it was delivered.")
@click.argument("number", type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="The exact octets.")
@with_daemon
@with_json
def show(number: int, raw: bool, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show one message as it was delivered: its header fields and its body, undecoded."""
    found = operate("inbox show", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
    elif raw:
        sys.stdout.buffer.write(found.raw if found.raw is not None else found.text.encode())
    else:
        click.echo(safe(found.text.replace("\r\n", "\n")), nl=not found.text.endswith("\n"))


@inbox.command("delete", short_help="Delete messages from the inboxes.")
@click.argument("number", type=click.IntRange(1), nargs=-1, required=True)
@with_daemon
@with_json
def delete(number: tuple[int, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Delete messages, by their numbers, for good. `posthouse queue audit` shows who deleted what."""
    found = operate("inbox delete", DaemonOptions(config_file, data_dir), numbers=list(number))
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.deleted} deleted" + (f", {found.missing} not found" if found.missing else ""))
    return 0 if found.deleted else 65
