"""``posthouse monitor``: a running daemon at work: its numbers, its sessions and what is said in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from posthouse.cli import language
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, paragraph, safe, say, table, with_json
from posthouse.core.units import short_duration, size_in_words

if TYPE_CHECKING:
    from posthouse.service.operations.monitor.monitor_answers import OverviewReport, SessionDialogue, SessionEntry

__all__ = ["monitor"]

_SOON = 14 * 86_400.0  # seconds
_LATENCIES = {
    "commit": "content end to its reply",
    "delivery": "acceptance to delivery",
    "attempt": "attempt at another host",
}
_LANG = click.option("--lang", type=click.Choice(["en", "zh"]), help="Language of the explanations.")


@click.group(short_help="Show the daemon at work: numbers, sessions, dialogues, metrics.")
def monitor() -> None:
    """Show a running daemon at work: its numbers, its sessions, and what is said in them."""


@monitor.command("sessions", short_help="Show open sessions and recent ones.")
@click.option("--in", "direction", flag_value="in", help="Only sessions with clients.")
@click.option("--out", "direction", flag_value="out", help="Only sessions with other hosts.")
@click.option("--failures", is_flag=True, help="Only sessions in which something went wrong.")
@click.option("--live", is_flag=True, help="Only sessions that are open.")
@click.option("--source", default="", help="Only the session that a message with this source came by.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@with_daemon
@with_json
def sessions(
    direction: str | None,
    failures: bool,
    live: bool,
    source: str,
    limit: int,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Show open sessions, and recent ones: the last 200 of each worker process, and its last 100 with a problem, these
    first.

    While this is asked, and for a minute afterwards, the daemon records the dialogue of every session.
    """
    found = operate(
        "monitor sessions",
        DaemonOptions(config_file, data_dir),
        direction=direction or "",
        failures=failures,
        live=live,
        source=source,
        limit=limit,
    )
    if as_json:
        print_json(found)
        return
    table(
        ("ID", "BEGAN", "LASTED", "PLACE", "PEER", "TLS", "MESSAGES", "PROBLEM"),
        (
            (
                each.id,
                aware(each.began),
                _lasted(each),
                each.place,
                each.peer or "-",
                each.tls or "-",
                each.messages or ".",
                each.problem or "-",
            )
            for each in found.sessions
        ),
        empty="No session is open or known.",
        styles="bold dim - cyan green dim - yellow",
    )


def _lasted(entry: SessionEntry) -> str:
    return "open" if entry.ended is None else short_duration(max(0.0, entry.ended - entry.began))


@monitor.command("session", short_help="Show the dialogue of one session, each line explained.")
@click.argument("id")
@_LANG
@with_daemon
@with_json
def session(id: str, lang: str | None, config_file: str | None, data_dir: str | None, as_json: bool) -> None:  # noqa: A002 - the name in the usage line
    """Show the dialogue of one session, each line with its explanation."""
    found = operate("monitor session", DaemonOptions(config_file, data_dir), id=id)
    if as_json:
        print_json(found)
        return
    _print(found, language(lang))


def _print(found: SessionDialogue, lang: str) -> None:
    from posthouse.cli.transcript import show as show_line
    from posthouse.codes import Live

    entry = found.session
    say(f"{entry.id}  {safe(entry.place)}  {safe(entry.peer)}", "bold")
    say(f"{aware(entry.began)}  {_lasted(entry)}" + (f"  {entry.tls}" if entry.tls else ""), "dim")
    if found.partial:
        text = "本会话只记录了一部分。" if lang == "zh" else "Only a part of this session was recorded."
        say(text, "yellow")
    live = Live(lang)
    for line in found.dialogue:
        if line.who == "N":
            say(f"   {safe(line.text)}", "yellow")
        else:
            show_line(live(line.who, line.text))


@monitor.command("overview", short_help="Show the daemon in numbers: rates, refusals, queue, disk, workers.")
@with_daemon
@with_json
def overview(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show a running daemon in numbers: counts, latencies, refusals, busiest destinations, queue, disk, workers."""
    found = operate("monitor overview", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    _summary(found)
    if found.refusals:
        say("")
        table(("REFUSED", "CODES", "COUNT"), ((each.command, each.codes, each.count) for each in found.refusals[:10]))
    if found.destinations:
        say("")
        table(
            ("DESTINATION", "DELIVERED", "DEFERRED", "FAILED"),
            (
                (each.destination, each.delivered or ".", each.deferred or ".", each.failed or ".")
                for each in found.destinations[:10]
            ),
            styles="green - yellow magenta",
        )
    for latency in found.latencies:
        if latency.p50 is not None:
            shares = (("50%", latency.p50), ("90%", latency.p90), ("99%", latency.p99))
            parts = [f"{share} within {seconds:g} s" for share, seconds in shares]
            for line in paragraph(f"{_LATENCIES[latency.name]}: {', '.join(parts)}", rest="  "):
                say(line, "dim")


def _summary(found: OverviewReport) -> None:
    counts, queue, storage = found.counts, found.queue, found.storage
    say(f"{safe(found.hostname)}  posthouse {found.version}, since {aware(found.began)}", "bold")
    sessions = sum(each.sessions for each in found.workers)
    attempts = sum(each.attempts for each in found.workers)
    say(f"worker processes {len(found.workers)}, open sessions {sessions}, attempts under way {attempts}")
    say(
        f"accepted {counts['accepted']:,} ({size_in_words(counts['octets'])}), refused {counts['refused']:,}, "
        f"delivered {counts['delivered']:,}, deferred {counts['deferred']:,}, failed {counts['failed']:,}"
    )
    age = "" if queue.oldest is None else f", the oldest {short_duration(max(0.0, found.now - queue.oldest))} old"
    say(f"queue: waiting {queue.waiting:,}, held {queue.held:,}, destinations {queue.destinations:,}{age}")
    say(f"sites suspended: {found.suspended:,}")
    say(f"disk: {size_in_words(storage.free)} of {size_in_words(storage.size)} free")
    if storage.lost:
        say(f"{storage.lost:,} contents in spool/lost; the manual says how to get them back", "yellow")
    for each in found.certificates:
        if each.until - found.now < _SOON:
            say(f"certificate {safe(each.file)} ends {aware(each.until)}", "yellow")


@monitor.command("metrics", short_help="Show the metrics of the daemon, in the text format of Prometheus.")
@with_daemon
@with_json
def metrics(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the metrics of a running daemon, in the text format of Prometheus; the manual lists them."""
    found = operate("monitor metrics", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    from posthouse.service.operations.monitor.exposition import exposition

    click.echo(exposition(found).decode(), nl=False)
