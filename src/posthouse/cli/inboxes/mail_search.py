"""``posthouse inbox search`` and ``views``, ``extract``, and ``export`` as files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from posthouse.cli import exit_codes, language
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.inboxes.mail_octets import source_octets
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, safe, say, table, with_json, with_lang
from posthouse.core.units import size_in_words
from posthouse.service.operations.spelling import as_written

if TYPE_CHECKING:
    from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["check", "count", "export", "extract", "html_check", "links", "part", "read", "search", "source", "views"]

_PAGE = 200
_VIEW = click.option(
    "--view", default="", metavar="VIEW", help="An address, @domain, tag:NAME, login:NAME or box:NAME."
)


@click.command("search", short_help="Search the inboxes.")
@click.argument("query", nargs=-1)
@_VIEW
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
@click.option("--before", default=0, type=click.IntRange(0), help="Only messages with numbers below this one.")
@with_daemon
@with_json
def search(
    query: tuple[str, ...],
    view: str,
    limit: int,
    before: int,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Search the inboxes; the newest message comes first.

    QUERY is words and conditions, all of which must hold: from:ann@example.org subject:invoice -tag:old is:unread
    has:attachment size>1M age<2h. A minus sign in front excludes. Write -- before a QUERY that begins with one.
    """
    options = DaemonOptions(config_file, data_dir)
    found = operate("inbox search", options, view=view, query=" ".join(query), limit=limit, before=before)
    if as_json:
        print_json(found)
        return
    table(
        ("NO", "", "RECEIVED", "SIZE", "FROM", "TO", "SUBJECT"),
        (
            (
                each.number,
                "*" if each.unread else "",
                aware(each.received),
                size_in_words(each.size),
                each.author or as_written(each.sender) or "<>",
                " ".join(map(as_written, each.inboxes)),
                each.subject,
            )
            for each in found.messages
        ),
        empty="No messages.",
        styles="bold yellow dim - cyan green -",
    )
    if found.before:
        click.echo(f"… there may be more: --before {found.before}", err=True)
    if found.waiting:
        click.echo(f"… {found.waiting:,} messages are not indexed yet", err=True)


@click.command("views", short_help="Show inboxes, domains, logins and tags with their counts.")
@click.argument("prefix", default="")
@with_daemon
@with_json
def views(prefix: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show inboxes, domains, logins and tags with their counts; or those that begin with PREFIX (tag:, login:, @)."""
    found = operate("inbox views", DaemonOptions(config_file, data_dir), prefix=prefix)
    if as_json:
        print_json(found)
        return
    table(
        ("VIEW", "MESSAGES", "UNREAD", "SIZE"),
        ((each.name or "(all)", each.messages, each.unread, size_in_words(each.octets)) for each in found),
        empty="The inboxes are empty.",
        styles="green",
    )


@click.command("extract", short_help="Show the links and one-time codes of a message.")
@click.argument("number", type=click.IntRange(1))
@with_daemon
@with_json
def extract(number: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the links and one-time codes of a message, each on a line: codes first."""
    found = operate("inbox extract", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
        return
    for each in found.codes:
        say(safe(each), "bold")
    for each in found.links:
        click.echo(safe(each))


def _entries(options: DaemonOptions, view: str, query: str) -> Iterator[MailEntry]:
    before = 0
    while True:
        page = operate("inbox search", options, view=view, query=query, limit=_PAGE, before=before)
        yield from page.messages
        before = page.before
        if not before:
            return


@click.command("export", short_help="Write messages to an mbox, or each to a file.")
@click.argument("target")
@click.option("--query", default="", help="Only those that a search finds.")
@_VIEW
@click.option("--eml", is_flag=True, help="TARGET is a directory; each message becomes a file NUMBER.eml in it.")
@with_daemon
@with_json
def export(
    target: str, query: str, view: str, eml: bool, config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Write messages to TARGET, an mbox file that must not exist ("-" is standard output); the newest comes first.

    With --eml to files of their own, for what a test run leaves behind.
    """
    from posthouse.service.inbox.mbox import mbox_entry

    options = DaemonOptions(config_file, data_dir)
    count = 0
    try:
        if eml:
            os.makedirs(target, exist_ok=True)
        stream = None if eml else sys.stdout.buffer if target == "-" else open(target, "xb")  # noqa: SIM115
        try:
            for each in _entries(options, view, query):
                octets = source_octets(options, each.number)
                if stream is None:
                    with open(os.path.join(target, f"{each.number}.eml"), "xb") as file:
                        file.write(octets)
                else:
                    stream.write(mbox_entry(octets, each.sender, each.received))
                count += 1
        finally:
            if stream is not None and target != "-":
                stream.close()
    except OSError as error:
        cause = f"{error.filename or target} cannot be written: {error.strerror}; name another place"
        raise exit_codes.CommandFailed(cause, exit_codes.IOERR) from error
    if as_json and target != "-":
        print_json({"written": count})
    else:
        click.echo(f"{count} written", err=target == "-")


@click.command("count", short_help="Count the messages that a search finds.")
@click.argument("query", nargs=-1)
@_VIEW
@with_daemon
@with_json
def count(query: tuple[str, ...], view: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Count the messages that a search finds."""
    found = operate("inbox count", DaemonOptions(config_file, data_dir), view=view, query=" ".join(query))
    if as_json:
        print_json(found)
    else:
        at_least = "" if found.whole else "at least "
        click.echo(f"{at_least}{found.messages} messages, {found.unread} unread, {size_in_words(found.octets)}")


@click.command("read", short_help="Show the header fields and the tree of parts of a message.")
@click.argument("number", type=click.IntRange(1))
@with_daemon
@with_json
def read(number: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the header fields and the tree of parts of a message; --json has text, HTML, links and codes too."""
    found = operate("inbox read", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
        return
    for each in found.fields:
        click.echo(f"{safe(each.name)}: {safe(each.value)}")
    click.echo()
    for each in found.parts:
        name = f"  {safe(each.name)}" if each.name else ""
        click.echo(f"{'  ' * each.depth}{each.number or '-'}  {safe(each.type)}  {size_in_words(each.size)}{name}")


@click.command("part", short_help="Write one part of a message, decoded, to standard output.")
@click.argument("number", type=click.IntRange(1))
@click.argument("part")
@with_daemon
@with_json
def part(number: int, part: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Write one part of a message, decoded, to standard output; `posthouse inbox read` shows their numbers."""
    found = operate("inbox part", DaemonOptions(config_file, data_dir), number=number, part=part)
    if as_json:
        print_json(found)
        return
    sys.stdout.buffer.write(found.content)
    sys.stdout.buffer.flush()


@click.command("check", short_help="Check one message of an inbox.")
@click.argument("number", type=click.IntRange(1))
@with_daemon
@with_json
def check(number: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Check one message of an inbox as `posthouse check message` does."""
    found = operate("inbox check", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(f"{each.level} line {each.line} {each.rule}: {safe(each.text)}; {safe(each.remedy)}")
    if not found:
        click.echo("Nothing was found.")


@click.command("html-check", short_help="Say which mail programs do not show what the HTML of a message uses.")
@click.argument("number", type=click.IntRange(1))
@with_daemon
@with_json
def html_check(number: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Say which mail programs do not show what the HTML of a message uses, by the data of caniemail.com.

    html_support of [inbox] names the file with the data.
    """
    found = operate("inbox html-check", DaemonOptions(config_file, data_dir), number=number)
    if as_json:
        print_json(found)
        return
    for note in found.notes:
        click.echo(f"{safe(note.title)} ({note.times})")
        for support in ("no", "partly"):
            programs = [f"{each.program} {each.platform}" for each in note.programs if each.support == support]
            if programs:
                click.echo(f"  {support}: {safe(', '.join(programs))}")
    if not found.notes:
        click.echo("Every program shows what was looked for.")


@click.command("links", short_help="Ask for the links of a message, and say which are broken.")
@click.argument("number", type=click.IntRange(1))
@with_lang
@with_daemon
@with_json
def links(number: int, lang: str | None, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Ask for the links and pictures of a message, each once, and say which are broken.

    A link that acts when it is visited, as one that confirms or unsubscribes, may act. Hosts that are not public are
    asked only where link_networks of [inbox] names their network. The exit code is 1 if a link is broken.
    """
    from posthouse.service.inbox.link_words import LINK_RESULTS
    from posthouse.service.operations.inboxes.linking import link_text

    found = operate("inbox links", DaemonOptions(config_file, data_dir), number=number)
    spoken = language(lang)
    if as_json:
        print_json(found)
    else:
        table(
            ("RESULT", "LINK", ""),
            ((LINK_RESULTS[each.result].said(spoken), each.url, link_text(each, spoken)) for each in found.links),
            empty="The message has no links.",
        )
    if found.broken:
        sys.exit(1)


@click.command("source", short_help="Write a piece of a message as it was delivered.")
@click.argument("number", type=click.IntRange(1))
@click.option("--start", default=0, type=click.IntRange(0), help="The octet that it begins with.")
@click.option("--octets", default=262_144, show_default=True, type=click.IntRange(1), help="How many at most.")
@with_daemon
@with_json
def source(number: int, start: int, octets: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Write a piece of a message as it was delivered; `posthouse inbox show --raw` writes all of it."""
    options = DaemonOptions(config_file, data_dir)
    found = operate("inbox source", options, number=number, start=start, octets=octets)
    if as_json:
        print_json(found)
        return
    sys.stdout.buffer.write(found.content)
    sys.stdout.buffer.flush()
