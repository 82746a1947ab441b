"""``posthouse check``: check a configuration or an address before it is used."""

from __future__ import annotations

from typing import Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import DaemonOptions, not_empty, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, table, with_json
from posthouse.core.errors import SettingError

__all__ = ["check"]


@click.group(short_help="Check a configuration or an address before it is used.")
def check() -> None:
    """Check a configuration or an address before it is used."""


@check.command("config", short_help="Check a configuration file: every error, and what may not be intended.")
@click.argument("file", callback=not_empty)
@with_json
def config(file: str, as_json: bool) -> int:
    """Check a configuration file: every error, and what may not be intended."""
    found = operate("check config", path=file)
    if as_json:
        print_json(found)
        return _code(found)
    for problem in found.problems:
        say(problem, "red")
    for sentence in found.advice:
        say(sentence, "yellow")
    if found.usable:
        say(f"{file} can be used.", "green")
        return 0
    several = f"these {len(found.problems)} errors are" if len(found.problems) > 1 else "this error is"
    say(f"{file} cannot be used until {several} corrected.", "bold red")
    return _code(found)


def _code(found: Any) -> int:
    return exit_codes.OK if found.usable else exit_codes.CONFIG if found.readable else exit_codes.NOINPUT


@check.command("address", short_help="Show where a message to an address would go, and why.")
@click.argument("address", nargs=-1, required=True)
@with_daemon
@with_json
def address(address: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Show where a message to an address would go, and why.

    The configuration that is named decides; without one, that of the running daemon.

    Invalid addresses are reported, and the others are still checked; the exit code is then 65.
    """
    options = DaemonOptions(config_file, data_dir)
    found = [_checked(options, each) for each in address]
    wrong = any(isinstance(each, dict) for each in found)
    if as_json:
        print_json(found)
        return 65 if wrong else 0
    for number, each in enumerate(found):
        if number:
            click.echo()
        if isinstance(each, dict):
            say(f"{each['address']}  invalid address", "bold red")
            say(each["problem"])
            continue
        say(f"{each.address}  {each.kind}", "bold")
        say(f"{each.explanation}  RCPT from outside the trusted networks is answered {each.reply}.")
        if each.ends:
            table(("RECIPIENT", "GOES TO", "BECAUSE"), ((end.recipient, end.target, end.reason) for end in each.ends))
    return 65 if wrong else 0


def _checked(options: DaemonOptions, address: str) -> Any:
    """The operation's answer, or the error in the address."""
    from posthouse.service import ConfigError

    try:
        return operate("check address", options, address=address)
    except ConfigError:  # the addresses are not at fault
        raise
    except SettingError as problem:
        return {"address": address, "kind": "invalid", "problem": str(problem)}
