"""The settings in force with the origin of each value: the file, the default, or the environment.

The environment counts where a default is made up on this machine: the host name, the user's own directory.  A value
that stands in no file and is no default was given on the command line, or the file was changed since.  A value that is
secret is never shown, only whether it is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from posthouse.service.config.decode import Declared, declared
from posthouse.service.config.model import Config
from posthouse.service.config.types import InvalidValue

__all__ = ["SettingValue", "values_in_force"]


class SettingValue(Struct, frozen=True, kw_only=True):
    """One setting in force.

    ``name`` is its place in the file (``listener[0].bind``), ``value`` as it is written in TOML ("" where it is left
    out), ``origin`` is file, default, environment or given, ``help`` says what the setting does.
    """

    name: str
    value: str
    origin: str
    help: str


def values_in_force(config: Config, written: Mapping[str, Any]) -> list[SettingValue]:
    """Every setting of ``config`` in the order of the manual; ``written`` is the file's table, not decoded."""
    return list(_values(config, written, ""))


def _values(table: Struct, written: Mapping[str, Any], path: str) -> Iterator[SettingValue]:
    for each in declared(type(table)):
        value, raw, name = getattr(table, each.name), written.get(each.name), path + each.name
        if each.inner is None:
            yield SettingValue(name=name, value=_shown(each, value), origin=_origin(each, value, raw), help=each.text)
        elif each.shape == "table":
            yield from _values(value, _table(raw), f"{name}.")
        elif each.shape == "named":
            for key, inner in value.items():
                yield from _values(inner, _table(_table(raw).get(key)), f"{name}.{key}.")
        else:
            tables = raw if isinstance(raw, list) else []
            for number, inner in enumerate(value):
                inner_raw = _table(tables[number]) if number < len(tables) else {}
                yield from _values(inner, inner_raw, f"{name}[{number}].")


def _table(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _shown(each: Declared, value: Any) -> str:
    if each.extra.get("secret"):
        return "set" if value else "not set"
    if value is None:
        return ""
    return each.setting_type.write(value)


def _origin(each: Declared, value: Any, raw: object) -> str:
    if raw is not None:
        try:
            if each.setting_type.read(raw) == value:
                return "file"
        except InvalidValue:
            pass
    if callable(each.default) and each.default is not dict:
        return "environment"
    default = {} if each.default is dict else each.default
    return "default" if default is None or value == default else "given"
