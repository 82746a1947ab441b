"""Output of commands: tables, sentences and JSON.

On a terminal, rich draws tables; where it is too narrow for a table, each record is a block of lines, in which no word
is broken.  Piped, a table has aligned columns without colour codes, and one line per record, for ``grep`` and
``awk``; rich is then not imported.

Text from outside (subjects, replies, messages) cannot control the terminal: all that is printed here is escaped
(``core.escapes``), sentences, tables and JSON alike.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import click

from posthouse.core.escapes import escaped, escaped_lines

__all__ = [
    "as_json",
    "aware",
    "coloured",
    "cut_off",
    "live",
    "moment",
    "paragraph",
    "safe",
    "say",
    "table",
    "terminal_width",
    "width_of",
    "with_json",
    "with_lang",
    "wrapped",
]

with_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
with_lang = click.option("--lang", type=click.Choice(["en", "zh"]), help="The language; else that of $LANG.")


def coloured() -> bool:
    """Whether standard output is a terminal that wants colours (https://no-color.org)."""
    import os

    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def live() -> bool:
    """Whether progress may be drawn: on standard error, when that is a terminal."""
    return sys.stderr.isatty()


def safe(text: str) -> str:
    """``text`` with escapes for what steers a terminal or cannot be seen (``core.escapes``).

    Line feed and tab stay.
    """
    return escaped_lines(text)


def width_of(text: str) -> int:
    """Columns of a terminal that ``text`` takes; a Chinese character takes two."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def say(text: str, style: str = "", *, err: bool = False) -> None:
    """Print one line or several, escaped; ``style`` (as rich writes it) counts on a terminal only."""
    text = safe(text)
    if style and not err and coloured():
        from rich.console import Console
        from rich.text import Text

        Console(highlight=False, soft_wrap=True).print(Text(text, style=style))
        return
    click.echo(text, err=err)


def as_json(value: Any) -> None:
    """Print ``value`` as one JSON value, indented; moments of an operation's answer as ISO 8601 in UTC."""
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=str)
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, msgspec.Struct):
        from posthouse.service.operations.results import MOMENTS

        plain = _with_moments(plain, MOMENTS)
    raw = msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()
    click.echo(raw if raw.isascii() and "\x7f" not in raw else "\n".join(map(escaped, raw.split("\n"))))


def _with_moments(value: Any, names: Collection[str]) -> Any:
    """``value`` with the fields of these names as text: ``2026-11-29T10:05:01.300Z``."""
    if isinstance(value, list):
        return [_with_moments(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: moment(each) if name in names and isinstance(each, float | int) else _with_moments(each, names)
        for name, each in value.items()
    }


def moment(seconds: float) -> str | float:
    """A time in seconds since the epoch as ISO 8601 in UTC; as it is beyond the calendar."""
    try:
        text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return seconds
    return f"{text[:23]}Z"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "", styles: str = "") -> None:
    """Print rows under their headings, or ``empty`` if there are no rows.

    ``styles`` has one style of rich for each column, "-" for none.
    """
    cells = [[safe(str(cell)).replace("\n", " / ").replace("\t", " ") for cell in row] for row in rows]
    if not cells:
        say(empty, err=bool(empty) and not sys.stdout.isatty())
        return
    every = [list(headings), *cells]
    widths = [max(width_of(row[column]) for row in every) for column in range(len(headings))]
    columns = terminal_width()
    if columns and sum(widths) + 2 * len(widths) > columns:
        for row in cells:
            _block(headings, row, columns)
        return
    if coloured():
        _rich_table(headings, cells, styles.split())
        return
    for row in every:
        padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def cut_off(older: int, noun: str = "") -> None:
    """Say how much a limit has cut off, without a ``noun`` only that it has; piped, on standard error, as it is no
    record."""
    if older:
        several = "" if older == 1 else "s"
        what = f"{older:,} older {noun}{several}" if noun else "older ones"
        say(f"… and {what}; --limit NUMBER shows more", "dim", err=not sys.stdout.isatty())


def terminal_width() -> int:
    """The columns of the terminal; 0 where standard output is none."""
    if not sys.stdout.isatty():
        return 0
    import shutil

    return shutil.get_terminal_size().columns


def _block(headings: Sequence[str], row: Sequence[str], columns: int) -> None:
    """Print a record as a block: its first cell, and below it the others with their headings."""
    say(row[0], "bold")
    line = ""
    for heading, cell in zip(headings[1:], row[1:], strict=True):
        if cell in ("", "-"):
            continue
        item = f"{heading} {cell}"
        if line and width_of(line) + 2 + width_of(item) <= columns:
            line += f"  {item}"
            continue
        if line:
            click.echo(line)
        *before, line = wrapped(item, columns, "  ", "    ")
        for each in before:
            click.echo(each)
    if line:
        click.echo(line)


#: Columns that a text must have beside its indentation, to be broken in them.
_NARROW = 30
#: What stays on one line: a word or a Chinese character, with the punctuation that belongs to it.
_UNBROKEN = r"[（「『【《〈“‘]*(?:[\u2e80-\uffdc]|[^\s\u2e80-\uffdc“‘]+)[、，。；：！？）」』】》〉”’…]*\s*|\s+|."


def wrapped(text: str, columns: int, first: str = "", rest: str = "") -> list[str]:
    """``text`` in lines of at most ``columns``, the ``first`` and the ``rest`` of them indented.

    Lines are broken at spaces, and between Chinese characters; a longer word stays whole on a line of its own.  No line
    begins with a Chinese stop or a closing bracket, or ends with an opening one.
    """
    import re

    lines, line, indent = [], "", first
    for word in re.findall(_UNBROKEN, text):
        if line and width_of(indent + line + word.rstrip()) > columns:
            lines.append(indent + line.rstrip())
            line, indent = "", rest
        line += word
    return [*lines, indent + line.rstrip()] if line.strip() or not lines else lines


def paragraph(text: str, first: str = "", rest: str = "") -> list[str]:
    """``text`` in lines that fit the terminal; one line in a pipe, for programs that search in it, and where the
    terminal is too narrow for more than its indentation."""
    columns = terminal_width()
    return wrapped(text, columns, first, rest) if columns >= width_of(first) + _NARROW else [first + text]


def _rich_table(headings: Sequence[str], cells: list[list[str]], styles: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        style = styles[number] if number < len(styles) and styles[number] != "-" else ""
        drawn.add_column(heading, style=style, overflow="fold")
    for row in cells:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)


def aware(seconds: float | None) -> str:
    """A time as text, in local time with its zone; "-" for None."""
    if seconds is None:
        return "-"
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
