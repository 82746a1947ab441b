"""The texts of the console in English and Chinese: one table for each page module.

A table is ``TEXTS`` in a module named for its page (``configuration_texts``): key → (English, Chinese).
Keys begin with the name
(``queue.title``); ``{name}`` stands for a value.  Terms are those of the manual.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

__all__ = ["LANGUAGES", "tables", "text"]

#: Language codes and their names in the language itself.
LANGUAGES: Final[Mapping[str, str]] = MappingProxyType({"en": "English", "zh": "中文"})

_VERBS: Final = {" are": " is", " have": " has", " go": " goes", " were": " was"}
_ONE: Final = re.compile(
    r"(?<![\d.,])1 (recipient|message|destination|session|attempt|site|content)s( are| have| go| were)?\b"
)


@cache
def tables() -> Mapping[str, tuple[str, str]]:
    """Every key with its texts.  Raises ``ValueError`` if two tables have a key in common."""
    found: dict[str, tuple[str, str]] = {}
    for module in pkgutil.iter_modules(__path__):
        table: Mapping[str, tuple[str, str]] = import_module(f"{__name__}.{module.name}").TEXTS
        if twice := found.keys() & table.keys():
            raise ValueError(f"two tables of texts have {sorted(twice)[0]}")
        found.update(table)
    return MappingProxyType(found)


def text(language: str, key: str, **values: object) -> str:
    """The text of a key in a language.  Raises ``KeyError`` if there is none."""
    found = tables()[key][1 if language == "zh" else 0]
    if not values:
        return found
    filled = found.format(**values)
    return filled if language == "zh" else _ONE.sub(_singular, filled)


def _singular(found: re.Match[str]) -> str:
    """``1 recipients are`` as ``1 recipient is``."""
    return f"1 {found[1]}{_VERBS.get(found[2] or '', '')}"
