"""``posthouse check``: judge before it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from posthouse.cli.context import configured, operate, with_house
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, table, with_json
from posthouse.core.errors import SettingError

if TYPE_CHECKING:
    from posthouse.service import Config

__all__ = ["check"]


@click.group(short_help="Judge a configuration or an address before it matters.")
def check() -> None:
    """Judge a configuration or an address before it matters."""


@check.command("config", short_help="Judge a configuration file: every mistake, and what may not be meant.")
@click.argument("file")
@with_json
def config(file: str, as_json: bool) -> int:
    """Judge a configuration file: every mistake, and what may not be meant."""
    found = operate("check config", path=file)
    if as_json:
        print_json(found)
        return 0 if found.usable else 78
    for problem in found.problems:
        say(problem, "red")
    for sentence in found.advice:
        say(sentence, "yellow")
    if found.usable:
        say(f"{file} can be used.", "green")
        return 0
    several = f"these {len(found.problems)} mistakes are" if len(found.problems) > 1 else "this mistake is"
    say(f"{file} cannot be used until {several} corrected.", "bold red")
    return 78


@check.command("address", short_help="Say where a letter to an address would go, and why.")
@click.argument("address", nargs=-1, required=True)
@with_house
@with_json
def address(address: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Say where a letter to an address would go, and why. What is no address is said so; the others are judged all the
    same, and the exit code is 65."""
    chosen = configured(config_file, data_dir)
    found = [_judged(chosen, each) for each in address]
    wrong = any(isinstance(each, dict) for each in found)
    if as_json:
        print_json(found)
        return 65 if wrong else 0
    for number, each in enumerate(found):
        if number:
            click.echo()
        if isinstance(each, dict):
            say(f"{each['address']}  no address", "bold red")
            click.echo(each["problem"])
            continue
        say(f"{each.address}  {each.kind}", "bold")
        click.echo(f"{each.explanation}  A stranger's RCPT is answered {each.reply}.")
        if each.ends:
            table(("RECIPIENT", "GOES TO", "BECAUSE"), ((end.recipient, end.target, end.reason) for end in each.ends))
    return 65 if wrong else 0


def _judged(chosen: Config, address: str) -> Any:
    """What the operation answers, or the fault in the address."""
    try:
        return operate("check address", chosen, address=address)
    except SettingError as problem:
        return {"address": address, "kind": "invalid", "problem": str(problem)}
