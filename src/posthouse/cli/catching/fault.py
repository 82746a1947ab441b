"""``posthouse fault``: faults that are switched on while the catcher runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, say, table, with_json

if TYPE_CHECKING:
    from posthouse.service.operations.faults.fault_operations import FaultEntry, FaultReport

__all__ = ["fault"]


@click.group(short_help="Switch faults on and off while the catcher runs.")
def fault() -> None:
    """Switch faults on and off while the catcher runs, to try a program against a server that fails.

    A recipient such as tempfail+2@example.com asks for a fault without any of this; see docs/testing.md.
    """


@fault.command("list", short_help="Show the faults that are switched on.")
@with_daemon
@with_json
def list_(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the faults that are switched on, and how often each has struck."""
    report: FaultReport = operate("fault list", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(report)
        return
    table(
        ("FAULT", "AT", "DOES", "ONLY", "STRUCK", "LEFT", "UNTIL"),
        [
            (
                each.name,
                each.stage,
                _does(each),
                _only(each),
                each.struck,
                "" if each.left < 0 else each.left,
                aware(each.until) if each.until else "",
            )
            for each in report.faults
        ],
        empty="No fault is switched on.",
        styles="red - - - - - dim",
    )


def _does(entry: FaultEntry) -> str:
    """What a fault does, in a few words."""
    words = [f"waits {entry.delay:g} s"] if entry.delay else []
    if entry.drop:
        words.append("cuts the connection")
    elif entry.reply:
        words.append(f"answers {entry.reply}")
    return ", ".join(words)


def _only(entry: FaultEntry) -> str:
    """When a fault strikes, in a few words."""
    words = [f"to {entry.to}"] if entry.to else []
    words += [f"from {entry.sender}"] if entry.sender else []
    words += [f"{entry.percent} %"] if entry.percent < 100 else []
    words += [f"beyond {entry.rate} a minute"] if entry.rate else []
    return ", ".join(words)


@fault.command("on", short_help="Switch a fault on at the listeners of the catcher.")
@click.argument("stage", type=click.Choice(["connect", "helo", "auth", "mail", "rcpt", "data", "end", "all"]))
@click.option("--reply", default="", metavar="REPLY", help="A code such as 451, or a whole reply in quotes.")
@click.option("--drop", is_flag=True, help="Cut the connection in place of a reply.")
@click.option("--delay", default="", metavar="TIME", help="Answer so much later, as in 5s; alone, or with the others.")
@click.option("--to", default="", metavar="PATTERN", help="Only for such recipients; * and ? stand for characters.")
@click.option("--from", "sender", default="", metavar="PATTERN", help="Only for such senders.")
@click.option("--percent", type=click.IntRange(1, 100), default=100, help="Strike in so many of 100 moments.")
@click.option("--times", type=click.IntRange(0), default=0, metavar="N", help="Strike N times, then end.")
@click.option("--rate", type=click.IntRange(0), default=0, metavar="N", help="Strike what exceeds N a minute.")
@click.option("--for", "lasts", default="", metavar="TIME", help="End by itself after this time, as in 10m.")
@click.option("--name", "fault", default="", metavar="NAME", help="A name; the fault of this name is replaced.")
@with_daemon
@with_json
def on(config_file: str | None, data_dir: str | None, as_json: bool, **given: Any) -> None:
    """Switch a fault on at STAGE: connect, helo, auth, mail, rcpt, data (before the content), end (behind it), or all.

    \b
    posthouse fault on rcpt --reply 451 --to '*@slow.example' --times 3
    posthouse fault on mail --reply 421 --rate 10     (too many messages a minute)
    posthouse fault on all --delay 2s --for 10m       (a slow server)
    posthouse fault on end --drop --percent 20
    """
    report: FaultReport = operate("fault on", DaemonOptions(config_file, data_dir), **given)
    if as_json:
        print_json(report)
        return
    say(f"the fault {report.faults[0].name} is switched on; posthouse fault off {report.faults[0].name} ends it")


@fault.command("off", short_help="Switch faults off.")
@click.argument("name", default="")
@click.option("--all", "everything", is_flag=True, help="Switch off all of them.")
@with_daemon
@with_json
def off(name: str, everything: bool, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Switch off the fault NAME, or all."""
    report: FaultReport = operate("fault off", DaemonOptions(config_file, data_dir), fault=name, all=everything)
    if as_json:
        print_json(report)
        return
    say(f"{report.changed} switched off, {len(report.faults)} on")
