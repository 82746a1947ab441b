"""The settings as rows for the manual: ``docs/configuration.md`` is generated from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from posthouse.service.config.decode import Declared, declared
from posthouse.service.config.model import Config
from posthouse.service.config.types import InvalidValue

__all__ = ["SettingDoc", "settings"]


class SettingDoc(NamedTuple):
    """One setting for the manual: ``path`` as in errors (``listener[].bind``), ``type`` how it is written,
    ``default`` as TOML ("" if it must be given or is made up at start), ``text`` what it does."""

    path: str
    type: str
    default: str
    text: str


def settings() -> list[SettingDoc]:
    """Every setting there is, in the order of the file; tables too, with the text of their struct."""
    return list(_documented(Config, ""))


_SUFFIX = {"table": "", "tables": "[]", "named": ".NAME"}


def _documented(kind: type[Struct], path: str) -> Iterator[SettingDoc]:
    for each in declared(kind):
        name = path + each.name
        if each.inner is None:
            yield SettingDoc(name, each.setting_type.name, _written(each), each.text)
            continue
        name += _SUFFIX[each.shape]
        yield SettingDoc(name, "table" if each.shape == "table" else "tables", "", each.text or _first_line(each.inner))
        yield from _documented(each.inner, f"{name}.")


def _written(each: Declared) -> str:
    if each.required or (callable(each.default) and each.default is not dict):
        return ""
    if each.default == "":
        try:
            each.setting_type.read("")
        except InvalidValue:  # "" is how the model has it that the setting was left out
            return ""
    return each.setting_type.write({} if each.default is dict else each.default)


def _first_line(kind: type[Struct]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]
