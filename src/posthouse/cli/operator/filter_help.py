"""The filter language of ``posthouse queue``, for ``--help``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from posthouse.service.operations.filter_language import fields_help

__all__ = ["FILTER_HELP"]


def _field_lines() -> Iterator[str]:
    """An example of each field with its meaning, within 78 columns: ``--help`` indents by 2."""
    for _, meaning, example in fields_help():
        first, *rest = textwrap.wrap(meaning, 52)
        yield f"  {example:<20}  {first}"
        yield from (f"{'':24}{line}" for line in rest)


#: The filter language, for ``--help``: an example of each field with its meaning.
FILTER_HELP = """
A filter is a list of conditions, all of which must hold:

\b
{fields}

Operators: : is, != is not, ~ contains, and > >= < <= for numbers, durations and ids. In text * stands for any
characters. Durations have the units s m h d w (90s, 1d12h), sizes K M G. The shell wants <, > and * in quotes.
""".format(fields="\n".join(_field_lines()))
