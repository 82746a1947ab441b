"""``posthouse inbox mark``, ``tag``, ``undo``, ``rebuild``, ``release``, ``again`` and ``import``."""

from __future__ import annotations

import base64
from typing import IO

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import DaemonOptions, not_empty, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, safe, table, with_json

__all__ = ["again", "deletions", "import_", "mark", "rebuild", "release", "send", "tag", "undo"]

_NUMBERS = click.argument("number", type=click.IntRange(1), nargs=-1)


@click.command("mark", short_help="Mark messages as read or unread.")
@_NUMBERS
@click.option("--query", callback=not_empty, help="Those that a search finds.")
@click.option("--all", "everything", is_flag=True, help="All messages.")
@click.option("--unread", is_flag=True, help="As unread.")
@with_daemon
@with_json
def mark(
    number: tuple[int, ...],
    query: str | None,
    everything: bool,
    unread: bool,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Mark messages as read, or as unread."""
    options = DaemonOptions(config_file, data_dir)
    given = {"numbers": list(number), "query": query or "", "all": everything, "unread": unread}
    found = operate("inbox mark", options, **given)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.messages} changed, {found.unread} unread")


@click.command("tag", short_help="Give messages tags, or take them away.")
@_NUMBERS
@click.option("--tag", "tags", required=True, callback=not_empty, help="The tags, with commas between them.")
@click.option("--remove", is_flag=True, help="Take them away.")
@with_daemon
@with_json
def tag(
    number: tuple[int, ...], tags: str, remove: bool, config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Give messages tags, or take them away."""
    options = DaemonOptions(config_file, data_dir)
    found = operate("inbox tag", options, numbers=list(number), tags=tags, remove=remove)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.messages} changed")


@click.command("undo", short_help="Have back what was deleted.")
@click.argument("deletion", type=click.IntRange(0), default=0)
@with_daemon
@with_json
def undo(deletion: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Have back what the latest deletion took, or the one with this number."""
    found = operate("inbox undo", DaemonOptions(config_file, data_dir), deletion=deletion)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.restored} restored")


@click.command("rebuild", short_help="Make the index of the inboxes again.")
@with_daemon
@with_json
def rebuild(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Make the index of the inboxes again, by the rules of now; read marks and tags are kept."""
    found = operate("inbox rebuild", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.messages} messages, {found.unread} unread")


@click.command("release", short_help="Send a message on to a real address.")
@click.argument("number", type=click.IntRange(1))
@click.option("--to", required=True, callback=not_empty, help="The addresses, with commas between them.")
@with_daemon
@with_json
def release(number: int, to: str, config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Send a message on to real addresses, by the server that release_via of [inbox] names.

    The exit code is 69 if the server did not take it for all of them.
    """
    found = operate("inbox release", DaemonOptions(config_file, data_dir), number=number, to=to)
    if as_json:
        print_json(found)
    else:
        for each in found.recipients:
            click.echo(f"{safe(each.recipient)}: {safe(each.reply)}")
    return 0 if all(each.accepted for each in found.recipients) else 69


@click.command("again", short_help="Send a message again to its recipients.")
@click.argument("number", type=click.IntRange(1))
@with_daemon
@with_json
def again(number: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Send a message again to those that it was sent to, by the daemon."""
    found = operate("inbox again", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
    else:
        click.echo(f"queued as {found.queue_id}" if found.queue_id else "refused; its sender got a report")


@click.command("import", short_help="Put a message or an mbox into an inbox.")
@click.argument("file", type=click.File("rb"))
@click.option("--to", required=True, callback=not_empty, help="The inbox, an address.")
@with_daemon
@with_json
def import_(file: IO[bytes], to: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Put a message, or the messages of an mbox, into an inbox; "-" is standard input."""
    try:
        octets = file.read()
    except OSError as error:
        raise exit_codes.CommandFailed(f"it cannot be read: {error.strerror}", exit_codes.NOINPUT) from error
    content = base64.b64encode(octets).decode()
    found = operate("inbox import", DaemonOptions(config_file, data_dir), content=content, to=to)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.messages} imported")


@click.command("deletions", short_help="Show what can be undone.")
@with_daemon
@with_json
def deletions(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the deletions that `posthouse inbox undo` can undo, the latest first."""
    found = operate("inbox deletions", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    table(
        ("NO", "AT", "BY", "MESSAGES", "UNTIL"),
        ((each.number, aware(each.at), each.who, each.messages, aware(each.until)) for each in found),
        empty="Nothing can be undone.",
        styles="bold dim - - dim",
    )


@click.command("send", short_help="Hand a file with a message to the daemon, with an envelope.")
@click.argument("file", type=click.File("rb"))
@click.option("--from", "sender", default="", help="The sender of the envelope; none: the null reverse-path.")
@click.option("--to", required=True, callback=not_empty, help="The recipients, with commas between them.")
@with_daemon
@with_json
def send(file: IO[bytes], sender: str, to: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Hand a message as it stands in a file to the running daemon, as `posthouse sendmail` does."""
    content = base64.b64encode(file.read()).decode()
    found = operate("inbox send", DaemonOptions(config_file, data_dir), sender=sender, to=to, content=content)
    if as_json:
        print_json(found)
    else:
        click.echo(f"queued as {found.queue_id}" if found.queue_id else "refused; its sender got a report")
