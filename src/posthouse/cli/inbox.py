"""``posthouse inbox``: the messages that were delivered into the local inboxes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes, language
from posthouse.cli.context import DaemonOptions, not_empty, operate, with_daemon
from posthouse.cli.inboxes.mail_changes import again, deletions, import_, mark, rebuild, release, send, tag, undo
from posthouse.cli.inboxes.mail_octets import source_octets, source_pieces
from posthouse.cli.inboxes.mail_search import (
    check,
    count,
    export,
    extract,
    html_check,
    links,
    part,
    read,
    search,
    source,
    views,
)
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, cut_off, safe, say, table, with_json, with_lang
from posthouse.core.units import size_in_words
from posthouse.service.operations.spelling import as_written

if TYPE_CHECKING:
    from posthouse.service.operations.inboxes.mail_answers import InboxAwaited
    from posthouse.service.operations.results import InboxContent

    _IntegerType = click.ParamType[int]
else:
    _IntegerType = click.ParamType

__all__ = ["inbox"]

_PATIENCE = 4  # seconds of one request to the daemon
_LABELS = {
    "en": {"from": "From", "to": "To", "cc": "Cc", "date": "Date", "subject": "Subject"},
    "zh": {"from": "发件人", "to": "收件人", "cc": "抄送", "date": "日期", "subject": "主题"},
}
_TEXTS = {
    "en": (
        "Attachments (--save DIR writes them to files)",
        "Remarks: a strict receiver would not have accepted this",
        "The text is longer than what is shown; --raw prints all of the message.",
    ),
    "zh": (
        "附件（用 --save DIR 存成文件）",
        "提示：严格的接收SMTP 不会接受这封邮件",
        "文本比显示的更长；用 --raw 输出整封邮件。",
    ),
}


class _Number(_IntegerType):
    """The number of a message, as `inbox list` shows it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit()) or not int(text[:1000]):
            self.fail(f"{text!r} is no number of a message; `posthouse inbox list` shows the numbers", param, ctx)
        if len(text) > 18:
            raise exit_codes.CommandFailed(
                f"no inbox has a message number {text[:40]}; `posthouse inbox list` shows the numbers",
                exit_codes.DATAERR,
            )
        return int(text)


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
        ((as_written(each.name), each.messages, size_in_words(each.octets)) for each in found),
        empty="The inboxes are empty.",
        styles="green",
    )


@inbox.command("list", short_help="Show the messages in the inboxes, the newest last.")
@click.argument("inbox", default="")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most: the newest ones."
)
@with_daemon
@with_json
def list_(inbox: str, limit: int, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the messages in the inboxes, the newest last; or those of one INBOX (an address)."""
    options = DaemonOptions(config_file, data_dir)
    found = operate("inbox list", options, inbox=inbox, limit=limit)
    older = 0
    if len(found) >= limit:
        inboxes = operate("inbox summary", options)
        name = found[0].inbox if inbox else ""
        older = sum(each.messages for each in inboxes if name in ("", each.name)) - len(found)
    if as_json:
        print_json(found)
        cut_off(older, "message")
        return
    table(
        ("NO", "INBOX", "RECEIVED", "SIZE", "FROM", "SUBJECT"),
        (
            (
                each.number,
                as_written(each.inbox),
                aware(each.received),
                size_in_words(each.size),
                each.written_by or as_written(each.sender) or "<>",
                each.subject or (each.damage and f"({each.damage})"),
            )
            for each in found
        ),
        empty=f"No messages for {safe(inbox)}." if inbox else "No messages.",
        styles="bold green dim - cyan -",
    )
    cut_off(older, "message")


@inbox.command("show", short_help="Show one message: its text, decoded, and its attachments.")
@click.argument("number", type=_Number())
@click.option("--raw", is_flag=True, help="The exact octets.")
@click.option("--save", metavar="DIR", help="Write the attachments to files in this directory.")
@with_lang
@with_daemon
@with_json
def show(
    number: int,
    raw: bool,
    save: str | None,
    lang: str | None,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Show one message: header fields and text decoded (HTML as text), and its attachments.

    --raw prints it as it was delivered, octet by octet. --save writes the attachments to files; no file is replaced.
    With --json, text and raw are the first 8 MiB of a larger message, and cut is true.
    """
    options = DaemonOptions(config_file, data_dir)
    saved = _save(options, number, save) if save is not None else []
    if as_json:
        print_json(operate("inbox show", options, number=number))
    elif raw:
        for piece in source_pieces(options, number):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    elif save is None:
        _show(operate("inbox show", options, number=number), language(lang))
    else:
        for path, size in saved:
            click.echo(f"{safe(path)}  {size_in_words(size)}")
        if not saved:
            click.echo("There are no attachments.")


def _show(found: InboxContent, lang: str) -> None:
    from posthouse.service.operations.remarks import remark_sentence

    labels, (attachments, remarks, longer) = _LABELS[lang], _TEXTS[lang]
    colon = "：" if lang == "zh" else ": "
    for name, label in labels.items():
        if name in found.fields:
            say(f"{label}{colon}{safe(found.fields[name])}", "bold" if name == "subject" else "")
    click.echo(f"\n{safe(found.body)}" if found.fields else safe(found.body))
    if any(part.shown and part.size > _whole_text(part.type) for part in found.parts):
        click.echo()
        say(longer, "bold yellow")
    others = [part for part in found.parts if not part.shown]
    if others:
        click.echo()
        say(f"{attachments}{colon}".rstrip(), "bold")
        for part in others:
            click.echo(f"  {part.number}  {safe(part.name)}  {part.type}  {size_in_words(part.size)}")
    if found.remarks:
        click.echo()
        say(f"{remarks}{colon}".rstrip(), "bold yellow")
        for each in found.remarks:
            click.echo(f"  {safe(remark_sentence(each, lang))}")


def _whole_text(kind: str) -> int:
    """Octets of a text that are shown at least."""
    return 512 << 10 if kind == "text/html" else 8 << 20


def _save(options: DaemonOptions, number: int, directory: str) -> list[tuple[str, int]]:
    """Write the attachments, one after the other; returns the path and size of each."""
    from posthouse.message.message_view import view

    if not directory:
        raise click.UsageError("--save needs the name of a directory")
    saved = []
    try:
        os.makedirs(directory, exist_ok=True)
        for part in view(source_octets(options, number), most=1 << 10).attachments:
            path, content = _new_file(directory, part.name), part.content
            with open(path, "xb") as file:
                file.write(content)
            saved.append((path, len(content)))
    except OSError as error:
        place = error.filename or directory
        cause = f"{place} cannot be written: {error.strerror}; name another directory"
        raise exit_codes.CommandFailed(cause, exit_codes.IOERR) from error
    return saved


def _new_file(directory: str, name: str) -> str:
    """A path for a new file of this name, or of this name with a number."""
    stem, suffix = os.path.splitext(name)
    for number in range(1, 10_000):
        path = os.path.join(directory, name if number == 1 else f"{stem} ({number}){suffix}")
        if not os.path.lexists(path):
            return path
    raise exit_codes.CommandFailed(f"{directory} has too many files named {name}", exit_codes.IOERR)


@inbox.command("wait", short_help="Wait until a message is there, and show it.")
@click.option("--to", metavar="INBOX", callback=not_empty, help="The inbox, an address; any, if not given.")
@click.option("--from", "sender", metavar="TEXT", callback=not_empty, help="A part of the sender's address or name.")
@click.option("--subject", metavar="TEXT", callback=not_empty, help="A part of the subject.")
@click.option("--query", metavar="QUERY", callback=not_empty, help="Further conditions, as `inbox search` takes them.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many messages.")
@click.option("--none", is_flag=True, help="Succeed if none comes in this time.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only messages after this number.")
@click.option("--timeout", type=click.IntRange(0, 86_400), default=10, show_default=True, help="Seconds.")
@with_lang
@with_daemon
@with_json
def wait(
    to: str | None,
    sender: str | None,
    subject: str | None,
    query: str | None,
    count: int,
    none: bool,
    after: int,
    timeout: int,
    lang: str | None,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Wait until a message is there that meets all conditions, and show it; the newest that is there already counts.

    For tests of programs that send mail. The exit code is 75 if none came in time.
    """
    options = DaemonOptions(config_file, data_dir)
    left = timeout
    given = {"to": to or "", "subject": subject or "", "sender": sender or "", "query": query or ""}
    while True:
        some = min(left, _PATIENCE)
        found = operate("inbox wait", options, **given, after=after, timeout=some, count=count, none=none)
        left -= _PATIENCE
        if found.met is not none or left <= 0:
            break
    if not found.met:
        wanted = [f"to {to}" if to else "", f"from {sender}" if sender else "", f'with "{subject}"' if subject else ""]
        which = " ".join(each for each in (query or "", *wanted) if each)
        raise exit_codes.CommandFailed(_not_met(found, which, count, timeout, none=none), exit_codes.TEMPFAIL)
    if as_json:
        print_json(found.message if count == 1 and not none else found)
    elif none:
        click.echo("no message came")
    elif found.message is not None:
        _show(found.message, language(lang))


def _not_met(found: InboxAwaited, which: str, count: int, timeout: int, *, none: bool) -> str:
    """The failure of a wait, with what did arrive."""
    what = " ".join(each for each in ("message", which) if each)
    if none:
        return f"a {what} came within {timeout} s: number {found.messages[-1].number}"
    few = f"no {what}" if count == 1 else f"{len(found.messages)} of {count} messages {which}".rstrip()
    near = "; ".join(f"{' '.join(each.inboxes)}: {safe(each.subject)[:60]}" for each in found.near[:5])
    came = f" (what came: {near})" if near else ""
    return f"{few} came within {timeout} s{came}; see `posthouse inbox list`"


@inbox.command("delete", short_help="Delete messages from the inboxes.")
@click.argument("number", type=_Number(), nargs=-1)
@click.option("--to", metavar="INBOX", help="All messages of this inbox.")
@click.option("--all", "everything", is_flag=True, help="All messages of all inboxes.")
@click.option("--query", metavar="QUERY", callback=not_empty, help="Those that `inbox search` finds.")
@click.option("--forever", is_flag=True, help="Remove them at once; this cannot be undone.")
@with_daemon
@with_json
def delete(
    number: tuple[int, ...],
    to: str | None,
    everything: bool,
    query: str | None,
    forever: bool,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> int:
    """Delete messages: by their numbers, those of an inbox, those that a search finds, or all.

    `posthouse inbox undo` has them back for 10 minutes (undo_for of [inbox]); then they are removed.

    `posthouse queue audit` shows who deleted what.
    """
    if bool(number) + (to is not None) + everything + (query is not None) != 1 or to == "":
        raise click.UsageError("say which messages: their numbers, --to INBOX, --query QUERY, or --all")
    options = DaemonOptions(config_file, data_dir)
    given = {"numbers": list(number), "to": to or "", "all": everything, "query": query or ""}
    found = operate("inbox delete", options, **given, forever=forever)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found.deleted} deleted" + (f", {found.missing} not found" if found.missing else ""))
        if found.undo:
            click.echo(f"`posthouse inbox undo {found.undo}` has them back until {aware(found.until)}", err=True)
    return 0 if found.deleted or not number else 65


_SEARCHES = (search, count, views, read, source, part, extract, links, html_check, check, export)
_CHANGES = (mark, tag, undo, deletions, rebuild, release, again, send, import_)
for _command in (*_SEARCHES, *_CHANGES):
    inbox.add_command(_command)
