"""``posthouse queue``: show and change the mail in the queue, selected by a filter."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.operator.filter_help import FILTER_HELP
from posthouse.cli.operator.pausing import pause, paused, resume
from posthouse.cli.operator.undoing import say_undoable, undo, undoable, with_undo
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, cut_off, safe, say, table, width_of, with_json
from posthouse.core.units import short_duration, size_in_words
from posthouse.service.operations.filter_language import EVERYTHING, FilterError, parse_filter
from posthouse.service.operations.spelling import as_written

if TYPE_CHECKING:
    from posthouse.service.operations.results import NextAttempt, QueueCount, QueueEntry, QueueSummaryRow

__all__ = ["queue"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PAGE = 1000  # messages of one request
_NEWEST = click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most: the newest ones."
)
_FILTER = click.argument("filter", nargs=-1, metavar="[FILTER]...")
#: A condition whose value has spaces in it because the shell has taken its quotation marks away.
_SPACED = re.compile(r"([A-Za-z]+(?:!=|>=|<=|[:=~<>]))([^\"]*\s[^\"]*)", re.DOTALL)


@click.group(short_help="Show the mail in the queue, and change it.", epilog=FILTER_HELP)
def queue() -> None:
    """Show the mail in the queue, and change it.

    A running daemon does it; if none runs, the command opens the spool itself. Every change is written to an audit log.
    """


def _filter_of(words: Sequence[str]) -> str:
    """The filter as text; an error in it is shown at its place."""
    parts = []
    for word in words:
        spaced = _SPACED.fullmatch(word)
        if spaced is not None:
            try:
                parse_filter(word)
            except FilterError:  # not several conditions in one word, so one whose value has spaces
                value = spaced[2].replace("\\", "\\\\")
                word = f'{spaced[1]}"{value}"'
        parts.append(word)
    text = " ".join(parts)
    try:
        parse_filter(text)
    except FilterError as error:
        place = " " * width_of(error.text[: error.position])
        raise exit_codes.CommandFailed(f"{error}\n  {safe(error.text)}\n  {place}^", exit_codes.USAGE) from error
    return text


# Looking --------------------------------------------------------------------------------------------------------------


@queue.command("list", short_help="Show the messages that are not finished, the newest last.", epilog=FILTER_HELP)
@_FILTER
@_NEWEST
@with_daemon
@with_json
def list_(filter: tuple[str, ...], limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002
    """Show the messages that are not finished, the newest last: all, or those that a FILTER selects.

    NEXT is the time of the next attempt, and what it waits for; `posthouse explain ID` says it in a sentence.
    """
    options = DaemonOptions(config_file, data_dir)
    text = _filter_of(filter)
    found: list[QueueEntry] = []
    older, more = 0, True
    while more and len(found) < limit:
        wanted = min(_PAGE, limit - len(found))
        page = operate("queue list", options, filter=text, limit=wanted, before=found[0].id if found else "")
        found = [*page, *found]
        more = len(page) == wanted
    if more:
        older = operate("queue count", options, filter=f"{text} id<{found[0].id}").recipients
    if as_json:
        print_json(found)
        cut_off(older, "recipient")
        return
    table(
        ("ID", "RECEIVED", "SIZE", "FROM", "TO", "STATE", "TRIES", "NEXT", "LAST"),
        (
            (
                each.id,
                aware(each.received),
                size_in_words(each.size),
                as_written(each.sender) or "<>",
                _to(each),
                _state(each),
                each.attempts,
                _next(each.next),
                each.last,
            )
            for each in found
        ),
        empty="No match." if text else "The queue is empty.",
        styles="bold dim - cyan green magenta - yellow -",
    )
    cut_off(older, "recipient")


def _to(entry: QueueEntry) -> str:
    """The first recipient, how many there are besides, and the alias or list that the sender wrote."""
    more = f" +{len(entry.recipients) - 1}" if len(entry.recipients) > 1 else ""
    asked = f" (for {as_written(entry.originals[0])})" if entry.originals else ""
    return f"{as_written(entry.recipients[0])}{more}{asked}"


#: What stands in the column NEXT behind the time, or in its place.
_WAITS = {
    "scheduled": "",
    "suspended": "site suspended",
    "trying": "being tried",
    "slot": "when a connection slot is free",
    "line": "when others of the site are done",
    "probe": "when another attempt at the site has succeeded",
    "rate": "rate limit",
    "leased": "being tried",
    "soon": "now",
    "paused": "destination paused",
    "stopped": "when a daemon runs",
}


def _next(following: NextAttempt | None) -> str:
    if following is None:
        return "-"
    words = _WAITS[following.state]
    if following.state not in ("scheduled", "suspended", "rate", "paused") or following.at is None:
        return words
    return f"{aware(following.at)}, {words}" if words else aware(following.at)


def _state(entry: QueueEntry) -> str:
    if entry.active:
        return "active"
    if entry.waiting:
        return "deferred" if entry.attempts else "waiting"
    return "held" if entry.held else "finished"


@queue.command("show", short_help="Show one message and each of its recipients.")
@click.argument("id")
@with_daemon
@with_json
def show(id: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002 - the name in the usage line
    """Show one message and each of its recipients; `posthouse explain ID` shows its history."""
    found = operate("queue show", DaemonOptions(config_file, data_dir), id=id)
    if as_json:
        print_json(found)
        return
    say(found.id, "bold")
    say(f"from      {safe(as_written(found.sender)) or '<>'}")
    say(f"received  {aware(found.received)} by {safe(found.source)}")
    say(f"size      {size_in_words(found.size)}")
    if found.corrupt:
        say("The content is missing or damaged; the message is kept for inspection.", "bold red")
    say("")
    table(
        ("TO", "STATE", "TRIES", "NEXT", "ROUTE", "LAST"),
        (
            (
                as_written(each.address) + (f" (for {', '.join(each.originals)})" if each.originals else ""),
                each.state,
                each.attempts,
                _next(each.next),
                each.route or "-",
                each.last,
            )
            for each in found.recipients
        ),
        styles="green bold - yellow magenta -",
    )


@queue.command("summary", short_help="Show how many recipients wait for each destination, by age.", epilog=FILTER_HELP)
@_FILTER
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many destinations at most.")
@with_daemon
@with_json
def summary(filter: tuple[str, ...], limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002
    """Show how many recipients wait for each destination, by the age of their message; the largest first."""
    text = _filter_of(filter)
    found = operate("queue summary", DaemonOptions(config_file, data_dir), filter=text, limit=limit)
    if as_json:
        print_json(found)
        return
    ages = [f"<{short_duration(age)}" for age in found.ages] + ["OLDER"]
    table(
        ("DESTINATION", "ALL", *ages, "HELD", "OLDEST"),
        (
            (as_written(row.destination), sum(row.ages), *(number or "." for number in row.ages), row.held or ".",
             short_duration(max(0.0, found.now - row.oldest)))
            for row in found.rows
        ),
        empty="No match." if text else "The queue is empty.",
        styles=" ".join(["green", "bold", *("-" for _ in ages), "magenta", "yellow"]),
    )  # fmt: skip
    if found.rows:
        more = f", {found.others} of them not shown" if found.others else ""
        places = len(found.rows) + found.others
        say(f"{_recipients(found.recipients)} for {places} destination{'' if places == 1 else 's'}{more}", "dim")
    if found.lost:
        contents = "1 content" if found.lost == 1 else f"{found.lost:,} contents"
        say(f"{contents} in spool/lost, without a row in the database; the manual says how to get them back", "yellow")


@queue.command("count", short_help="Count the recipients that a filter selects.", epilog=FILTER_HELP)
@_FILTER
@with_daemon
@with_json
def count(filter: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002
    """Count the recipients that a FILTER selects."""
    found = operate("queue count", DaemonOptions(config_file, data_dir), filter=_filter_of(filter))
    if as_json:
        print_json(found)
        return
    say(f"{_recipients(found.recipients)}{_where(found)}")


@queue.command("sites", short_help="Show the hosts that mail goes to, and which are suspended.")
@with_daemon
@with_json
def sites(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the hosts that mail goes to: attempts under way, and which are suspended, until when and why.

    Only a running daemon knows this. `posthouse queue retry` ends a suspension.
    """
    found = operate("queue sites", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    if found.fault:
        say(f"{safe(found.fault)}.")
    table(
        ("SITE", "LIMIT", "UNDER WAY", "IN LINE", "SUSPENDED UNTIL", "WHY"),
        (
            (as_written(each.site), each.limit, each.active, each.waiting, aware(each.until), each.why or "-")
            for each in found.sites
        ),
        empty="No site is known: no daemon runs, or it has sent nothing yet.",
        styles="green - - - yellow -",
    )


@queue.command("audit", short_help="Show who changed what in the queue and the inboxes, latest first.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most.")
@with_daemon
@with_json
def audit(limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show who changed what in the queue and the inboxes, latest first."""
    found = operate("queue audit", DaemonOptions(config_file, data_dir), limit=limit + 1)
    more, found = len(found) > limit, found[:limit]
    if as_json:
        print_json(found)
        cut_off(more)
        return
    table(
        ("WHEN", "WHO", "ACTION", "COUNT", "FILTER", "ROUTE"),
        ((aware(each.at), each.who, each.act, each.recipients, each.filter, each.target or "-") for each in found),
        empty="The audit log is empty.",
        styles="dim cyan bold - - magenta",
    )
    cut_off(more)


# Changing -------------------------------------------------------------------------------------------------------------


def _recipients(number: int) -> str:
    return f"{number:,} recipient{'' if number == 1 else 's'}"


def _where(found: QueueCount) -> str:
    """The destinations of a preview: `` for example.org (12), example.net (3) and 4 more``."""

    def named(row: QueueSummaryRow) -> str:
        return f"{safe(as_written(row.destination))} ({sum(row.ages):,})"

    if not found.destinations:
        return ""
    more = f" and {found.others:,} more" if found.others else ""
    return f" for {', '.join(map(named, found.destinations))}{more}"


def _changing(command: _Command) -> _Command:
    """Give a command that changes the queue the options of all of them."""
    for option in (
        with_json,
        with_daemon,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--all", "everything", is_flag=True, help="All mail, instead of a filter."),
        _FILTER,
    ):
        command = option(command)
    return command


def _change(act: str, done: str, given: dict[str, Any], **more: Any) -> None:
    """Show what would be changed, ask, change it, and report."""
    options = DaemonOptions(given["config_file"], given["data_dir"])
    if given["everything"] == bool(given["filter"]):
        raise click.UsageError("say which mail: either a filter, such as domain:example.org, or --all")
    text = EVERYTHING if given["everything"] else _filter_of(given["filter"])
    if not text.strip():
        raise click.UsageError("the filter is empty; say which mail: a filter, such as domain:example.org, or --all")
    found = operate("queue count", options, filter=text, act=act)
    if found.recipients and not given["yes"]:
        question = f"{act} {_recipients(found.recipients)}{_where(found)}"
        if not sys.stdin.isatty():
            raise exit_codes.CommandFailed(f"this would {question}; add --yes to do it", exit_codes.USAGE)
        if not click.confirm(f"{question[0].upper()}{question[1:]}?", err=True):
            raise exit_codes.CommandFailed("nothing was changed", exit_codes.USAGE)
    changed = operate(f"queue {act}", options, filter=text, **more)
    if given["as_json"]:
        print_json(changed)
        return
    say(f"{_recipients(changed.recipients)} {done}." if changed.recipients else "No match.")
    if changed.undo:
        say_undoable(changed)


@queue.command("hold", short_help="Hold waiting mail: no attempts are made.", epilog=FILTER_HELP)
@with_undo
@_changing
def hold(undo_for: str, **given: Any) -> None:
    """Hold waiting mail: no attempts are made until it is released."""
    _change("hold", "held", given, undo_for=undo_for)


@queue.command("release", short_help="Release held mail, and try it now.", epilog=FILTER_HELP)
@with_undo
@_changing
def release(undo_for: str, **given: Any) -> None:
    """Release held mail, and try it now."""
    _change("release", "released", given, undo_for=undo_for)


@queue.command("retry", short_help="Try waiting mail now.", epilog=FILTER_HELP)
@with_undo
@_changing
def retry(undo_for: str, **given: Any) -> None:
    """Try waiting mail now, also at sites that are suspended after failures."""
    _change("retry", "due now", given, undo_for=undo_for)


@queue.command("drop", short_help="Give mail up, permanently.", epilog=FILTER_HELP)
@click.option("--report", is_flag=True, help="Send the senders a delivery report.")
@with_undo
@_changing
def drop(report: bool, undo_for: str, **given: Any) -> None:
    """Give mail up, permanently. The senders are not notified, unless with --report."""
    _change("drop", "to be dropped" if undo_for else "dropped", given, report=report, undo_for=undo_for)


@queue.command("reroute", short_help="Send mail by another route than the configured one.", epilog=FILTER_HELP)
@click.option(
    "--via", metavar="ROUTE", help='As in a [[route]]: "smtp://host:port", "smtps://host", "lmtp://host:port" or "mx".'
)
@click.option("--undo", is_flag=True, help="Let the configuration decide again.")
@with_undo
@_changing
def reroute(via: str | None, undo: bool, undo_for: str, **given: Any) -> None:
    """Send mail by another route than the configured one, now."""
    if undo == bool(via):
        raise click.UsageError("say which route: either --via smtp://host:port, or --undo")
    _change(
        "reroute", "rerouted" if via else "routed by the configuration again", given, via=via or "", undo_for=undo_for
    )


for each in (pause, resume, paused, undo, undoable):
    queue.add_command(each)
