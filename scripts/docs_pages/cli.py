"""docs/cli.md: every command and option, read from the click commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from docs_pages.markdown import GENERATED, code_block, table
from posthouse.cli import posthouse
from posthouse.cli.exit_codes import MEANINGS
from posthouse.service.operations.filter_language import fields_help

__all__ = ["commands", "page"]

OPENING = """\
# Commands

`posthouse` without arguments prints an overview, and `posthouse COMMAND --help` the text on this page. Every listing
takes `--json`, in which times are ISO 8601 in UTC. All commands share the [exit codes](#exit-codes) below.

Characters that steer a terminal or cannot be seen (control characters, marks of writing direction, zero-width
characters) are shown as escapes such as `\\u202e`. An argument that is not UTF-8 is refused with 65."""

OUTPUT = """\
If standard output cannot be written (the disk is full), a command whose work is its output ends with 74, or with 141 if
the reader has gone (`posthouse queue list | head`). A command that has acted, such as `send` or `queue hold`, ends with
the code of what it did, and says on standard error that its output is lost: a script that repeats what has failed does
not send twice. Descriptors 0 to 2 that are closed are opened on `/dev/null`."""

SERVERS = """\
## Servers

`send --server`, `bench --server`, `probe` and the library name a server by a URL:

| URL | the session | port |
|---|---|---|
| `smtps://user:password@host` | TLS from the first octet | 465 |
| `smtp+starttls://user:password@host` | STARTTLS, or no session | 587 |
| `smtp://host` | in clear | 25 |
| `lmtp://host`, `lmtp:/run/lmtp.sock` | LMTP in clear, also over a unix socket | 24 |

`smtps` and `smtp+starttls` verify the server's certificate, with the system's certificates or with those in `--ca`.
Nothing is sent to a server that does not prove its name, and nothing goes on in clear. Write characters such as `@ : /
? # %` in a name or password as `%40` and so on. A password in a command line can be seen by other users of the machine:
`--user` with `--password-file`, `$POSTHOUSE_PASSWORD` or the terminal's question is better.

The strongest login that the server offers is used: SCRAM, which never shows the password, before PLAIN and LOGIN.
Without TLS those two are not used. 535 ends the login, and no other mechanism is tried with the same password.

| behind the URL | what it does |
|---|---|
| `?ca=FILE` | trust these certificates (a PEM file or a folder) in place of the system's |
| `?tls=require` | TLS without verifying the certificate; `smtp` also takes `opportunistic` and `verify` |
| `?name=HOST` | the name that the certificate must have, if it is another than the host's |
| `?mechanisms=PLAIN,LOGIN` | use only these logins |
| `?allow_plain_text=true` | send the password without TLS too, on a network that is your own |

Several stand behind one another with `&`."""


def page(_existing: str) -> str:
    """The page."""
    parts = [GENERATED, OPENING, *(_section(path, command) for path, command in commands()), SERVERS, *_filters()]
    parts.append("## Exit codes")
    parts.append(table(("code", "meaning"), [(str(code), meaning) for code, meaning in sorted(MEANINGS.items())]))
    parts.append(OUTPUT)
    return "\n\n".join(parts) + "\n"


def _filters() -> list[str]:
    """The fields of the filter language."""
    rows = [(f"`{name}`", meaning, f"`{example}`") for name, meaning, example in fields_help()]
    text = (
        "A `FILTER` is a list of conditions, all of which must hold. [Operations](operations.md#filters) explains the "
        "operators and values."
    )
    return ["## Filters", text, table(("field", "what it is", "example"), rows)]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that is not a group and not hidden, as ``("posthouse queue list", command)``."""
    yield from _below("posthouse", posthouse, click.Context(posthouse, info_name="posthouse"))


def _below(path: str, command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _below(f"{path} {name}", found, click.Context(found, info_name=name, parent=context))


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## `{path}`", code_block("text", [usage]), _paragraphs(command.help or command.short_help or "")]
    rows = [
        record
        for parameter in command.get_params(context)
        if not getattr(parameter, "hidden", False) and "--help" not in parameter.opts
        if (record := parameter.get_help_record(context)) is not None and record[1]  # the usage line has the rest
    ]
    if rows:
        parts.append(table(("option", "what it does"), [(f"`{names}`", text) for names, text in rows]))
    return "\n\n".join(part for part in parts if part)


def _paragraphs(text: str) -> str:
    """Help text as Markdown: a paragraph that click does not re-wrap (it begins with ``\\b``) becomes a code block."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\f")[0].split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            parts.append(code_block("text", lines[1:]))
        else:
            parts.append(" ".join(paragraph.split()))
    return "\n\n".join(parts)
