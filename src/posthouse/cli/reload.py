"""``posthouse reload``: a running daemon reads its configuration again."""

from __future__ import annotations

import click

from posthouse.cli import context
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, with_json

__all__ = ["reload"]


@click.command(short_help="Have a running daemon read its configuration again.")
@context.with_daemon
@with_json
def reload(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Have a running daemon read its configuration again, as SIGHUP does.

    The daemon is found by its data directory; it reads the file that it was started with. Routes, domains, accounts,
    limits and certificates apply to new sessions and new attempts; open sessions keep the terms under which they began.
    New listeners open, and removed ones close. A file with errors changes nothing, and the errors are printed. Settings
    that are read at the start only are named.

    The exit code for what is wrong is that of run: 78 for the configuration and the files that it names, 77 for such a
    file that may not be read, 66 if the configuration file itself cannot be read or there is none, 69 if it is right
    and an address cannot be had. It is 69 too where no daemon runs, and 75 while the daemon starts or stops.
    """
    report = context.operate("reload", context.DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(report)
        return
    say(f"{report.file} was read again")
    for name in report.changed:
        say(f"changed: {name}")
    if not report.changed:
        say("nothing has changed that takes effect now")
    for name in report.waiting:
        say(f"waits for a restart: {name}")
