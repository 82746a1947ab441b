"""A dialogue with explanations on a terminal: each line with its meaning beside or below it."""

from __future__ import annotations

from collections.abc import Callable

import click

from posthouse.cli import language
from posthouse.cli.output import coloured, safe, width_of, wrapped
from posthouse.codes import Live, Said

__all__ = ["listener", "show"]

#: Columns for what is said, and the least that an explanation beside it needs; with less it stands below.
_SAID, _LEAST = 46, 40


def show(said: Said, *, width: int | None = None) -> None:
    """Print one line with its explanation: in a column beside it, or below where ``width`` columns (the terminal's)
    are too few."""
    colours = coloured()
    if width is None:
        import shutil

        width = shutil.get_terminal_size((120, 24)).columns
    line = f"{said.who}: {safe(said.text)}"
    room = width - _SAID - 2
    beside = room >= _LEAST
    parts = wrapped(said.explanation, room if beside else max(20, width - 6)) if said.explanation else []
    rows = [line]
    explained = [""]
    if beside and parts and width_of(line) <= _SAID:
        explained = [parts.pop(0)]
    rows += [""] * len(parts)
    explained += parts
    for row, part in zip(rows, explained, strict=True):
        gap = " " * (_SAID + 2 - width_of(row)) if beside else "      "
        if colours:
            row = click.style(row, fg="green" if said.who == "S" else "cyan") if row else row
            part = click.style(part, dim=True) if part else part
        click.echo(f"{row}{gap}{part}" if part else row, color=colours)


def listener(lang: str | None, said: list[Said], *, shows: bool) -> Callable[[str, str], None]:
    """What is called with each line of a dialogue: it keeps the line with its explanation in ``said``.

    ``lang`` is the value of ``--lang``; ``shows``: each line is printed too.
    """
    explain = Live(language(lang))

    def hear(who: str, text: str) -> None:
        line = explain(who, text)
        said.append(line)
        if shows:
            show(line)

    return hear
