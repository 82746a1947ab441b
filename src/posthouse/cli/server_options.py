"""Options that choose a server, a login and the certificates to trust, for the commands that talk to a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from posthouse.cli import exit_codes

if TYPE_CHECKING:
    from posthouse.sending import ServerAddress

__all__ = ["chosen_server", "with_login"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Where a password may stand for a program that runs without a terminal.
_VARIABLE: Final = "POSTHOUSE_PASSWORD"
_LONGEST: Final = 4_096

_USER = click.option("--user", metavar="NAME", help="The name to log in with; it may stand in the URL as well.")
_PASSWORD_FILE = click.option(
    "--password-file",
    metavar="FILE",
    help=f"Read the password from the first line of FILE; - is standard input. Else ${_VARIABLE}, else the terminal "
    "asks.",
)
_CA = click.option(
    "--ca", metavar="FILE", help="Trust the certificates in FILE (PEM) or folder, in place of the system's."
)


def with_login(command: _Command) -> _Command:
    """Give a command ``--user``, ``--password-file`` and ``--ca``."""
    return _USER(_PASSWORD_FILE(_CA(command)))


def chosen_server(url: str, given: dict[str, Any]) -> ServerAddress:
    """The server of a URL with the login and the certificates that the options add.  Raises ``SettingError``."""
    from posthouse.sending import parse_server

    server = parse_server(url)
    if given["user"]:
        if server.user and server.user != given["user"]:
            raise click.UsageError("the URL has another name than --user; give one of them")
        server = server._replace(user=given["user"])
    if given["ca"]:
        if server.mode == "off":
            raise click.UsageError(
                "--ca is for a session with TLS: write smtps://HOST or smtp+starttls://HOST as the server"
            )
        server = server._replace(ca=given["ca"])
    if given["password_file"] is not None:
        if not server.user:
            raise click.UsageError("--password-file needs the name as well: --user NAME")
        if server.password is not None:
            raise click.UsageError("the URL has a password, and so has --password-file; give one of them")
        return server._replace(password=_from_file(given["password_file"]))
    if server.user and server.password is None:
        return server._replace(password=_asked(server.user))
    return server


def _asked(user: str) -> str:
    """The password from the environment, or from the terminal without showing it."""
    if _VARIABLE in os.environ:
        return os.environ[_VARIABLE]
    if not (sys.stdin and sys.stdin.isatty()):
        raise click.UsageError(f"the password of {user} is missing: --password-file FILE, or set ${_VARIABLE}")
    password: str = click.prompt(f"password of {user}", hide_input=True, err=True)
    return password


def _from_file(path: str) -> str:
    """The first line of a file.  Nothing of it stands in an error."""
    try:
        if path == "-":
            line = sys.stdin.buffer.readline(_LONGEST + 2)
        else:
            with open(path, "rb") as file:
                line = file.readline(_LONGEST + 2)
    except OSError as error:
        raise exit_codes.CommandFailed(
            f"{path} cannot be read: {error.strerror}; name a file that holds the password", exit_codes.NOINPUT
        ) from error
    line = line.rstrip(b"\r\n")
    if not line or len(line) > _LONGEST:
        raise exit_codes.CommandFailed(
            f"the first line of {path} is no password: it is empty or longer than {_LONGEST:,} octets",
            exit_codes.DATAERR,
        )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise exit_codes.CommandFailed(
            f"the password in {path} is not UTF-8; store it in UTF-8", exit_codes.DATAERR
        ) from error
