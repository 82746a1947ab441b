"""Output of commands: tables, sentences and JSON.

On a terminal, rich draws tables.  Piped, a table has aligned columns without colour codes, and one line per record, for
``grep`` and ``awk``; rich is then not imported.

Text from outside (subjects, replies, messages) cannot control the terminal: all that is printed here is escaped
(``core.escapes``), sentences, tables and JSON alike.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from posthouse.core.escapes import escaped, escaped_lines

__all__ = [
    "as_json",
    "aware",
    "coloured",
    "live",
    "safe",
    "say",
    "table",
    "width_of",
    "with_json",
    "with_lang",
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
    """Print ``value`` as one JSON value, indented."""
    import msgspec

    raw = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    click.echo(raw if raw.isascii() and "\x7f" not in raw else "\n".join(map(escaped, raw.split("\n"))))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "", styles: str = "") -> None:
    """Print rows under their headings, or ``empty`` if there are no rows.

    ``styles`` has one style of rich for each column, "-" for none.
    """
    cells = [[safe(str(cell)).replace("\n", " / ").replace("\t", " ") for cell in row] for row in rows]
    if not cells:
        say(empty, err=bool(empty) and not sys.stdout.isatty())
        return
    if coloured():
        _rich_table(headings, cells, styles.split())
        return
    every = [list(headings), *cells]
    widths = [max(width_of(row[column]) for row in every) for column in range(len(headings))]
    for row in every:
        padded = [cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


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
