"""``posthouse user``: the accounts that may log in."""

from __future__ import annotations

import sys
from typing import Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, say, table, with_json
from posthouse.core import SettingError

__all__ = ["user"]

_FILE_AT_MOST = 65_536
_PASSWORD_FILE = click.option(
    "--password-file",
    metavar="FILE",
    help="Read the password from FILE, which has one line; - is standard input. Without it, the terminal asks.",
)
_IDENTITIES = click.option(
    "--identities",
    default="",
    metavar="LIST",
    help="As whom the account may send: addresses, @domain, or *, separated by commas; without it, its name.",
)


@click.group(short_help="Show and change the accounts that may log in.")
def user() -> None:
    """Show and change the accounts that may log in."""


@user.command("list", short_help="Show the accounts.")
@with_daemon
@with_json
def list_(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the accounts."""
    _print(operate("user list", DaemonOptions(config_file, data_dir)), as_json)


@user.command("show", short_help="Show one account.")
@click.argument("name")
@with_daemon
@with_json
def show(name: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show one account."""
    _print(operate("user show", DaemonOptions(config_file, data_dir), account=name), as_json)


@user.command("add", short_help="Make an account.")
@click.argument("name")
@_IDENTITIES
@_PASSWORD_FILE
@with_daemon
@with_json
def add(
    name: str, identities: str, password_file: str | None, config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Make the account NAME, usually an address. What is stored of the password cannot be used to log in."""
    options = DaemonOptions(config_file, data_dir)
    found = operate("user add", options, account=name, password=_password(password_file), identities=identities)
    _confirm(found, as_json, f"the account {name} was made{_nobody(found)}")


@user.command("passwd", short_help="Set an account's password.")
@click.argument("name")
@_PASSWORD_FILE
@with_daemon
@with_json
def passwd(name: str, password_file: str | None, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Set the password of the account NAME. Sessions that have logged in stay logged in; change --inactive ends their
    right to send."""
    options = DaemonOptions(config_file, data_dir)
    found = operate("user passwd", options, account=name, password=_password(password_file))
    _confirm(found, as_json, f"the password of {name} was set")


@user.command("change", short_help="Change as whom an account may send, or whether it may log in.")
@click.argument("name")
@click.option(
    "--identities",
    metavar="LIST",
    help="As whom the account may send: addresses, @domain, or *, separated by commas; default or '' for its name.",
)
@click.option("--active/--inactive", default=None, help="Whether the account may log in.")
@with_daemon
@with_json
def change(
    name: str, identities: str | None, active: bool | None, config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Change as whom the account NAME may send, or whether it may log in; both count at the next message of sessions
    that are open."""
    if identities is None and active is None:
        raise SettingError("nothing is to be changed", remedy="give --identities, --active or --inactive")
    word = "" if active is None else "yes" if active else "no"
    named = "" if identities is None else identities.strip(" ,") or "default"
    found = operate("user change", DaemonOptions(config_file, data_dir), account=name, identities=named, active=word)
    _confirm(found, as_json, f"the account {name} was changed{_nobody(found)}")


@user.command("remove", short_help="Remove an account.")
@click.argument("name")
@with_daemon
@with_json
def remove(name: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Remove the account NAME. Its mail stays. Sessions that have logged in can send no further message."""
    found = operate("user remove", DaemonOptions(config_file, data_dir), account=name)
    _confirm(found, as_json, f"the account {name} was removed")


@user.command("operator", short_help="Let an account use the console, or no longer.")
@click.argument("name")
@click.option("--yes/--no", "flag", default=True, help="Whether the account may use the console.")
@with_daemon
@with_json
def operator(name: str, flag: bool, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Let the account NAME log in to the web console, or no longer."""
    word = "yes" if flag else "no"
    found = operate("user operator", DaemonOptions(config_file, data_dir), account=name, flag=word)
    _confirm(found, as_json, f"{name} may use the console" if flag else f"{name} may no longer use the console")


@user.command("inboxes", short_help="Let an account use the console for some inboxes and nothing else.")
@click.argument("name")
@click.argument("views", nargs=-1)
@with_daemon
@with_json
def inboxes(name: str, views: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Let the account NAME see the inboxes VIEWS in the web console and nothing else; without any, no longer.

    A view is an address, @domain, login:NAME (messages of sessions that logged in so), box:NAME or tag:NAME.
    """
    found = operate("user inboxes", DaemonOptions(config_file, data_dir), account=name, views=",".join(views))
    shown = ", ".join(found.views)
    _confirm(found, as_json, f"{name} sees {shown} in the console" if shown else f"{name} sees no inbox in the console")


@user.command("inbox-list", short_help="Show the accounts that see some inboxes only.")
@with_daemon
@with_json
def inbox_list(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the accounts that may use the console for some inboxes only, and these."""
    found = operate("user inbox-list", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    rows = ((each.name, " ".join(each.views)) for each in found)
    table(("ACCOUNT", "INBOXES"), rows, empty="No account is limited to some inboxes.", styles="green -")


@user.command("token-list", short_help="Show the API tokens.")
@with_daemon
@with_json
def token_list(config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the API tokens of the console, without their secrets."""
    found = operate("user token-list", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
        return
    rows = (
        (each.name, "read" if each.read_only else "everything", " ".join(each.views) or "everything", aware(each.made))
        for each in found
    )
    table(("TOKEN", "MAY", "SEES", "MADE"), rows, empty="There are no tokens.", styles="green - - dim")


@user.command("token-add", short_help="Make an API token; it is shown this once.")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="The token may read and change nothing.")
@click.option(
    "--inbox",
    "views",
    multiple=True,
    metavar="VIEW",
    help="The token sees this inbox (an address, @domain, login:NAME …) and nothing else; may be repeated.",
)
@with_daemon
@with_json
def token_add(
    name: str, read_only: bool, views: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool
) -> None:
    """Make an API token called NAME for programs that ask the console. It is printed this once, and kept nowhere."""
    given = {"token": name, "read_only": read_only, "inboxes": ",".join(views)}
    found = operate("user token-add", DaemonOptions(config_file, data_dir), **given)
    if as_json:
        print_json(found)
    else:
        click.echo(found.token)


@user.command("token-remove", short_help="Remove an API token.")
@click.argument("name")
@with_daemon
@with_json
def token_remove(name: str, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Remove the API token called NAME; programs that have it get in no longer."""
    found = operate("user token-remove", DaemonOptions(config_file, data_dir), token=name)
    _confirm(found, as_json, f"the token {name} was removed")


def _nobody(found: Any) -> str:
    return (
        "" if found.identities else "; it may send as nobody until posthouse user change --identities names addresses"
    )


def _confirm(found: Any, as_json: bool, sentence: str) -> None:
    if as_json:
        print_json(found)
    else:
        say(sentence, "green")


def _print(found: Any, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table(
        ("ACCOUNT", "MAY SEND AS", "LOGIN", "PASSWORD SET"),
        (
            (each.name, ", ".join(each.identities) or "nobody", "yes" if each.active else "no", aware(each.changed))
            for each in (found if isinstance(found, list) else [found])
        ),
        empty="There are no accounts.",
        styles="green - - dim",
    )


def _password(file: str | None) -> str:
    """The password: from a file, or asked twice without showing it.  Never an argument, which other users could see."""
    if file is None or (file == "-" and sys.stdin.isatty()):
        if not sys.stdin.isatty():
            raise SettingError(
                "standard input is no terminal, so the password cannot be asked for",
                remedy="give --password-file FILE, or --password-file - to read standard input",
            )
        password: str = click.prompt("password", hide_input=True, confirmation_prompt="once more", err=True)
        return password
    try:
        if file == "-":
            octets = sys.stdin.buffer.read(_FILE_AT_MOST)
        else:
            with open(file, "rb") as opened:
                octets = opened.read(_FILE_AT_MOST)
    except OSError as error:
        raise exit_codes.CommandFailed(
            f"{file}: it cannot be read ({error.strerror}); name a file that holds the password", exit_codes.NOINPUT
        ) from error
    line, end, rest = octets.partition(b"\n")
    if rest.strip():
        raise SettingError(
            "there is more than one line, and a password is one line", where=file, remedy="leave only the password"
        )
    line = line.removesuffix(b"\r" if end else b"")
    if not line:
        remedy = "write the password into its first line"
        raise SettingError("it holds no password", where="standard input" if file == "-" else file, remedy=remedy)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise SettingError("the password is not UTF-8", where=file, remedy="store it in UTF-8") from error
