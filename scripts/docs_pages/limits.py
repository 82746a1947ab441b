"""docs/limits.md: every limit on clients, with its default, its precedent and its reply, from where it is declared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs_pages.markdown import GENERATED, table
from posthouse.service.config.decode import Declared, declared
from posthouse.service.config.limit_settings import LimitSettings
from posthouse.service.config.model import RelaySettings

__all__ = ["page"]

_TEXT = Path(__file__).with_name("limits_text.md")
_HERE = "<!-- the table of limits -->"


def page(_existing: str) -> str:
    """The page."""
    text = _TEXT.read_text(encoding="utf-8")
    rows = [_row(each) for each in _limits()]
    limits = table(("setting", "default", "what is limited", "known from", "over it"), rows)
    return f"{GENERATED}\n\n{text.replace(_HERE, limits)}"


def _limits() -> Iterator[Declared]:
    for kind in (LimitSettings, RelaySettings):
        yield from (each for each in declared(kind) if "reply" in each.extra)


def _row(each: Declared) -> tuple[str, ...]:
    default = each.setting_type.write(each.default)
    shown = f"`{default}`" if default not in ("", "0") else "none" if default else ""
    return f"`{each.name}`", shown, each.text, each.extra["precedent"], each.extra["reply"]
