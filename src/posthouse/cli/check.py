"""``posthouse check``: check a configuration, an address or a message before it is used."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import DaemonOptions, not_empty, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, table, with_json
from posthouse.core.errors import SettingError

if TYPE_CHECKING:
    from posthouse.message.lint import Finding

__all__ = ["check"]


@click.group(short_help="Check a configuration, an address or a message before it is used.")
def check() -> None:
    """Check a configuration, an address or a message before it is used."""


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


@check.command("settings", short_help="Show the settings in force, and where each value comes from.")
@click.argument("search", default="")
@click.option("--changed", is_flag=True, help="Only settings that differ from their default.")
@with_daemon
@with_json
def settings(search: str, changed: bool, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the settings in force, and where each value comes from: the file, the default, the environment, or
    the command line (given).

    A running daemon is asked; without one, the configuration that is named decides. SEARCH is a text in the name, the
    value or the help of a setting.
    """
    report = operate("check settings", DaemonOptions(config_file, data_dir), search=search, changed=changed)
    if as_json:
        print_json(report)
        return
    if report.problem:
        say(report.problem, "yellow", err=True)
    rows = ((each.name, each.value, each.origin) for each in report.settings)
    table(("SETTING", "VALUE", "ORIGIN"), rows, empty="no setting has this text")


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


@check.command("message", short_help="Check a message against the standards and what large receivers demand.")
@click.argument("file", callback=not_empty)
@click.option("--bulk/--no-bulk", default=None, help="The message goes to many. Default: as its fields say.")
@click.option("--strict", is_flag=True, help="End with 1 for warnings too.")
@with_json
def message(file: str, bulk: bool | None, strict: bool, as_json: bool) -> int:
    """Check a message against the standards and what large receivers demand; FILE may be - for standard input.

    Each finding has its line, its rule and a remedy. The exit code is 1 if there are errors, with --strict also if
    there are warnings.
    """
    import time

    from posthouse.message.lint import Level, lint_message

    try:
        octets = _octets_of(file)
    except OSError as error:
        say(
            f"{file} cannot be read: {error.strerror or error}; give the path of a file that holds a message.", err=True
        )
        return exit_codes.NOINPUT
    found = lint_message(octets, now=time.time(), bulk=bulk)
    if as_json:
        print_json([each._asdict() for each in found])
    else:
        _show_findings(file, found)
    grave = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    return 1 if any(each.level in grave for each in found) else exit_codes.OK


def _octets_of(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _show_findings(file: str, found: Sequence[Finding]) -> None:
    name = "standard input" if file == "-" else file
    colours = {"error": "bold red", "warning": "yellow", "note": "cyan"}
    for each in found:
        source = f" ({each.source})" if each.source else ""
        say(f"{name}:{each.line}: {each.level}: {each.text} [{each.rule}]", colours[each.level])
        say(f"    {each.remedy}{source}")
    if not found:
        say(f"{name}: nothing found.", "green")
        return
    counts = Counter(str(each.level) for each in found)
    parts = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()]
    say(f"{name}: {', '.join(parts)}.")
